import assert from 'node:assert/strict';
import { existsSync, lstatSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { mountsBelow } from '#linux/mount-table.ts';
import { EngineBench } from './test-bench.ts';

test('containers run on copies of their image; what they write stays through a restart of the engine', async () => {
  await using bench = new EngineBench('copies', 'crun', { snapshotter: 'copy' });
  await bench.open();
  const { container } = await bench.run('echo written > /file; rm /etc/group; ls -d /proc /dev');
  assert.equal(container.exitCode, 0);
  const directory = bench.engine.writableDirectory(container.id);
  assert.equal(readFileSync(`${directory}/file`, 'utf8'), 'written\n');
  await bench.open();
  const again = await bench.engine.startContainer(container.id);
  await bench.exited(again.id);
  assert.equal(readFileSync(`${directory}/file`, 'utf8'), 'written\n');
  assert.ok(!existsSync(`${directory}/etc/group`));
  assert.ok(existsSync(`${bench.directory}/image/etc/group`), 'the image is as it was');
  assert.ok(!mountsBelow(bench.directory).some(target => target.endsWith('/merged')));
  await bench.engine.removeContainer(container.id);
  assert.ok(!existsSync(directory));
});

test('a pod with users of its own has a copy that belongs to them', async () => {
  await using bench = new EngineBench('copies-users', 'crun', { snapshotter: 'copy' });
  await bench.open();
  const { output, container } = await bench.run(
    'stat -c "%u %g" /bin /etc/passwd; touch /made',
    {},
    await bench.sandbox({ ownUsers: true }),
  );
  assert.equal(output, '0 0\n0 0\n');
  const hostId = bench.engine.sandbox(container.config.sandboxId)?.config.userNamespace?.uids[0]?.hostId;
  assert.equal(lstatSync(`${bench.engine.writableDirectory(container.id)}/made`).uid, hostId);
  assert.equal(lstatSync(`${bench.directory}/image/bin`).uid, 0, 'the image is as it was');
});
