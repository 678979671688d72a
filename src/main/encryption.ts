import type { Clock, Log } from '#base/index.ts';
import { type EncryptionKeys, ensureEncryptionKeys, settleEncryptionKeys } from '#pki/encryption-keys.ts';
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
export async function openEncryptedStore({ path, keysPath, clock, log }: EncryptedStoreOptions): Promise<SqliteStore & AsyncDisposable> {
  const { keys } = await ensureEncryptionKeys(keysPath);
  return await openSqliteStore({ path, clock, log, transformers: { [SECRETS]: aesGcm({ keys }) } });
}

/** Writes all Secrets with the first key if that has not been done yet: after the first start with encryption, and after a rotation. */
export async function settleEncryption(store: SqliteStore, keysPath: string, log: Log): Promise<void> {
  const { keys, pending }: EncryptionKeys = await ensureEncryptionKeys(keysPath);
  const [first] = keys;
  if (!pending || !first) return;
  const written = await rewriteValues(store, SECRETS);
  // Older revisions may be plain, or in need of a key that goes with the next rotation.
  if (written > 0) await store.compact(store.revision);
  await settleEncryptionKeys(keysPath, first.id);
  log.info('Secrets are encrypted with the present key', { key: first.id, written });
}
