import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { isUmiakError } from '#base/errors.ts';
import { seededRandom } from '#base/ids.ts';
import { silentLog } from '#base/log.ts';
import { digestOf } from './digest.ts';
import { buildTar, type FixtureEntry, temporaryDirectory } from './fixtures.ts';
import { LayerStore } from './layer-store.ts';
import { blockBytes } from './tar-format.ts';
import { tarEnd, tarHeader, tarHeaderOf, tarPadding } from './tar-writer.ts';
import { unpackLayer } from './unpack.ts';
import type { UnpackLimits } from './unpack-limits.ts';
import { UnpackWorkers } from './unpack-workers.ts';

const ROUNDS = process.env.UMIAK_SOAK ? 50_000 : 1200;
/** Of one archive, however bad: the next one waits. */
const PATIENCE_MS = 20_000;

/** A header as given, with a right checksum. */
function block(change: (block: Buffer) => void, header: Parameters<typeof tarHeaderOf>[0]): Buffer {
  const bytes = Buffer.from(tarHeader(tarHeaderOf(header)));
  change(bytes);
  return withChecksum(bytes);
}

function withChecksum(bytes: Buffer): Buffer {
  bytes.fill(' ', 148, 156);
  const sum = bytes.subarray(0, blockBytes).reduce((total, byte) => total + byte, 0);
  bytes.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return bytes;
}

function pax(text: string, flag = 'x'): Buffer {
  const bytes = Buffer.from(text, 'latin1');
  const header = block(b => b.write(flag, 156, 'latin1'), { name: 'pax', type: 'file', sizeBytes: bytes.length });
  return Buffer.concat([header, bytes, tarPadding(bytes.length)]);
}

const record = (key: string, value: string) => {
  const rest = ` ${key}=${value}\n`;
  const length = rest.length + String(rest.length + 2).length;
  return `${length}${rest}`;
};

async function refusalOf(archive: Buffer, limits?: UnpackLimits): Promise<string> {
  await using directory = await temporaryDirectory();
  const root = join(directory.path, 'fs');
  mkdirSync(root);
  writeFileSync(join(directory.path, 'layer'), archive);
  const refused = await unpackLayer(join(directory.path, 'layer'), root, limits ? { limits } : {}).then(
    () => undefined,
    (error: unknown) => error,
  );
  assert.ok(isUmiakError(refused, 'Invalid'), String(refused));
  return refused.message;
}

