import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { decompressed } from './decompress.ts';
import { unpackedByProgram } from './decompress-program.ts';

const plain = Buffer.concat([randomBytes(300_000), Buffer.alloc(600_000, 'again')]);
const forms: Record<string, Buffer> = {
  none: plain,
  gzip: gzipSync(plain),
  zstd: zstdCompressSync(plain),
  xz: execFileSync('xz', ['-c'], { input: plain }),
  bzip2: execFileSync('bzip2', ['-c'], { input: plain }),
};

/** Chunks whose memory is used again as soon as the next one is asked for. */
async function* reused(bytes: Buffer, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const chunk = Buffer.from(bytes.subarray(at, at + (sizes[i] ?? 64 << 10)));
    at += chunk.length;
    yield chunk;
    chunk.fill(0);
  }
}

for (const [form, bytes] of Object.entries(forms))
  test(`${form}: no chunk is looked at once the next one was asked for`, { timeout: 30_000 }, async () => {
    for (const sizes of [[], [1, 2, 1], [bytes.length]]) {
      const got: Buffer[] = [];
      for await (const chunk of decompressed(unpackedByProgram(reused(bytes, sizes), 'it'), 'it')) got.push(Buffer.from(chunk));
      assert.ok(Buffer.concat(got).equals(plain), `${sizes}`);
    }
  });

for (const form of ['gzip', 'xz'])
  test(`${form}: who leaves in the middle closes the source`, { timeout: 30_000 }, async () => {
    const closed = Promise.withResolvers<void>();
    async function* source() {
      try {
        yield* reused(forms[form]!, Array<number>(100).fill(4_096));
      } finally {
        closed.resolve();
      }
    }
    for await (const _ of decompressed(unpackedByProgram(source(), 'it'), 'it')) break;
    await closed.promise;
  });
