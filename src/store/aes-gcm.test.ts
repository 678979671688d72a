import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { aesGcm, createTransformer, type EncryptionKey } from './aes-gcm.ts';
import { rewriteValues } from './rewrite.ts';
import { openSqliteStore } from './sqlite-store.ts';

const directory = mkdtempSync(join(tmpdir(), `umiak-aes-gcm-${process.pid}-`));
after(() => rmSync(directory, { recursive: true, force: true }));
const key = (id: string): EncryptionKey => ({ id, secret: randomBytes(32).toString('base64') });
const [one, two] = [key('one'), key('two')];
const PREFIX = '/registry/core/secrets/';

test('only the key that encrypted opens, and only at its place', () => {
  const old = createTransformer({ keys: [one] });
  const both = createTransformer({ keys: [two, one] });
  const value = Buffer.from('{"data":{"password":"cGFzcw=="}}');
  const stored = old.toStored(value, '/a');
  assert.deepEqual(Buffer.from(both.fromStored(stored, '/a')), value, 'a former key reads');
  assert.deepEqual(Buffer.from(old.fromStored(value, '/a')), value, 'what was plain is read');
  assert.notDeepEqual(old.toStored(value, '/a'), stored, 'no two are the same');
  const cases: [string, () => unknown, RegExp][] = [
    ['a newer key', () => old.fromStored(both.toStored(value, '/a'), '/a'), /encrypted with the key "two", which is not among/],
    ['another place', () => old.fromStored(stored, '/b'), /\/b can not be decrypted: the key "one" does not open it/],
    ['another key of that id', () => createTransformer({ keys: [{ ...two, id: 'one' }] }).fromStored(stored, '/a'), /does not open it/],
    ['cut short', () => old.fromStored(stored.subarray(0, 20), '/a'), /does not open it/],
    ['no key', () => createTransformer({ keys: [] }), /at least one key/],
    ['a short key', () => createTransformer({ keys: [{ id: 'x', secret: 'eA==' }] }), /32 bytes/],
  ];
  for (const [what, act, why] of cases) assert.throws(act, why, what);
  const changed = Buffer.from(stored);
  changed[changed.length - 1]! ^= 1;
  assert.throws(() => old.fromStored(changed, '/a'), /does not open it/);
});

test('in a store: nothing readable in its files, keys change, a missing key is refused', async () => {
  const path = join(directory, 'store.db');
  const open = (...keys: EncryptionKey[]) =>
    openSqliteStore({ path, ...(keys.length && { transformers: { [PREFIX]: aesGcm({ keys }) } }) });
  const put = (store: Awaited<ReturnType<typeof open>>, name: string, value: string) =>
    store.commit({ conditions: [], writes: [{ key: PREFIX + name, value: Buffer.from(value) }] });
  const files = () =>
    readdirSync(directory)
      .map(name => readFileSync(join(directory, name)).toString('latin1'))
      .join('');
  {
    await using store = await open();
    await put(store, 'plain', 'plain-words');
  }
  {
    await using store = await open(one);
    await put(store, 'hidden', 'hidden-words');
    assert.ok(!files().includes('hidden-words'), 'while it is open, in the log too');
    assert.equal(Buffer.from((await store.get(`${PREFIX}plain`))!.value).toString(), 'plain-words');
  }
  assert.ok(!files().includes('hidden-words'));
  {
    await using store = await open(two, one);
    assert.equal(await rewriteValues(store, PREFIX), 2);
    await store.compact(store.revision);
    assert.equal(Buffer.from((await store.get(`${PREFIX}hidden`))!.value).toString(), 'hidden-words');
  }
  {
    await using store = await open(two);
    const { entries } = await store.list(PREFIX);
    assert.deepEqual(
      entries.map(({ value }) => Buffer.from(value).toString()),
      ['hidden-words', 'plain-words'],
      'without the former key',
    );
  }
  await using store = await open(one);
  await assert.rejects(store.list(PREFIX), /encrypted with the key "two", which is not among the present ones/);
});
