import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Pod } from '#kinds/pod.ts';
import { TestCluster, until } from './cluster.ts';
import { pod, shell } from './pod-manifests.ts';
import { podsOf } from './pods.ts';
import { walk } from './resources.ts';

const PIDS_LIMIT = 200;
const MB = 1 << 20;

describe('containers that do what they should not', () => {
  let cluster: TestCluster;
  const { apply, inPhase, read } = podsOf(() => cluster);
  const eventsOf = async (name: string) =>
    JSON.parse(await cluster.kubectl('get', 'events', '--field-selector', `involvedObject.name=${name}`, '-o', 'json')).items.map(
      ({ reason, message }: { reason: string; message: string }) => `${reason}: ${message}`,
    ) as string[];
  const terminatedOf = (found: Pod) => found.status?.containerStatuses?.[0]?.state?.terminated;
  const seconds = async (work: () => Promise<unknown>) => {
    const began = performance.now();
    await work();
    return (performance.now() - began) / 1000;
  };
  const processesOf = (found: Pod) =>
    cluster.processes().filter(({ environment }) => environment.includes(`HOSTNAME=${found.metadata.name}`));

  before(async () => {
    cluster = await TestCluster.up({ UMIAK_POD_PIDS_LIMIT: String(PIDS_LIMIT) });
    await cluster.loadBusybox();
  });
  after(() => cluster[Symbol.asyncDispose]());

  test('one that ignores SIGTERM is killed after its grace, and so is all that it started', async () => {
    const deaf = 'trap "" TERM; (trap "" TERM; while :; do sleep 1; done) & while :; do sleep 1; done';
    await apply(pod('deaf', [shell(deaf)], { terminationGracePeriodSeconds: 2 }));
    const running = await inPhase('deaf', 'Running');
    const took = await seconds(() => cluster.kubectl('delete', 'pod', 'deaf'));
    assert.ok(took > 2 && took < 8, `${took} s`);
    assert.deepEqual(processesOf(running), []);
    assert.ok((await eventsOf('deaf')).includes('Killing: Stopping container main'));
  });

  test('one that forks without end comes to its limit, others and the machine do not notice, and it ends', async () => {
    await apply(pod('bomb', [shell('while :; do (while :; do sleep 1000 & done); sleep 0.1; done')]), pod('quiet', [shell('sleep 1000')]));
    const running = await inPhase('bomb', 'Running');
    await inPhase('quiet', 'Running');
    const id = running.status?.containerStatuses?.[0]?.containerID?.split('//')[1] ?? '';
    const pids = () => Number(readFileSync(findCgroup('pids', id, 'pids.current'), 'utf8'));
    await until('the limit', () => pids() > PIDS_LIMIT * 0.8, 20_000);
    assert.ok(pids() <= PIDS_LIMIT);
    assert.equal((await cluster.tryKubectl('exec', 'quiet', '--', 'echo', 'here')).stdout, 'here\n');
    assert.ok((await seconds(() => cluster.kubectl('delete', 'pod', 'bomb'))) < 10);
    assert.deepEqual(processesOf(running), []);
  });

  test('one that runs out of memory is told as OOMKilled, others go on', async () => {
    await apply(pod('greedy', [shell('tail /dev/zero', { resources: { limits: { memory: '20Mi' } } })]));
    const terminated = terminatedOf(await inPhase('greedy', 'Failed'));
    assert.deepEqual([terminated?.reason, terminated?.exitCode], ['OOMKilled', 137]);
    assert.equal((await read('quiet')).status?.containerStatuses?.[0]?.restartCount, 0);
  });

  test('one that floods its log gets it rotated, and its end is in it', async () => {
    await apply(
      pod('flood', [shell('dd if=/dev/zero bs=1M count=40 2>/dev/null | tr "\\0" "x" | fold -w 1000; echo the end; sleep 1000')]),
    );
    const running = await inPhase('flood', 'Running');
    const directory = join(cluster.dataDir, 'pods', `default_flood_${running.metadata.uid}`, 'main');
    await until('the end in the log', async () => (await cluster.tryKubectl('logs', 'flood', '--tail=1')).stdout.endsWith('the end\n'));
    // Between its renaming and its opening anew there is none.
    const size = () => statSync(join(directory, '0.log'), { throwIfNoEntry: false })?.size ?? Number.POSITIVE_INFINITY;
    await until('rotation', () => size() < 10 * MB && readdirSync(directory).length > 1, 30_000);
  });

  test('one that fills its disk is evicted, and says why', async () => {
    const limits = { 'ephemeral-storage': '10Mi' };
    await apply(pod('hoarder', [shell('dd if=/dev/zero of=/big bs=1M count=20; sleep 1000', { resources: { limits } })]));
    const evicted = await inPhase('hoarder', 'Failed');
    assert.equal(evicted.status?.reason, 'Evicted');
    assert.match(evicted.status?.message ?? '', /ephemeral/);
    assert.ok((await eventsOf('hoarder')).some(line => line.startsWith('Evicted: ')));
  });

  test('a probe and an exec that hang are ended in time', async () => {
    const hang = { exec: { command: ['sh', '-c', 'trap "" TERM; while :; do sleep 1; done'] }, timeoutSeconds: 1, periodSeconds: 1 };
    await apply(pod('stuck', [shell('sleep 1000', { readinessProbe: { ...hang, failureThreshold: 1 } as never })]));
    await until('an event', async () => (await eventsOf('stuck')).some(line => /^Unhealthy: Readiness probe failed: .*tim/.test(line)));
    const stuck = await read('stuck');
    assert.equal(stuck.status?.containerStatuses?.[0]?.ready, false);
    // What a probe started is gone with it: at most the one that is under way is there.
    await until('no heap of probes', () => processesOf(stuck).length <= 4, 10_000);
    const exec = cluster.tryKubectl('exec', 'stuck', '--', 'sh', '-c', 'trap "" TERM; while :; do sleep 1; done');
    await until('the exec', () => processesOf(stuck).length >= 2, 10_000);
    assert.ok((await seconds(() => cluster.kubectl('delete', 'pod', 'stuck'))) < 10);
    assert.notEqual((await exec).code, 0);
    assert.deepEqual(processesOf(stuck), []);
  });
});

function findCgroup(controller: string, id: string, file: string): string {
  const roots = [`/sys/fs/cgroup/${controller}`, '/sys/fs/cgroup'];
  for (const root of roots) {
    const found = walk(root).find(({ path }) => path.endsWith(`${id}/${file}`));
    if (found) return found.path;
  }
  throw new Error(`no control group of ${id}`);
}
