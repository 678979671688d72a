import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { silentLog, systemClock } from '#base/index.ts';
import { ensureEncryptionKeys, rotateEncryptionKeys } from '#pki/encryption-keys.ts';
import { openSqliteStore } from '#store/sqlite-store.ts';
import { openEncryptedStore, settleEncryption } from './encryption.ts';

const directory = mkdtempSync(join(tmpdir(), `umiak-encryption-${process.pid}-`));
after(() => rmSync(directory, { recursive: true, force: true }));

const SECRET = '/registry/core/secrets/default/a';
const CONFIG = '/registry/core/configmaps/default/a';
const path = join(directory, 'store.db');
const keysPath = join(directory, 'pki', 'encryption-keys.json');
const open = () => openEncryptedStore({ path, keysPath, clock: systemClock, log: silentLog });
const text = (value: Uint8Array | undefined) => Buffer.from(value ?? []).toString();

/** With which keys the newest rows of the database are encrypted. */
function keyIdsOnDisk(): string[] {
  const bytes = readdirSync(directory)
    .filter(name => name.startsWith('store.db'))
    .map(name => readFileSync(join(directory, name)).toString('latin1'))
    .join('');
  return [...new Set([...bytes.matchAll(/aesgcm1.([0-9a-f]{8})/gs)].map(([, id]) => id!))];
}

test('Secrets that stood there plain are encrypted, all that comes is, and a rotation leaves none with the former key', async () => {
  {
    await using store = await openSqliteStore({ path });
    await store.commit({ writes: [SECRET, CONFIG].map(key => ({ key, value: Buffer.from(`words of ${key}`) })) });
  }
  const first = (await ensureEncryptionKeys(keysPath)).keys[0]!;
  {
    const opened = await open();
    await using store = opened.store;
    assert.equal(text((await store.get(SECRET))?.value), `words of ${SECRET}`);
    const before = store.revision;
    await settleEncryption(opened, keysPath, silentLog);
    await settleEncryption(opened, keysPath, silentLog);
    assert.equal(store.revision, before + 1, 'once, and Secrets only');
    assert.ok(keyIdsOnDisk().includes(first.id));
  }
  const second = await rotateEncryptionKeys(keysPath);
  {
    const opened = await open();
    await using store = opened.store;
    await settleEncryption(opened, keysPath, silentLog);
    assert.ok(keyIdsOnDisk().includes(second));
    assert.equal(store.compactedRevision, store.revision, 'nothing older is left that only the former key opens');
    assert.equal((await ensureEncryptionKeys(keysPath)).pending, false);
  }
  // The next rotation lets the first key go.
  await rotateEncryptionKeys(keysPath);
  assert.ok(!(await ensureEncryptionKeys(keysPath)).keys.some(({ id }) => id === first.id));
  await using store = (await open()).store;
  assert.equal(text((await store.get(SECRET))?.value), `words of ${SECRET}`);
  assert.equal(text((await store.get(CONFIG))?.value), `words of ${CONFIG}`);
});

test('a key that comes while a store is open is settled by the next start, which writes with it', async () => {
  const opened = await open();
  await using store = opened.store;
  await settleEncryption(opened, keysPath, silentLog);
  const newer = await rotateEncryptionKeys(keysPath);
  const before = store.revision;
  await settleEncryption(opened, keysPath, silentLog);
  assert.equal(store.revision, before);
  const { keys, pending } = await ensureEncryptionKeys(keysPath);
  assert.ok(pending, 'or the next rotation would let go of the key that everything is written with');
  assert.deepEqual([keys[0]?.id, keys[1]?.id], [newer, opened.key]);
});
