import assert from 'node:assert/strict';
import { chownSync, lstatSync, mkdirSync, readlinkSync, rmSync, watch, writeFileSync } from 'node:fs';
import { after, afterEach, before, describe, test } from 'node:test';
import { mountsBelow } from '#linux/mount-table.ts';
import { assertNoLeak, type Resources } from '#tests/resources.ts';
import type { Mount } from './engine.ts';
import { EngineBench } from './test-bench.ts';
import { IDS_PER_SANDBOX } from './user-namespaces.ts';

/** What an engine promises of sandboxes with users of their own, with real containers. Needs root. */
export function runUserNamespaceSuite(runtime: 'crun' | 'runc'): void {
  describe(`user namespaces over ${runtime}`, () => {
    const bench = new EngineBench('userns', runtime);
    let empty: Resources;
    before(async () => {
      await bench.open();
      watch(bench.directory).close(); // what Node opens once and keeps
      await bench.run('true', {}, await bench.sandbox({ pid: 'pod', ownUsers: true }));
      await bench.clear();
      empty = bench.resources();
    });
    afterEach(async () => {
      await bench.clear();
      assertNoLeak(empty, bench.resources());
    });
    after(() => bench[Symbol.asyncDispose]());

    test('root inside is nobody’s root outside; files, /dev/shm and the sandbox’s files are its own', async () => {
      const pod = await bench.sandbox({ ownUsers: true, hostname: 'inside' });
      const hostId = pod.config.userNamespace?.uids[0]?.hostId ?? 0;
      assert.ok(hostId >= IDS_PER_SANDBOX);
      const script = [
        'cat /proc/self/uid_map /proc/self/gid_map',
        'id -u',
        'hostname other && hostname',
        'stat -c "%u %g" /etc/passwd /etc/hosts /etc/hostname /dev/shm /dev/pts /bin',
        'touch /made /dev/shm/made && stat -c "%u" /made /dev/shm/made',
        'mount -t tmpfs none /tmp && echo mounted',
        'echo ended',
      ].join('; ');
      const capabilities = { add: ['SYS_ADMIN'] };
      const { output, container } = await bench.run(script, { security: { capabilities, seccomp: 'unconfined' } }, pod);
      const map = new RegExp(`^ +0 +${hostId} +65536\n +0 +${hostId} +65536\n0\nother\n(0 0\n){6}0\n0\nmounted\n`);
      assert.match(output, map);
      assert.match(output, /ended\n$/);
      assert.equal(lstatSync(`${bench.engine.writableDirectory(container.id)}/made`).uid, hostId);
    });

    test('two pods share no ids, and what is freed is given again', async () => {
      const [one, two] = [await bench.sandbox({ ownUsers: true }), await bench.sandbox({ ownUsers: true })];
      const first = one.config.userNamespace;
      assert.notDeepEqual(first, two.config.userNamespace);
      await bench.open();
      const three = await bench.sandbox({ ownUsers: true });
      assert.equal(new Set([one, two, three].map(({ config }) => config.userNamespace?.uids[0]?.hostId)).size, 3, 'after a restart, too');
      await bench.engine.removeSandbox(one.id);
      assert.deepEqual((await bench.sandbox({ ownUsers: true })).config.userNamespace, first);
    });

    test('volumes have inside the owners that they have on the disk, files and directories', async () => {
      const volume = `${bench.directory}/volume`;
      mkdirSync(volume, { mode: 0o700 });
      writeFileSync(`${volume}/secret`, 'x', { mode: 0o600 });
      chownSync(`${volume}/secret`, 1000, 1001);
      chownSync(volume, 1000, 1001);
      const mounts = [
        { source: volume, destination: '/v' },
        { source: `${volume}/secret`, destination: '/etc/secret', readOnly: true },
      ];
      const script =
        'stat -c "%u %g %a" /v /v/secret /etc/secret; cat /v/secret; touch /v/made; stat -c %u /v/made; touch /etc/secret 2>/dev/null || echo no';
      const pod = await bench.sandbox({ ownUsers: true });
      const { output } = await bench.run(script, { mounts, security: { user: '1000:1001' } }, pod);
      assert.match(output, /^1000 1001 700\n1000 1001 600\n1000 1001 600\nx1000\n.*no\n$/s);
      assert.equal(lstatSync(`${volume}/made`).uid, 1000);
      rmSync(volume, { recursive: true });
    });

    test('the layers of an image are shown as one volume', async () => {
      const layers = ['upper', 'lower'].map(name => `${bench.directory}/closed/${name}`);
      for (const layer of layers) {
        mkdirSync(layer);
        writeFileSync(`${layer}/${layer.split('/').at(-1)}`, '', { mode: 0o600 });
      }
      const mounts: Mount[] = [{ type: 'overlay', source: 'image', destination: '/v', lowerDirs: layers }];
      const { output } = await bench.run(
        'cd /v; stat -c "%n %u" *; touch x 2>/dev/null || echo no',
        { mounts },
        await bench.sandbox({ ownUsers: true }),
      );
      assert.equal(output, 'lower 0\nupper 0\nno\n');
      for (const layer of layers) rmSync(layer, { recursive: true });
    });

    test('a volume that can not be shown so is refused by its name', async () => {
      const pod = await bench.sandbox({ ownUsers: true });
      await assert.rejects(
        bench.create('true', { mounts: [{ source: '/proc', destination: '/host' }] }, pod),
        /mount \/host: the file system of \/proc has no idmapped mounts/,
      );
      await assert.rejects(
        bench.create('true', { security: { user: '70000' } }, pod),
        /user 70000 has no place in the sandbox's user namespace/,
      );
    });

    test('containers of a pod share its user namespace, and its PID namespace if they are to; exec is inside', async () => {
      const pod = await bench.sandbox({ ownUsers: true, pid: 'pod' });
      const one = await bench.start('sleep 1000', {}, pod);
      const two = await bench.start('sleep 1000', { metadata: { name: 'two', attempt: 0 }, security: { privileged: true } }, pod);
      const namespace = (pid: number | undefined) => readlinkSync(`/proc/${pid}/ns/user`);
      assert.equal(namespace(one.pid), namespace(two.pid));
      assert.notEqual(namespace(one.pid), readlinkSync('/proc/self/ns/user'));
      const script = 'ps | grep -c "[s]leep 1000"; cat /proc/self/uid_map; id -u; mount -t tmpfs none /tmp && echo mounted';
      const said = await bench.engine.execSync(two.id, { command: ['sh', '-c', script], timeoutMs: 10_000 });
      assert.match(said.output, /^2\n +0 +\d{5,} +65536\n0\nmounted\n/, said.output);
      await bench.open();
      const again = await bench.engine.execSync(one.id, { command: ['id', '-u'], timeoutMs: 10_000 });
      assert.equal(again.output, '0\n', 'adopted by another engine');
      assert.deepEqual(mountsBelow(`${bench.directory}/run/engine/mapped`), [], 'nothing stands that is not needed');
    });

    test('the machine’s namespaces are not for users of one’s own', async () => {
      await assert.rejects(bench.sandbox({ ownUsers: true, network: 'host' }), /machine's network namespace/);
      const none = await bench.sandbox({ ownUsers: true, network: 'none' });
      assert.match((await bench.run('id -u; cat /proc/self/uid_map', {}, none)).output, /^0\n +0 +\d+ +65536\n$/);
    });

    test('a container that ended starts again with what it wrote', async () => {
      const pod = await bench.sandbox({ ownUsers: true });
      const { container } = await bench.run('echo x >> /log; cat /log; stat -c %u /log', {}, pod);
      await bench.engine.startContainer(container.id);
      const again = await bench.exited(container.id);
      assert.deepEqual([again.exitCode, again.reason], [0, 'Completed']);
    });
  });
}
