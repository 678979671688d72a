import { once } from 'node:events';
import { constants, createGzip } from 'node:zlib';
import type { ApiRequest } from './request.ts';

/** Smaller answers are not worth it: upstream's bound. */
const LEAST_BYTES = 128 << 10;

/** True for large answers to clients that ask for gzip and are not on this machine, where bytes cost less than packing them. */
export function wantsGzip({ headers, remoteAddress = '' }: ApiRequest, length: number | undefined): boolean {
  if (length !== undefined && length < LEAST_BYTES) return false;
  if (!/\bgzip\b/.test(String(headers['accept-encoding'] ?? ''))) return false;
  return !/^(127\.|::1$|::ffff:127\.)/.test(remoteAddress);
}

/** The pieces gzipped on zlib's threads. */
export async function* compressed(
  pieces: Iterable<Buffer> | AsyncIterable<Buffer>,
  { level = constants.Z_BEST_SPEED } = {},
): AsyncGenerator<Buffer> {
  const gzip = createGzip({ level, chunkSize: 64 << 10 });
  const feed = async () => {
    for await (const piece of pieces) if (!gzip.write(piece)) await once(gzip, 'drain');
    gzip.end();
  };
  const feeding = feed();
  feeding.catch(error => gzip.destroy(error));
  try {
    for await (const piece of gzip) yield piece as Buffer;
    await feeding;
  } finally {
    gzip.destroy();
  }
}
