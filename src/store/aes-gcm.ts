import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { UmiakError } from '#base/errors.ts';
import type { TransformerModule, ValueTransformer } from './transformer.ts';

/** A key with the id that stands before every value it encrypted. */
export interface EncryptionKey {
  /** 1 to 32 letters, digits and dashes. */
  id: string;
  /** 32 bytes, base64. */
  secret: string;
}

export interface AesGcmOptions {
  /** The first writes, all read. */
  keys: readonly EncryptionKey[];
}

const MARK = Buffer.from('\0aesgcm1');
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** Values under a prefix encrypted with AES-256-GCM; for `TransformerConfig`. */
export function aesGcm(options: AesGcmOptions): TransformerModule {
  return { module: new URL('./aes-gcm.ts', import.meta.url).href, options };
}

/**
 * `mark · length of the key's id · id · nonce · ciphertext · tag`; the value's key in the store is authenticated with it, so that nobody
 * can put one Secret in another's place. What does not begin with the mark was written before there was a key, and is read as it is.
 */
export function createTransformer({ keys }: AesGcmOptions): ValueTransformer {
  const secrets = new Map(keys.map(({ id, secret }) => [id, Buffer.from(secret, 'base64')]));
  const [first] = keys;
  if (!first) throw new UmiakError('Invalid', 'encryption at rest needs at least one key');
  for (const [id, secret] of secrets)
    if (secret.length !== 32 || !/^[A-Za-z0-9-]{1,32}$/.test(id))
      throw new UmiakError('Invalid', `the encryption key ${JSON.stringify(id)} must have an id of letters and digits and 32 bytes`);
  const head = Buffer.concat([MARK, Buffer.from([first.id.length]), Buffer.from(first.id)]);
  const secret = secrets.get(first.id)!;

  return {
    toStored(value, key) {
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv('aes-256-gcm', secret, nonce).setAAD(Buffer.from(key));
      return Buffer.concat([head, nonce, cipher.update(value), cipher.final(), cipher.getAuthTag()]);
    },
    fromStored(stored, key) {
      const bytes = Buffer.from(stored.buffer, stored.byteOffset, stored.byteLength);
      if (!bytes.subarray(0, MARK.length).equals(MARK)) return stored;
      const idEnd = MARK.length + 1 + bytes[MARK.length]!;
      const id = bytes.toString('latin1', MARK.length + 1, idEnd);
      const held = secrets.get(id);
      if (!held) throw unreadable(key, `it was encrypted with the key ${JSON.stringify(id)}, which is not among the present ones`);
      const body = bytes.subarray(idEnd + NONCE_BYTES, -TAG_BYTES);
      try {
        const decipher = createDecipheriv('aes-256-gcm', held, bytes.subarray(idEnd, idEnd + NONCE_BYTES));
        decipher.setAAD(Buffer.from(key)).setAuthTag(bytes.subarray(-TAG_BYTES));
        return Buffer.concat([decipher.update(body), decipher.final()]);
      } catch {
        throw unreadable(key, `the key ${JSON.stringify(id)} does not open it: the key is another one, or the value was changed`);
      }
    },
  };
}

function unreadable(key: string, why: string): UmiakError {
  return new UmiakError('InternalError', `the value at ${key} can not be decrypted: ${why}`, {
    hint: 'Put the encryption-keys.json that belongs to this store back beside the cluster’s certificates.',
  });
}
