import { createHash } from 'node:crypto';
import { UmiakError } from '#base/errors.ts';

/** Content's own name, `sha256:<64 hex digits>`: image ids, layers and blobs all bear one (OCI image spec, "Digests"). */
export type Digest = `sha256:${string}`;

const DIGEST = /^sha256:[0-9a-f]{64}$/;

export function isDigest(text: unknown): text is Digest {
  return typeof text === 'string' && DIGEST.test(text);
}

/** @throws Invalid when `text` is not a sha256 digest; `field` says where it stood. */
export function parseDigest(text: unknown, field: string): Digest {
  if (isDigest(text)) return text;
  throw new UmiakError('Invalid', `${field}: ${JSON.stringify(text)} is not a digest of the form sha256:<64 hexadecimal digits>`, {
    details: { causes: [{ reason: 'FieldValueInvalid', message: 'must be a sha256 digest', field }] },
  });
}

/** The 64 hexadecimal digits, the name under which content lies on disk. */
export function hexOf(digest: Digest): string {
  return digest.slice('sha256:'.length);
}

export function digestOf(content: Uint8Array | string): Digest {
  return `sha256:${createHash('sha256').update(content).digest('hex')}`;
}
