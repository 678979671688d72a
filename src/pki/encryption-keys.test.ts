import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ensureEncryptionKeys, rotateEncryptionKeys, settleEncryptionKeys } from './encryption-keys.ts';

const directory = mkdtempSync(join(tmpdir(), `umiak-encryption-keys-${process.pid}-`));
after(() => rmSync(directory, { recursive: true, force: true }));

test('a key is made once, secret; a former one stays until everything is written with the newer', async () => {
  const path = join(directory, 'pki', 'encryption-keys.json');
  const [first, again] = await Promise.all([ensureEncryptionKeys(path), ensureEncryptionKeys(path)]);
  assert.deepEqual(first, again);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(first.pending, true, 'what stood there before is to be encrypted');
  const ids = async () => (await ensureEncryptionKeys(path)).keys.map(({ id }) => id);
  const second = await rotateEncryptionKeys(path);
  assert.deepEqual(await ids(), [second, first.keys[0]!.id]);
  await settleEncryptionKeys(path, first.keys[0]!.id);
  assert.equal((await ensureEncryptionKeys(path)).pending, true, 'a newer key came meanwhile');
  const third = await rotateEncryptionKeys(path);
  assert.equal((await ids()).length, 3, 'nothing goes while something may need it');
  await settleEncryptionKeys(path, third);
  assert.equal((await ensureEncryptionKeys(path)).pending, false);
  const fourth = await rotateEncryptionKeys(path);
  assert.deepEqual(await ids(), [fourth, third]);
  writeFileSync(path, '{"keys":[]}');
  await assert.rejects(ensureEncryptionKeys(path), /does not hold encryption keys/);
});
