import type { Clock, Log } from '#base/index.ts';
import { ensureEncryptionKeys, settleEncryptionKeys } from '#pki/encryption-keys.ts';
import { aesGcm } from '#store/aes-gcm.ts';
import { rewriteValues } from '#store/rewrite.ts';
import { openSqliteStore, type SqliteStore } from '#store/sqlite-store.ts';

/** What is encrypted at rest. */
const SECRETS = '/registry/core/secrets/';

export interface EncryptedStoreOptions {
  path: string;
  /** The file with the keys, made if there is none. */
  keysPath: string;
  clock: Clock;
  log: Log;
}

/** The store with Secrets encrypted on the disk. */
export interface EncryptedStore {
  store: SqliteStore & AsyncDisposable;
  /** The id of the key that it writes with. */
  key: string;
}

/** Opens it, making the first key where there is none. */
export async function openEncryptedStore({ path, keysPath, clock, log }: EncryptedStoreOptions): Promise<EncryptedStore> {
  const { keys } = await ensureEncryptionKeys(keysPath);
  const store = await openSqliteStore({ path, clock, log, transformers: { [SECRETS]: aesGcm({ keys }) } });
  return { store, key: keys[0]?.id ?? '' };
}

/** Writes all Secrets with the first key if that has not been done yet: after the first start with encryption, and after a rotation. */
export async function settleEncryption({ store, key }: EncryptedStore, keysPath: string, log: Log): Promise<void> {
  const { keys, pending } = await ensureEncryptionKeys(keysPath);
  // A key that came since the store was opened is not the one it writes with: that one is the next start's to settle.
  if (!pending || keys[0]?.id !== key) return;
  const written = await rewriteValues(store, SECRETS);
  // Older revisions may be plain, or in need of a key that goes with the next rotation.
  if (written > 0) await store.compact(store.revision);
  await settleEncryptionKeys(keysPath, key);
  log.info('Secrets are encrypted with the present key', { key, written });
}
