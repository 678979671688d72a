import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { readCgroupLayout } from '#linux/cgroup.ts';
import { TestCluster, until } from './cluster.ts';
import { HungMount } from './hung-mount.ts';
import { pod, shell } from './pod-manifests.ts';
import { podsOf } from './pods.ts';

const OUT_OF_DESCRIPTORS = /(EMFILE|[Tt]oo many open files)/;

describe('an agent that comes to a limit of the machine', () => {
  let cluster: TestCluster;
  const { apply, inPhase, read } = podsOf(() => cluster);
  const eventsOf = async (name: string) =>
    JSON.parse(await cluster.kubectl('get', 'events', '--field-selector', `involvedObject.name=${name}`, '-o', 'json')).items.map(
      ({ reason, message }: { reason: string; message: string }) => `${reason}: ${message}`,
    ) as string[];
  const said = (name: string, pattern: RegExp, timeoutMs = 20_000) =>
    until(`an event of ${name} like ${pattern}`, async () => (await eventsOf(name)).find(line => pattern.test(line)), timeoutMs).catch(
      async error => assert.fail(`${error.message}; there are\n${(await eventsOf(name)).join('\n')}\n${cluster.log('agent').slice(-2000)}`),
    );

  before(async () => {
    cluster = await TestCluster.up();
    await cluster.loadBusybox();
    await apply(pod('steady', [shell('sleep 100000')]));
    await inPhase('steady', 'Running');
  });
  after(() => cluster[Symbol.asyncDispose]());

  const isSteady = async (agent: number) => {
    assert.equal(cluster.pid('agent'), agent, 'the agent is the same');
    assert.equal((await read('steady')).status?.containerStatuses?.[0]?.restartCount, 0);
    assert.equal(await cluster.kubectl('exec', 'steady', '--', 'echo', 'here'), 'here\n');
  };

  test('out of descriptors: pods wait and say why, and run when there are some again', async () => {
    const agent = cluster.pid('agent');
    const limit = (soft: string) => execFileSync('prlimit', ['--pid', String(agent), `--nofile=${soft}:`]);
    // All numbers below are taken since its start; those above that it has already it keeps.
    limit('10');
    try {
      await apply(pod('thirsty', [shell('echo fine')], { restartPolicy: 'OnFailure' }));
      // Without a connection at hand it can tell only when it may open one.
      await said('thirsty', OUT_OF_DESCRIPTORS, 5_000).catch(() => {});
      assert.notEqual((await read('thirsty')).status?.phase, 'Succeeded');
    } finally {
      limit('20000');
    }
    await said('thirsty', OUT_OF_DESCRIPTORS, 60_000);
    await inPhase('thirsty', 'Succeeded');
    await isSteady(agent);
  });

  test('out of processes: pods wait and say why, and run when there is room again', async () => {
    const agent = cluster.pid('agent');
    const { controllers, unified } = readCgroupLayout();
    const root = controllers.pids ?? unified;
    const group = `${root}/${cluster.name}-agent`;
    const home = root + (/^\d+:(?:pids)?:(.*)$/m.exec(execFileSync('cat', [`/proc/${agent}/cgroup`], { encoding: 'utf8' }))?.[1] ?? '/');
    mkdirSync(group);
    try {
      writeFileSync(`${group}/cgroup.procs`, String(agent));
      writeFileSync(`${group}/pids.max`, String(readdirSync(`/proc/${agent}/task`).length));
      await apply(pod('alone', [shell('echo fine')], { restartPolicy: 'OnFailure' }));
      await said('alone', /(EAGAIN|Resource temporarily unavailable)/);
      writeFileSync(`${group}/pids.max`, 'max');
      await inPhase('alone', 'Succeeded');
      await isSteady(agent);
    } finally {
      for (const pid of execFileSync('cat', [`${group}/cgroup.procs`], { encoding: 'utf8' })
        .split('\n')
        .filter(Boolean))
        writeFileSync(`${home}/cgroup.procs`, pid);
      rmdirSync(group);
    }
  });

  test('a mount that hangs holds up only who asks for it, and says so', async () => {
    const agent = cluster.pid('agent');
    const directory = mkdtempSync(join(tmpdir(), `${cluster.name}hung-`));
    try {
      {
        await using hung = await HungMount.open(join(directory, 'share'));
        const volumes = [{ name: 'share', hostPath: { path: join(hung.path, 'deep'), type: 'Directory' } }];
        for (const name of ['hung-1', 'hung-2', 'hung-3', 'hung-4', 'hung-5'])
          await apply(pod(name, [shell('true', { volumeMounts: [{ name: 'share', mountPath: '/share' }] })], { volumes }));
        await apply(pod('beside', [shell('echo fine')]));
        await inPhase('beside', 'Succeeded');
        await said('hung-5', /^FailedMount: .*does not answer/);
        await isSteady(agent);
        await cluster.kubectl('delete', 'pod', 'hung-1', 'hung-2', 'hung-3', 'hung-4', 'hung-5');
      }
      await isSteady(agent);
    } finally {
      rmSync(directory, { recursive: true });
    }
    assert.ok(!existsSync(directory));
  });
});
