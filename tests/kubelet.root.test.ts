import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { buildImage, buildLayout, buildTar } from '#images/fixtures.ts';
import type { Pod } from '#kinds/pod.ts';
import { TestCluster, until } from './cluster.ts';
import { type Container, FOREVER, type PodSpec, pod, shell } from './pod-manifests.ts';
import { podsOf } from './pods.ts';
import { walk } from './resources.ts';

describe('what the kubelet keeps an eye on while pods run', () => {
  let cluster: TestCluster;
  before(async () => {
    cluster = await TestCluster.up();
    await cluster.loadBusybox();
  });
  after(() => cluster[Symbol.asyncDispose]());

  const { apply, read, when, inPhase } = podsOf(() => cluster);
  const condition = ({ status }: Pod, type: string) => status?.conditions?.find(each => each.type === type);
  const ready = (name: string) => when(name, 'to be ready', found => condition(found, 'Ready')?.status === 'True');
  const inPod = (name: string, script: string) => cluster.kubectl('exec', name, '--', 'sh', '-c', script);
  const eventsOf = (name: string) => cluster.kubectl('get', 'events', '--field-selector', `involvedObject.name=${name}`);

  test('fsGroup: the token and a narrow Secret are the group’s to read, and nobody else’s', async () => {
    const look =
      'cd /var/run/secrets/kubernetes.io/serviceaccount; stat -L -c "%a %g" token ca.crt .; wc -c <token; stat -L -c "%a %u %g" /v/k';
    const spec = {
      securityContext: { runAsUser: 1234, fsGroup: 777 },
      volumes: [{ name: 'v', secret: { secretName: 'narrow', defaultMode: 0o400 } }],
    };
    const containers = [
      shell(look, { volumeMounts: [{ name: 'v', mountPath: '/v' }] }),
      shell(look, { name: 'other', securityContext: { runAsUser: 4321 }, volumeMounts: [{ name: 'v', mountPath: '/v' }] }),
    ];
    await apply(
      { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'narrow' }, stringData: { k: 'v' } },
      pod('grouped', containers, spec),
    );
    await inPhase('grouped', 'Succeeded');
    for (const name of ['main', 'other'])
      assert.match(await cluster.kubectl('logs', 'grouped', '-c', name), /^640 777\n644 777\n2755 777\n\d{3,}\n440 0 777\n$/);
  });

  test('a resize that the node has no room for waits, or is said to be infeasible', async () => {
    const cpus = Number(await cluster.kubectl('get', 'nodes', '-o', 'jsonpath={.items[0].status.allocatable.cpu}'));
    const asking = (cpu: string): Partial<Container> => ({ resources: { requests: { cpu } } });
    await apply(
      pod('growing', [shell(FOREVER, asking('100m'))]),
      pod('in-the-way', [shell(FOREVER, asking(`${(cpus - 1) * 1000 + 500}m`))]),
    );
    await Promise.all([ready('growing'), ready('in-the-way')]);
    const resize = async (cpu: string) => {
      const patch = JSON.stringify({ spec: { containers: [{ name: 'main', ...asking(cpu) }] } });
      await cluster.kubectl('patch', 'pod', 'growing', '--subresource', 'resize', '-p', patch);
    };
    const pendingFor = (reason: string) =>
      when(
        'growing',
        reason,
        found =>
          condition(found, 'PodResizePending')?.reason === reason &&
          condition(found, 'PodResizePending')?.observedGeneration === found.metadata.generation,
      );
    await resize('900m');
    const deferred = await pendingFor('Deferred');
    assert.match(
      condition(deferred, 'PodResizePending')?.message ?? '',
      /^Node didn't have enough resource: cpu, requested: 900, used: \d+, capacity: \d+$/,
    );
    assert.equal(deferred.status?.containerStatuses?.[0]?.allocatedResources?.cpu, '100m');
    assert.equal(deferred.status?.containerStatuses?.[0]?.resources?.requests?.cpu, '100m');
    await resize('1000');
    const infeasible = await pendingFor('Infeasible');
    const capacity = cpus * 1000;
    assert.equal(
      condition(infeasible, 'PodResizePending')?.message,
      `Node didn't have enough capacity: cpu, requested: 1000000, capacity: ${capacity}`,
    );
    await resize('900m');
    await pendingFor('Deferred');
    await cluster.kubectl('delete', 'pod', 'in-the-way', '--now');
    const granted = await when(
      'growing',
      'the resize',
      found => found.status?.containerStatuses?.[0]?.resources?.requests?.cpu === '900m' && !condition(found, 'PodResizePending'),
    );
    assert.equal(granted.status?.containerStatuses?.[0]?.allocatedResources?.cpu, '900m');
    assert.equal(granted.status?.containerStatuses?.[0]?.restartCount, 0);
    assert.match(await inPod('growing', 'cat /sys/fs/cgroup/cpu/cpu.shares /sys/fs/cgroup/cpu.weight 2>/dev/null; true'), /^(921|36)\n$/);
    const events = await eventsOf('growing');
    for (const reason of ['ResizeDeferred', 'ResizeInfeasible', 'ResizeStarted', 'ResizeCompleted'])
      assert.ok(events.includes(reason), events);
    await cluster.kubectl('delete', 'pod', 'growing', '--now');
  });

  test('a log is put away when it is long, and who follows it misses nothing', { timeout: 120_000 }, async () => {
    const lines = 60_000;
    const script = `i=0; while [ $i -lt ${lines} ]; do echo "$i ${'x'.repeat(200)}"; i=$((i+1)); done; until [ -e /go ]; do sleep 0.1; done; echo after`;
    await apply(pod('talker', [shell(script)]));
    await ready('talker');
    const followed = cluster.kubectl('logs', '-f', 'talker');
    const files = () => walk(join(cluster.dataDir, 'pods')).filter(({ path }) => /_talker_.*\.log/.test(path));
    await until('the rotation', async () => files().length > 1 || undefined, 60_000);
    await inPod('talker', 'touch /go');
    const said = (await followed).trim().split('\n');
    assert.equal(said.length, lines + 1);
    assert.ok(said.slice(0, -1).every((line, i) => line.startsWith(`${i} x`)));
    assert.equal(said.at(-1), 'after');
    await inPhase('talker', 'Succeeded');
    assert.equal((await cluster.kubectl('logs', 'talker', '--tail=2')).split('\n')[1], 'after');
  });

  test('pods that have more on the disk than they may are evicted', { timeout: 120_000 }, async () => {
    const fill = (where: string) => `head -c 3000000 /dev/urandom >${where}; ${FOREVER}`;
    const limits = { resources: { limits: { 'ephemeral-storage': '2Mi' } } };
    const mounted = { volumeMounts: [{ name: 'v', mountPath: '/v' }] };
    const spec: PodSpec = { terminationGracePeriodSeconds: 600, restartPolicy: 'Always' };
    await apply(
      pod('in-volume', [shell(fill('/v/data'), mounted)], { ...spec, volumes: [{ name: 'v', emptyDir: { sizeLimit: '2Mi' } }] }),
      pod('in-root', [shell(fill('/data'), limits)], spec),
      pod('in-log', [shell(`head -c 2500000 /dev/urandom | base64; ${FOREVER}`, limits)], spec),
      pod('within', [shell(fill('/v/data'), mounted)], { ...spec, volumes: [{ name: 'v', emptyDir: { sizeLimit: '4Mi' } }] }),
    );
    const total = /^Pod ephemeral local storage usage exceeds the total limit of containers 2Mi\. $/;
    for (const [name, message] of [
      ['in-volume', /^Usage of EmptyDir volume "v" exceeds the limit "2Mi"\. $/],
      ['in-root', total],
      ['in-log', total],
    ] as const) {
      const { status } = await inPhase(name, 'Failed');
      assert.equal(status?.reason, 'Evicted');
      assert.match(status?.message ?? '', message);
      assert.ok(status?.containerStatuses?.[0]?.state?.terminated);
      assert.match(await eventsOf(name), /Evicted/);
    }
    assert.equal((await read('within')).status?.phase, 'Running');
    await cluster.kubectl('delete', 'pod', 'within', '--now');
  });

  test('a volume from an image: its layers as one, to be read, not to be run; a part of it; what is not there', async () => {
    const below = [
      { name: 'data/' },
      { name: 'data/old', content: 'below' },
      { name: 'data/run', content: '#!/bin/sh\necho ran\n', mode: 0o755 },
      { name: 'gone', content: 'x' },
    ];
    const above = [{ name: 'data/' }, { name: 'data/new', content: 'above' }, { name: '.wh.gone', content: '' }];
    const images = { whole: buildImage([buildTar(below), buildTar(above)]), one: buildImage([buildTar(below)]) };
    for (const [name, image] of Object.entries(images)) {
      const archive = join(cluster.directory, `${name}.tar`);
      writeFileSync(archive, buildLayout(image, `docker.io/library/${name}:test`));
      await cluster.must('image', 'load', archive);
    }
    const from = (name: string, pullPolicy = 'IfNotPresent') => ({ name, image: { reference: `${name}:test`, pullPolicy } });
    const look = 'ls /w /o; cat /w/data/old /w/data/new /p/old; touch /w/x /w/data/old 2>&1; /w/data/run 2>&1; /o/data/run 2>&1';
    const volumeMounts = [
      { name: 'whole', mountPath: '/w' },
      { name: 'one', mountPath: '/o' },
      { name: 'whole', mountPath: '/p', subPath: 'data' },
    ];
    const command = `${look}; ${FOREVER}`;
    await apply(
      pod('reader', [shell(command, { volumeMounts }), shell(FOREVER, { name: 'idle' })], { volumes: [from('whole'), from('one')] }),
      pod('absent', [shell('true', { volumeMounts: [{ name: 'nothing', mountPath: '/n' }] })], { volumes: [from('nothing', 'Never')] }),
    );
    await ready('reader');
    const said = await until('all that it says', async () => {
      const text = await cluster.kubectl('logs', 'reader', '-c', 'main');
      return text.includes('/o/data/run') ? text : undefined;
    });
    assert.match(said, /^\/o:\ndata\ngone\n\n\/w:\ndata\nbelowabovebelow/);
    assert.equal(said.match(/Read-only file system/g)?.length, 2, said);
    assert.equal(said.match(/data\/run: Permission denied/g)?.length, 2, said);
    const waiting = await when(
      'absent',
      'to wait',
      found => found.status?.containerStatuses?.[0]?.state?.waiting?.reason === 'ErrImageNeverPull',
    );
    assert.match(
      waiting.status?.containerStatuses?.[0]?.state?.waiting?.message ?? '',
      /"nothing:test" is not present with pull policy of Never/,
    );

    // What is looked at stays, and goes with the pod.
    assert.notEqual((await cluster.umiak('image', 'rm', 'whole:test')).code, undefined);
    assert.equal(await inPod('reader', 'cat /p/old'), 'below');
    const uid = (await read('reader')).metadata.uid;
    assert.ok(mountsOf(uid).length >= 3);
    await cluster.kubectl('delete', 'pod', 'reader', 'absent', '--now');
    assert.deepEqual(mountsOf(uid), []);
  });
});

function mountsOf(uid: string): string[] {
  return readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .filter(line => line.includes(`/volumes/${uid}/`));
}
