import { randomBytes } from 'node:crypto';
import { dirname } from 'node:path';
import { UmiakError } from '#base/errors.ts';
import { createSecretFile, makeSecretDirectory, readIfPresent, writeSecretFile } from './secret-files.ts';

/** The keys that Secrets are encrypted with at rest. */
export interface EncryptionKeys {
  /** The first encrypts, all decrypt. */
  keys: { id: string; secret: string }[];
  /** The first key is new: what is stored must be written once more before a former key may go. */
  pending: boolean;
}

/** Reads the keys at `path`; makes the file, with one new key, if there is none. @throws `Invalid` when it is not such a file */
export async function ensureEncryptionKeys(path: string): Promise<EncryptionKeys> {
  await makeSecretDirectory(dirname(path));
  const first: EncryptionKeys = { keys: [newKey()], pending: true };
  return parse(path, (await readIfPresent(path)) ?? (await createSecretFile(path, format(first))));
}

/** Puts a new key before the present ones; the server takes it at its next start and writes everything anew. Gives the new key's id. */
export async function rotateEncryptionKeys(path: string): Promise<string> {
  const present = await ensureEncryptionKeys(path);
  const added = newKey();
  // Everything is written with the first key: those before it open nothing any more.
  const kept = present.pending ? present.keys : present.keys.slice(0, 1);
  await writeSecretFile(path, format({ keys: [added, ...kept], pending: true }));
  return added.id;
}

/** Notes that all that is stored was written with the key `id`, unless a newer one has come meanwhile. */
export async function settleEncryptionKeys(path: string, id: string): Promise<void> {
  const present = await ensureEncryptionKeys(path);
  if (present.keys[0]?.id === id && present.pending) await writeSecretFile(path, format({ ...present, pending: false }));
}

function newKey(): { id: string; secret: string } {
  return { id: randomBytes(4).toString('hex'), secret: randomBytes(32).toString('base64') };
}

function format(keys: EncryptionKeys): string {
  return `${JSON.stringify(keys, undefined, 2)}\n`;
}

function parse(path: string, text: string): EncryptionKeys {
  try {
    const { keys, pending } = JSON.parse(text) as Partial<EncryptionKeys>;
    const isWhole = keys?.length && keys.every(({ id, secret }) => id && Buffer.from(secret, 'base64').length === 32);
    if (isWhole) return { keys, pending: pending !== false };
  } catch {
    // Said below.
  }
  throw new UmiakError('Invalid', `${path} does not hold encryption keys`, { hint: 'Restore it from the backup of the data directory.' });
}
