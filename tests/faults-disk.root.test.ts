import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { ConfigMap } from '#kinds/config-map.ts';
import { TestCluster, until } from './cluster.ts';
import { pod, shell } from './pod-manifests.ts';
import { podsOf } from './pods.ts';
import { SmallDisk } from './small-disk.ts';

describe('a disk that fills up under a whole cluster', () => {
  let cluster: TestCluster;
  let disk: SmallDisk;
  const { apply, inPhase, read, when } = podsOf(() => cluster);

  before(async () => {
    cluster = await TestCluster.open();
    disk = new SmallDisk({ path: cluster.dataDir, image: join(cluster.directory, 'disk.img'), megabytes: 128, inodes: 8_000 });
    await cluster.must('up');
    await cluster.loadBusybox();
  });
  after(async () => {
    await cluster.umiak('down', '--containers', '--grace', '0');
    disk[Symbol.dispose]();
    await cluster[Symbol.asyncDispose]();
  });

  const conditionOf = (type: string) => cluster.jsonPath('nodes', `{.items[0].status.conditions[?(@.type=="${type}")]['status','reason']}`);

  test('full: what is written is acknowledged or refused, what runs goes on, also over an agent killed meanwhile; then all is well', async () => {
    await apply(pod('runs', [shell('while :; do date; sleep 0.2; done')]));
    const before = await inPhase('runs', 'Running');
    disk.fill();
    const acknowledged: string[] = [];
    const client = await cluster.client();
    const create = async (name: string) => {
      const data = { text: 'x'.repeat(5_000) };
      await client.create(ConfigMap, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace: 'default' }, data });
      acknowledged.push(name);
    };
    await assert.rejects(async () => {
      for (let n = 0; n < 100; n++) await create(`late-${n}`);
    }, /no room left on the disk of the store .*store\.db/);
    const loading = await cluster.umiak('image', 'load', join(cluster.directory, 'busybox.tar'));
    assert.match(loading.stderr, /there is no space left on the disk of .*Make room/s);
    assert.match((await cluster.tryKubectl('exec', 'runs', '--', 'sh', '-c', 'echo hello > /x')).stderr, /No space left on device/);

    const killed = cluster.pid('agent');
    process.kill(killed, 'SIGKILL');
    await until('another agent, which can not tell the API of itself yet', () => cluster.pid('agent') !== killed, 20_000);
    disk.empty();
    await until('the node to be ready again', async () => (await cluster.umiak('status')).code === 0, 30_000);
    const names = (await client.list(ConfigMap, { namespace: 'default' })).items.map(({ metadata }) => metadata.name);
    assert.deepEqual(
      names.filter(name => name.startsWith('late-')).sort(),
      acknowledged.sort(),
      'all that was acknowledged, and nothing else',
    );
    await apply(pod('later', [shell('echo fine')]));
    await inPhase('later', 'Succeeded');
    const { status } = await read('runs');
    assert.equal(status?.containerStatuses?.[0]?.containerID, before.status?.containerStatuses?.[0]?.containerID);
    assert.equal(status?.containerStatuses?.[0]?.restartCount, 0);
  });

  test('nearly full: the node says so, and gets no new pods', async () => {
    disk.fill({ exceptMegabytes: 4 });
    await until('DiskPressure', async () => (await conditionOf('DiskPressure')) === 'True KubeletHasDiskPressure', 20_000);
    await apply(pod('unwanted', [shell('true')]));
    await when('unwanted', 'PodScheduled False', ({ status }) =>
      status?.conditions?.some(({ message }) => message?.includes('node.kubernetes.io/disk-pressure')),
    );
    disk.empty();
  });
});
