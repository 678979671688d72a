import assert from 'node:assert/strict';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { buildImage, buildLayout, buildTar } from '#images/fixtures.ts';
import { mountsBelow } from '#linux/mount-table.ts';
import { CriBench } from './testing.ts';
import type { Mount, PodSandboxConfig } from './types.gen.ts';

const ids = [{ containerId: 0, hostId: 1_441_792, length: 65_536 }];
const ownUsers: Partial<PodSandboxConfig> = {
  linux: { securityContext: { namespaceOptions: { usernsOptions: { mode: 'POD', uids: ids, gids: ids } } } },
};

describe('parts of images as mounts', () => {
  let bench: CriBench;
  const prepared = () => mountsBelow(join(bench.directory, 'run/engine/mapped'));
  const part = (image: string, imageSubPath: string, containerPath = `/${image}`): Mount => ({
    containerPath,
    image: { image: `${image}:v1` },
    imageSubPath,
  });

  before(async () => {
    bench = await CriBench.open();
    chmodSync(bench.directory, 0o711); // users of a pod's own must find a way in
    const lower = buildTar([
      { name: 'a/' },
      { name: 'a/b/' },
      { name: 'a/b/one.txt', content: 'one\n' },
      { name: 'out', type: 'symlink', linkName: '/../../../../a' },
      { name: 'nowhere', type: 'symlink', linkName: '/etc/passwd' },
      { name: 'closed/', mode: 0o700, uid: 1000, gid: 1000 },
      { name: 'closed/of-1000', content: 'closed\n', mode: 0o600, uid: 1000, gid: 1000 },
    ]);
    const upper = buildTar([{ name: 'a/' }, { name: 'a/b/' }, { name: 'a/b/two.txt', content: 'two\n' }]);
    for (const [name, layers] of Object.entries({ single: [lower], double: [lower, upper] })) {
      const archive = join(bench.directory, `${name}.tar`);
      writeFileSync(archive, buildLayout(buildImage(layers), `docker.io/library/${name}:v1`));
      await bench.images.load(archive);
    }
  });
  afterEach(() => assert.deepEqual(prepared(), []));
  after(() => bench[Symbol.asyncDispose]());

  for (const [users, config] of [
    ['the machine’s users', {}],
    ['users of its own', ownUsers],
  ] as const) {
    it(`shows directories and files of one layer and of several, to a pod with ${users}`, async () => {
      const podSandboxId = await bench.sandbox(config);
      const id = await bench.running(podSandboxId, {
        mounts: [
          part('single', 'a/b'),
          part('double', 'a/b'),
          part('double', 'out/b', '/linked'),
          part('single', 'a/b/one.txt', '/etc/one'),
          part('double', 'closed/of-1000', '/etc/closed'),
          part('single', 'closed', '/closed'),
        ],
      });
      assert.deepEqual(
        prepared().filter(target => !target.endsWith('/root')),
        [],
      );
      const script = [
        'ls /single /double /linked',
        'cat /single/one.txt /double/two.txt /etc/one /etc/closed /closed/of-1000',
        'stat -c %u /double /etc/closed /closed',
        'touch /single/x 2>/dev/null || touch /double/x 2>/dev/null || echo read-only',
      ].join('; ');
      const said = await bench.sh(id, script);
      const listed = '/double:\none.txt\ntwo.txt\n\n/linked:\none.txt\ntwo.txt\n\n/single:\none.txt\n';
      assert.equal(said.split('\n').slice(0, 10).sort().join(), listed.split('\n').slice(0, 10).sort().join());
      assert.match(said, /one\ntwo\none\nclosed\nclosed\n0\n1000\n1000\nread-only\n$/);
      const { mounts = [] } = (await bench.runtime.call('ContainerStatus', { containerId: id })).status ?? {};
      assert.deepEqual(
        mounts.map(({ imageSubPath }) => imageSubPath),
        ['a/b', 'a/b', 'out/b', 'a/b/one.txt', 'closed/of-1000', 'closed'],
      );
      await bench.runtime.call('RemovePodSandbox', { podSandboxId });
    });

    it(`refuses what the image does not have, links out of it too, to a pod with ${users}; nothing stays`, async () => {
      const podSandboxId = await bench.sandbox(config);
      for (const path of ['none', 'a/b/one.txt/x', 'nowhere', '../../../../etc/passwd'])
        for (const image of ['single', 'double'])
          await assert.rejects(bench.container(podSandboxId, { mounts: [part('double', 'a', '/before'), part(image, path)] }), {
            reason: 'NotFound',
            message: new RegExp(
              `mount /${image}: (cannot access path ".*": image sha256:\\w+ has no such file|path concatenation escapes)`,
            ),
          });
      await bench.runtime.call('RemovePodSandbox', { podSandboxId });
    });

    it(`finds the part again when the agent ended between creation and start, for a pod with ${users}`, async () => {
      const podSandboxId = await bench.sandbox(config);
      const containerId = await bench.container(podSandboxId, { mounts: [part('double', 'a/b')] });
      assert.ok(prepared().length > 0);
      await bench.stop();
      await bench.start();
      assert.deepEqual(prepared(), []);
      await bench.runtime.call('StartContainer', { containerId });
      assert.equal(await bench.sh(containerId, 'cat /double/one.txt'), 'one\n');
      await bench.runtime.call('RemovePodSandbox', { podSandboxId });
    });
  }
});
