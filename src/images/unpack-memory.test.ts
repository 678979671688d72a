import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createWriteStream, mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { createGzip } from 'node:zlib';
import { temporaryDirectory } from './fixtures.ts';
import { tarEnd, tarHeader, tarHeaderOf } from './tar-writer.ts';

const run = promisify(execFile);
const MB = 1e6;
/** 20 GB when there is time, or what the variable says. */
const LARGE_BYTES = Number(process.env.UMIAK_LAYER_MB ?? (process.env.UMIAK_SOAK ? 20_000 : 256)) * MB;
const SMALL_BYTES = 8 * MB;
/** Pieces on their way that nobody has collected yet. */
const MOST_MORE_MB = 100;

const UNPACK = `
const { unpackLayer } = await import('#images/unpack.ts');
const { readFileSync } = await import('node:fs');
await unpackLayer(process.argv[1], process.argv[2]);
console.log(/VmHWM:\\s+(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]);
`;

/** A gzipped layer of one file, made as it is written. */
async function writeLayer(path: string, sizeBytes: number): Promise<void> {
  const piece = Buffer.alloc(blockMultiple(MB), 'the same again. ');
  function* parts() {
    yield tarHeader(tarHeaderOf({ name: 'large', type: 'file', sizeBytes: Math.ceil(sizeBytes / piece.length) * piece.length }));
    for (let done = 0; done < sizeBytes; done += piece.length) yield piece;
    yield tarEnd;
  }
  await pipeline(Readable.from(parts()), createGzip({ level: 1 }), createWriteStream(path));
}

function blockMultiple(bytes: number): number {
  return Math.ceil(bytes / 512) * 512;
}

test('memory does not grow with a layer', { timeout: 3_600_000 }, async t => {
  await using directory = await temporaryDirectory();
  const peakOf = async (sizeBytes: number) => {
    const [layer, root] = [join(directory.path, `${sizeBytes}.gz`), join(directory.path, `${sizeBytes}`)];
    await writeLayer(layer, sizeBytes);
    mkdirSync(root);
    const flags = ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', UNPACK];
    const { stdout } = await run(process.execPath, [...flags, layer, root], { cwd: join(import.meta.dirname, '../..') });
    assert.ok(statSync(join(root, 'large')).size >= sizeBytes);
    return Number(stdout) / 1024;
  };
  const [small, large] = [await peakOf(SMALL_BYTES), await peakOf(LARGE_BYTES)];
  t.diagnostic(`${SMALL_BYTES / MB} MB: ${Math.round(small)} MB of memory, ${LARGE_BYTES / MB} MB: ${Math.round(large)} MB`);
  assert.ok(large < small + MOST_MORE_MB, `${large} MB`);
});