test('bombs, endless headers, wrong sizes and malformed attributes are refused with the entry’s name', async () => {
  const file = (entry: FixtureEntry) => buildTar([entry]);
  const sparse = (map: string, size: number, stored: number) =>
    Buffer.concat([
      pax(record('GNU.sparse.size', String(size)) + record('GNU.sparse.map', map)),
      block(() => {}, { name: 'holes', type: 'file', sizeBytes: stored }),
      Buffer.alloc(stored + (blockBytes - (stored % blockBytes)) * Math.sign(stored % blockBytes)),
      tarEnd,
    ]);
  const many = (count: number) => buildTar(Array.from({ length: count }, (_, i) => ({ name: `f${i}` })));
  const table: [string, Buffer, RegExp, UnpackLimits?][] = [
    ['more bytes than allowed', file({ name: 'big', content: Buffer.alloc(5000) }), /"big".*more than 4000 bytes/, { bytes: 4000 }],
    ['more entries than allowed', many(20), /"f10".*more than 10 entries/, { entries: 10 }],
    [
      'a size that no disk has',
      block(b => b.write('77777777777', 124), { name: 'huge', type: 'file' }),
      /"huge".*(do not fit|the disk has)/,
      { keepFreeBytes: 2 ** 50 },
    ],
    [
      '8 EB by base-256',
      block(b => b.set([0x80, 0, 0, 0, 0, 0x7f, 255, 255, 255, 255, 255, 255], 124), { name: 'eb', type: 'file' }),
      /beginning.*size is out of range/,
    ],
    [
      'petabytes',
      block(b => b.set([0x80, 0, 0, 0, 0, 0, 0x0f, 255, 255, 255, 255, 255], 124), { name: 'pb', type: 'file' }),
      /"pb".*do not fit/,
    ],
    ['endless headers', Buffer.concat(Array.from({ length: 70 }, () => pax(record('path', 'again')))), /more than 64 extended headers/],
    [
      'endless global headers',
      Buffer.concat(Array.from({ length: 40 }, (_, i) => pax(record(`k${i}`, 'x'.repeat(50_000)), 'g'))),
      /at most/,
    ],
    [
      'a body shorter than announced',
      buildTar([{ name: 'short', content: 'x'.repeat(3000) }]).subarray(0, 1024),
      /at "short".*within an entry/,
    ],
    [
      'more after the end than before',
      gzipSync(Buffer.concat([file({ name: 'x' }), Buffer.alloc(65 << 20)]), { level: 1 }),
      /after "x".*bytes after its end/,
    ],
    ['an endless name', Buffer.concat([pax(record('path', 'd/'.repeat(5000))), file({ name: 'x' })]), /too long: 10000 bytes/],
    ['a deep path', file({ name: 'd/'.repeat(2040) }), /name is too long/],
    ['an attribute that does not fit', file({ name: 'fat', xattrs: new Map([['user.a', Buffer.alloc(70_000)]]) }), /"fat".*can't be set/],
    [
      'a malformed capability',
      file({ name: 'caps', xattrs: new Map([['security.capability', Buffer.from('xx')]]) }),
      /"caps".*security.capability/,
    ],
    ['overlapping pieces', sparse('0,10,5,10', 100, 20), /"holes".*overlap/],
    ['pieces beyond the end', sparse('0,10,95,10', 100, 20), /"holes".*beyond its end/],
    ['pieces that are not stored', sparse('0,10', 100, 20), /"holes".*announces 10/],
    ['half a piece', sparse('0,10,5', 100, 10), /"holes".*malformed/],
    ['a sparse directory', Buffer.concat([pax(record('GNU.sparse.size', '9')), file({ name: 'd/' })]), /"d\/".*sparse/],
    ['a time beyond time', Buffer.concat([pax(record('mtime', '9'.repeat(400))), file({ name: 'late' })]), /"late".*mtime/],
  ];
  for (const [what, archive, message, limits] of table) assert.match(await refusalOf(archive, limits), message, what);
});

test('many directories replaced again and again take time in proportion', { timeout: 30_000 }, async () => {
  await using directory = await temporaryDirectory();
  mkdirSync(join(directory.path, 'fs'));
  const entries = [
    ...Array.from({ length: 3000 }, (_, i) => ({ name: `d${i}/` })),
    ...Array.from({ length: 3000 }, (): FixtureEntry[] => [{ name: 'again/' }, { name: 'again/x/' }, { name: 'again' }]).flat(),
  ];
  writeFileSync(join(directory.path, 'layer'), buildTar(entries));
  assert.equal((await unpackLayer(join(directory.path, 'layer'), join(directory.path, 'fs'))).entries, 12_000);
});

/** Bytes changed, headers swapped, doubled, cut, with checksums made right in most places. */
function mutate(good: Buffer, random: () => number): Buffer {
  const below = (n: number) => Math.floor(random() * n);
  const blocks = Array.from({ length: good.length / blockBytes }, (_, i) =>
    Buffer.from(good.subarray(i * blockBytes, (i + 1) * blockBytes)),
  );
  for (let i = below(6); i >= 0; i--) {
    const at = below(blocks.length);
    const chosen = blocks[at]!;
    const kind = below(6);
    if (kind === 0) blocks.splice(at, 1);
    else if (kind === 1) blocks.splice(below(blocks.length), 0, Buffer.from(chosen));
    else if (kind === 2) chosen[156] = '0123456xgLKSVA'.charCodeAt(below(14));
    else if (kind === 3)
      chosen.write(['../x', '/etc/passwd', 'l/l/l', '.wh..wh..opq', '.wh.a', 'a/b', 'l'][below(7)]!, below(2) * 157, 'latin1');
    else chosen[below(blockBytes)] = below(256);
    if (blocks.length === 0) blocks.push(Buffer.alloc(blockBytes));
  }
  for (const each of blocks) if (each.toString('latin1', 257, 262) === 'ustar' && random() < 0.95) withChecksum(each);
  const archive = Buffer.concat(blocks);
  const packed = random() < 0.5 ? gzipSync(archive, { level: 1 }) : archive;
  if (random() < 0.1) packed[below(packed.length)]! ^= 1 << below(8);
  return random() < 0.1 ? packed.subarray(0, below(packed.length)) : packed;
}

test('damaged and hostile archives are unpacked or refused, in time, by threads that live on, and leave nothing', {
  timeout: 3_600_000,
}, async t => {
  const seed = Number(process.env.SEED ?? Date.now() % 1e9);
  t.diagnostic(`seed ${seed}`);
  const random = seededRandom(seed);
  const good = buildTar([
    { name: 'a/' },
    { name: 'a/b', content: 'x'.repeat(900), xattrs: new Map([['user.a', Buffer.from('b')]]) },
    { name: 'l', type: 'symlink', linkName: 'a' },
    { name: 'l/c', content: 'y' },
    { name: 'h', type: 'link', linkName: 'a/b' },
    { name: `${'n'.repeat(90)}/${'m'.repeat(90)}`, content: 'z' },
    { name: '.wh.gone' },
    { name: 'dev', type: 'char', devMajor: 1, devMinor: 3 },
    { name: 'a/.wh..wh..opq' },
  ]);
  await using directory = await temporaryDirectory();
  await using workers = new UnpackWorkers({ workers: 2 });
  const layersDir = join(directory.path, 'layers');
  const layers = await LayerStore.open({ dir: layersDir, workers, log: silentLog });
  let [unpacked, refused] = [0, 0];
  const one = async (round: number) => {
    const archive = mutate(good, random);
    const blob = join(directory.path, `blob-${round % 2}`);
    writeFileSync(blob, archive);
    const [begun, diffId] = [performance.now(), digestOf(Buffer.from(`${round}`))];
    // No content has this digest, so that even what can be unpacked is refused in the end.
    await layers.ensure(diffId, blob).then(
      () => assert.fail(`seed ${seed}, round ${round}: accepted`),
      error => {
        assert.ok(isUmiakError(error, 'Invalid'), `seed ${seed}, round ${round}: ${error.stack}`);
        if (/announces/.test(error.message)) unpacked += 1;
        else refused += 1;
      },
    );
    assert.ok(performance.now() - begun < PATIENCE_MS, `seed ${seed}, round ${round}`);
  };
  for (let round = 0; round < ROUNDS; round += 2) await Promise.all([one(round), one(round + 1)]);
  t.diagnostic(`${unpacked} unpacked, ${refused} refused`);
  assert.ok(unpacked > ROUNDS / 20 && refused > ROUNDS / 20);
  assert.deepEqual(readdirSync(layersDir), ['empty']);
  assert.deepEqual(readdirSync(directory.path).sort(), ['blob-0', 'blob-1', 'layers']);
  assert.equal(workers.threads, 2);
  assert.equal(workers.spawned, 2, 'no thread died');
});
