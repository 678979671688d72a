import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { mkdir, readFile, readlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, describe, test } from 'node:test';
import { type Payload, writeAtomically } from './atomic-writer.ts';

const root = mkdtempSync(join(tmpdir(), 'umiak-atomic-'));
after(() => rmSync(root, { recursive: true, force: true }));

let directory = '';
let count = 0;
beforeEach(() => {
  directory = join(root, String(count++));
});

const payload = (files: Record<string, string>, mode = 0o644): Payload =>
  new Map(Object.entries(files).map(([path, text]) => [path, { content: Buffer.from(text), mode }]));
const visible = () =>
  readdirSync(directory)
    .filter(name => !name.startsWith('..'))
    .sort();
const versions = () => readdirSync(directory).filter(name => name.startsWith('..') && name !== '..data');

describe('writeAtomically', () => {
  test('files stand at their paths, with their modes, for every user to reach', async () => {
    assert.equal(writeAtomically(directory, payload({ a: '1', 'b/c/d': '2' }, 0o440)), true);
    assert.deepEqual(visible(), ['a', 'b']);
    assert.equal(readFileSync(join(directory, 'b/c/d'), 'utf8'), '2');
    assert.equal(statSync(join(directory, 'a')).mode & 0o777, 0o440);
    for (const path of ['.', '..data', 'b', 'b/c']) assert.equal(statSync(join(directory, path)).mode & 0o777, 0o755, path);
  });

  test('the same again changes nothing', async () => {
    writeAtomically(directory, payload({ a: '1' }));
    const version = await readlink(join(directory, '..data'));
    assert.equal(writeAtomically(directory, payload({ a: '1' })), false);
    assert.equal(await readlink(join(directory, '..data')), version);
  });

  test('keys that are gone go, and so does the old version', async () => {
    writeAtomically(directory, payload({ a: '1', b: '1', 'c/d': '1' }));
    writeAtomically(directory, payload({ b: '2', e: '2' }));
    assert.deepEqual(visible(), ['b', 'e']);
    assert.equal(existsSync(join(directory, 'c/d')), false);
    assert.equal(versions().length, 1);
    writeAtomically(directory, payload({}));
    assert.deepEqual(visible(), []);
  });

  test('what a killed writer left is cleared by the next change', async () => {
    writeAtomically(directory, payload({ a: '1' }));
    await mkdir(join(directory, '..20260101_000000.dead'));
    writeAtomically(directory, payload({ a: '2' }));
    assert.equal(versions().length, 1);
    assert.equal(readFileSync(join(directory, 'a'), 'utf8'), '2');
  });

  for (const path of ['../out', '/etc/passwd', 'a/../../b', '..data', '..hidden', '', 'a//b', 'a/..'])
    test(`a payload with the path ${JSON.stringify(path)} is refused, and nothing is written`, async () => {
      assert.throws(() => writeAtomically(directory, payload({ good: '1', [path]: 'x' })), { reason: 'Invalid' });
      assert.equal(existsSync(directory), false);
    });

  test('a concurrent reader sees one version or the other, whole', async () => {
    const version = (number: number) => payload({ one: `${number}`.repeat(40_000), two: `${number}`.repeat(40_000) });
    writeAtomically(directory, version(0));
    const done = new AbortController();
    let reads = 0;
    const reader = async () => {
      while (!done.signal.aborted) {
        // Both through one resolved `..data`, as a program reads that wants them to belong together.
        const current = await readlink(join(directory, '..data'));
        const texts = await Promise.all(['one', 'two'].map(name => readFile(join(directory, current, name), 'latin1'))).catch(
          () => undefined,
        );
        const single = await readFile(join(directory, 'one'), 'latin1').catch((error: NodeJS.ErrnoException) => error);
        for (const text of [...(texts ?? []), ...(typeof single === 'string' ? [single] : [])]) {
          assert.equal(text.length, 40_000);
          assert.equal(text, text[0]?.repeat(40_000));
        }
        if (texts) assert.equal(texts[0], texts[1]);
        reads++;
      }
    };
    const readers = [reader(), reader()];
    for (let number = 1; number < 60; number++) {
      writeAtomically(directory, version(number % 10));
      await new Promise(setImmediate);
    }
    done.abort();
    await Promise.all(readers);
    assert.ok(reads > 10);
  });
});
