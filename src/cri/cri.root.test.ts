import assert from 'node:assert/strict';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { buildImage, buildLayout, buildTar } from '#images/fixtures.ts';
import { readCgroupLayout } from '#linux/cgroup.ts';
import { CriBench, containerConfig, sandboxConfig } from './testing.ts';
import type { ContainerStatus } from './types.gen.ts';

let bench: CriBench;
before(async () => {
  bench = await CriBench.open();
});
after(() => bench[Symbol.asyncDispose]());

const call: CriBench['runtime']['call'] = (name, request, options) => bench.runtime.call(name, request, options);
const statusOf = async (containerId: string): Promise<ContainerStatus> => ({
  state: 'CONTAINER_CREATED', // zeros are absent
  ...(await call('ContainerStatus', { containerId })).status,
});

async function exited(containerId: string): Promise<ContainerStatus> {
  using done = new DisposableStack();
  const { promise, resolve } = Promise.withResolvers<void>();
  done.use(bench.engine.subscribe(event => void (event.type === 'container' && event.container.state === 'exited' && resolve())));
  for (;;) {
    const status = await statusOf(containerId);
    if (status.state === 'CONTAINER_EXITED') return status;
    await promise;
  }
}

describe('RuntimeService', () => {
  it('runs a container from its sandbox to its removal', async () => {
    const podSandboxId = await bench.sandbox({ labels: { app: 'boat' }, annotations: { note: 'x' }, hostname: 'umiak' });
    const { status } = await call('PodSandboxStatus', { podSandboxId });
    assert.equal(status?.state ?? 'SANDBOX_READY', 'SANDBOX_READY');
    assert.deepEqual([status?.labels, status?.annotations, status?.network?.ip], [{ app: 'boat' }, { note: 'x' }, '127.0.0.1']);
    assert.deepEqual(status?.linux?.namespaces?.options?.pid, 'CONTAINER');
    assert.ok(Math.abs(Number(status?.createdAt) / 1e6 - Date.now()) < 60_000, 'nanoseconds');

    const containerId = await bench.container(podSandboxId, { labels: { tier: 'front' }, logPath: 'main/0.log' });
    assert.equal((await statusOf(containerId)).state, 'CONTAINER_CREATED');
    await call('StartContainer', { containerId });
    const running = await statusOf(containerId);
    assert.deepEqual([running.state, running.finishedAt ?? 0, running.exitCode ?? 0], ['CONTAINER_RUNNING', 0, 0]);
    assert.equal(running.stopSignal, 'SIGTERM');
    assert.equal(running.image?.image, 'docker.io/library/busybox:test');
    assert.match(running.imageId ?? '', /^sha256:/);
    assert.equal(running.logPath, join(bench.directory, 'logs/main/0.log'));
    assert.equal((await bench.sh(containerId, 'hostname; id -u')).trim(), 'umiak\n0');

    await call('StopContainer', { containerId, timeout: 10 });
    const stopped = await statusOf(containerId);
    assert.deepEqual([stopped.state, stopped.exitCode ?? 0, stopped.reason], ['CONTAINER_EXITED', 0, 'Completed']);
    assert.ok(Number(stopped.finishedAt) >= Number(stopped.startedAt) && Number(stopped.startedAt) > 0);
    await call('RemoveContainer', { containerId });
    await assert.rejects(call('ContainerStatus', { containerId }), { reason: 'NotFound' });
    await call('StopPodSandbox', { podSandboxId });
    assert.equal((await call('PodSandboxStatus', { podSandboxId })).status?.state, 'SANDBOX_NOTREADY');
    await call('RemovePodSandbox', { podSandboxId });
    await assert.rejects(call('PodSandboxStatus', { podSandboxId }), { reason: 'NotFound' });
  });

  it('stops and removes what is not there, or not any more, without complaint', async () => {
    const nobody = 'f'.repeat(64);
    for (const id of [nobody, 'abc', '']) {
      await call('StopPodSandbox', { podSandboxId: id });
      await call('RemovePodSandbox', { podSandboxId: id });
      await call('StopContainer', { containerId: id });
      await call('RemoveContainer', { containerId: id });
    }
    const podSandboxId = await bench.sandbox();
    const containerId = await bench.running(podSandboxId);
    for (let i = 0; i < 2; i++) await call('StopContainer', { containerId });
    for (let i = 0; i < 2; i++) await call('StopPodSandbox', { podSandboxId });
    for (let i = 0; i < 2; i++) await call('RemovePodSandbox', { podSandboxId });
    await assert.rejects(call('ContainerStatus', { containerId }), { reason: 'NotFound' }, 'its containers go with it');
  });

  it('removes a running container, killed', async () => {
    const podSandboxId = await bench.sandbox();
    const containerId = await bench.running(podSandboxId, { command: ['sh', '-c', 'trap "" TERM; while true; do sleep 1; done'] });
    await call('RemoveContainer', { containerId });
    assert.deepEqual((await call('ListContainers', { filter: { podSandboxId } })).containers ?? [], []);
    await call('RemovePodSandbox', { podSandboxId });
  });

  it('stops and removes what is just being started', async () => {
    const podSandboxId = await bench.sandbox();
    const containerId = await bench.container(podSandboxId);
    await Promise.all([call('StartContainer', { containerId }), call('StopContainer', { containerId })]);
    assert.equal((await statusOf(containerId)).state, 'CONTAINER_EXITED');
    const other = await bench.container(podSandboxId, { metadata: { name: 'other' } });
    await Promise.all([call('StartContainer', { containerId: other }), call('RemoveContainer', { containerId: other })]);
    await assert.rejects(call('ContainerStatus', { containerId: other }), { reason: 'NotFound' });
    await call('RemovePodSandbox', { podSandboxId });
  });

  it('runs a command to its end, both outputs apart, and kills it when its time is over', async () => {
    const podSandboxId = await bench.sandbox();
    const containerId = await bench.running(podSandboxId);
    const { stdout, stderr, exitCode } = await call('ExecSync', { containerId, cmd: ['sh', '-c', 'echo out; echo err >&2; exit 3'] });
    assert.deepEqual([String(stdout), String(stderr), exitCode], ['out\n', 'err\n', 3]);
    const late = call('ExecSync', { containerId, cmd: ['sleep', '321'], timeout: 1 });
    await assert.rejects(late, { reason: 'Timeout', message: /"sleep 321" timed out/ });
    const left = new AbortController();
    const held = call('ExecSync', { containerId, cmd: ['sleep', '322'] }, { signal: left.signal });
    setTimeout(() => left.abort(new Error('left')), 200);
    await assert.rejects(held, /left/);
    const large = await call('ExecSync', { containerId, cmd: ['dd', 'if=/dev/zero', 'bs=1M', 'count=20'] });
    assert.ok((large.stdout?.length ?? 0) > 15 << 20 && (large.stdout?.length ?? 0) < 16 << 20, 'as much as an answer holds');
    for (;;) if (!/sleep 32[12]/.test(await bench.sh(containerId, 'ps'))) break;
    await assert.rejects(call('ExecSync', { containerId, cmd: [] }), { reason: 'BadRequest' });
    await call('StopContainer', { containerId });
    await assert.rejects(call('ExecSync', { containerId, cmd: ['true'] }), { reason: 'Conflict' });
    await call('RemovePodSandbox', { podSandboxId });
  });

  it('tells how a container ended, and starts none twice', async () => {
    const podSandboxId = await bench.sandbox();
    const containerId = await bench.running(podSandboxId, { command: ['sh', '-c', 'exit 7'] });
    const status = await exited(containerId);
    assert.deepEqual([status.exitCode, status.reason], [7, 'Error']);
    await assert.rejects(call('StartContainer', { containerId }), { reason: 'Conflict', message: /CONTAINER_EXITED/ });
    const missing = await bench.container(podSandboxId, { metadata: { name: 'missing' }, command: ['/no/such/program'] });
    await assert.rejects(call('StartContainer', { containerId: missing }), /no such/i);
    const failed = await statusOf(missing);
    assert.equal(failed.state, 'CONTAINER_EXITED');
    assert.notEqual(failed.exitCode ?? 0, 0);
    await call('RemovePodSandbox', { podSandboxId });
  });

  it('gives names once: to a sandbox by name, namespace, uid and attempt, to a container by name and attempt', async () => {
    const config = sandboxConfig();
    const { metadata } = config;
    const podSandboxId = await bench.sandbox({ metadata });
    await assert.rejects(call('RunPodSandbox', { config }), { reason: 'AlreadyExists', message: new RegExp(podSandboxId) });
    const again = await bench.sandbox({ metadata: { ...metadata, attempt: 1 } });
    await bench.container(podSandboxId);
    await assert.rejects(bench.container(podSandboxId), { reason: 'AlreadyExists' });
    await bench.container(podSandboxId, { metadata: { name: 'main', attempt: 1 } });
    await bench.container(again);
    const twice = sandboxConfig();
    const outcomes = await Promise.allSettled([1, 2, 3].map(() => call('RunPodSandbox', { config: twice })));
    assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1);
    await call('RemovePodSandbox', { podSandboxId });
    await bench.sandbox({ metadata });
  });

  it('filters by id and its beginning, state and labels', async () => {
    const one = await bench.sandbox({ labels: { app: 'filter', n: '1' } });
    const two = await bench.sandbox({ labels: { app: 'filter', n: '2' } });
    await call('StopPodSandbox', { podSandboxId: two });
    const pods = async (filter: object) => ((await call('ListPodSandbox', { filter })).items ?? []).map(({ id }) => id).sort();
    assert.deepEqual(await pods({ labelSelector: { app: 'filter' } }), [one, two].sort());
    assert.deepEqual(await pods({ labelSelector: { app: 'filter' }, state: {} }), [one], 'a zero state is READY');
    assert.deepEqual(await pods({ labelSelector: { app: 'filter' }, state: { state: 'SANDBOX_NOTREADY' } }), [two]);
    assert.deepEqual(await pods({ id: two.slice(0, 20) }), [two]);
    assert.deepEqual(await pods({ id: 'nobody' }), []);
    const three = await bench.running(one, { labels: { c: '3' } });
    const four = await bench.container(one, { metadata: { name: 'four' }, labels: { c: '4' } });
    const containers = async (filter: object) => ((await call('ListContainers', { filter })).containers ?? []).map(({ id }) => id).sort();
    assert.deepEqual(await containers({ podSandboxId: one }), [three, four].sort());
    assert.deepEqual(await containers({ podSandboxId: one.slice(0, 16), state: { state: 'CONTAINER_RUNNING' } }), [three]);
    assert.deepEqual(await containers({ labelSelector: { c: '4' } }), [four]);
    assert.equal((await call('ContainerStatus', { containerId: four.slice(0, 12) })).status?.id, four);
    const streamed: (string | undefined)[] = [];
    for await (const { podSandboxes = [] } of bench.runtime.stream('StreamPodSandboxes', { filter: { id: one } }))
      streamed.push(...podSandboxes.map(({ id }) => id));
    assert.deepEqual(streamed, [one]);
    for (const podSandboxId of [one, two]) await call('RemovePodSandbox', { podSandboxId });
  });

  it('refuses by the name of the field what it can not honour', async () => {
    const run = (more: object) => call('RunPodSandbox', { config: sandboxConfig(more) });
    await assert.rejects(call('RunPodSandbox', {}), { reason: 'BadRequest', message: /^config: / });
    await assert.rejects(run({ metadata: { name: 'x', uid: 'y' } }), /config\.metadata\.namespace: must not be empty/);
    await assert.rejects(call('RunPodSandbox', { config: sandboxConfig(), runtimeHandler: 'kata' }), /kata/);
    const podSandboxId = await bench.sandbox();
    const create = (more: object) => bench.container(podSandboxId, more);
    await assert.rejects(create({ image: { image: 'nobody/knows:this' } }), { reason: 'NotFound' });
    await assert.rejects(create({ mounts: [{ hostPath: 'relative', containerPath: '/x' }] }), /mounts\[\/x\]\.host_path/);
    await assert.rejects(create({ linux: { securityContext: { runAsGroup: { value: 1 } } } }), /run_as_group: needs run_as_user/);
    await assert.rejects(call('CreateContainer', { podSandboxId: 'nobody', config: containerConfig() }), { reason: 'NotFound' });
    await assert.rejects(call('CheckpointContainer', {}), { reason: 'NotFound' });
    const containerId = await bench.running(podSandboxId, { metadata: { name: 'kept', attempt: 0 } });
    const checkpoint = call('CheckpointContainer', { containerId, location: 'here.tar' });
    await assert.rejects(checkpoint, { reason: 'BadRequest', message: /location "here.tar" must be an absolute path/ });
    await call('StopPodSandbox', { podSandboxId });
    await assert.rejects(create({}), { reason: 'Conflict', message: /not ready/ });
    await call('RemovePodSandbox', { podSandboxId });
  });

  it('honours what a container asks for', async () => {
    const podSandboxId = await bench.sandbox({ linux: { sysctls: { 'net.ipv4.ip_unprivileged_port_start': '0' } } });
    const hostPath = join(bench.directory, 'volume/not/there');
    const id = await bench.running(podSandboxId, {
      envs: [{ key: 'BOAT', value: Buffer.from('umiak=1') }],
      workingDir: '/tmp',
      mounts: [
        { hostPath, containerPath: '/data' },
        { hostPath: '/etc', containerPath: '/ro', readonly: true },
      ],
      linux: {
        resources: { memoryLimitInBytes: 64 << 20, cpuShares: 512, oomScoreAdj: 100 },
        securityContext: {
          runAsUser: { value: 1000 },
          runAsGroup: { value: 1001 },
          supplementalGroups: [3000],
          noNewPrivs: true,
          readonlyRootfs: true,
        },
      },
    });
    const told = await bench.sh(id, 'echo $BOAT; pwd; id -u; id -g; id -G; grep NoNewPrivs /proc/self/status; touch /x || echo ro');
    assert.match(told, /^umiak=1\n\/tmp\n1000\n1001\n.*3000.*\nNoNewPrivs:\t1\nro\n/);
    assert.equal(readFileSync(`/proc/${bench.engine.container(id)?.pid}/oom_score_adj`, 'utf8').trim(), '100');
    assert.ok(statSync(hostPath).isDirectory(), 'made, as every runtime does');
    const status = await statusOf(id);
    assert.deepEqual(
      status.mounts?.map(({ hostPath: from, containerPath, readonly = false }) => [from, containerPath, readonly]),
      [
        [hostPath, '/data', false],
        ['/etc', '/ro', true],
      ],
    );
    assert.deepEqual([status.resources?.linux?.memoryLimitInBytes, status.resources?.linux?.cpuShares], [64 << 20, 512]);
    await call('UpdateContainerResources', { containerId: id, linux: { memoryLimitInBytes: 96 << 20 } });
    assert.equal(bench.engine.limits(id).memoryLimitBytes, 96 << 20);
    assert.equal((await statusOf(id)).resources?.linux?.cpuShares, 512);
    await call('RemovePodSandbox', { podSandboxId });
  });

  it('shares, keeps and joins PID namespaces as it is told', async () => {
    const podSandboxId = await bench.sandbox({ linux: {} });
    const pids = async (id: string) => (await bench.sh(id, 'ps -o args')).split('\n').filter(line => line.startsWith('sleep')).length;
    const start = (name: string, namespaceOptions: object) =>
      bench.running(podSandboxId, {
        metadata: { name },
        command: ['sleep', '1000'],
        linux: { securityContext: { runAsUser: { value: 0 }, namespaceOptions } },
      });
    const [one, two, apart] = [await start('one', {}), await start('two', {}), await start('apart', { pid: 'CONTAINER' })];
    assert.deepEqual([await pids(one), await pids(two), await pids(apart)], [2, 2, 1]);
    const looking = await start('looking', { pid: 'TARGET', targetId: apart });
    assert.deepEqual([await pids(looking), await pids(apart)], [2, 2]);
    await call('RemovePodSandbox', { podSandboxId });
  });

  it('shows images as mounts, of one layer and of several', async () => {
    const layers = ['one', 'two'].map(name => buildTar([{ name: `${name}.txt`, content: Buffer.from(name) }]));
    const load = async (name: string, of: Buffer[]) => {
      const archive = join(bench.directory, `${name}.tar`);
      writeFileSync(archive, buildLayout(buildImage(of), `docker.io/library/${name}:v1`));
      await bench.images.load(archive);
    };
    await load('single', layers.slice(0, 1));
    await load('double', layers);
    const podSandboxId = await bench.sandbox();
    const id = await bench.running(podSandboxId, {
      mounts: ['single', 'double'].map(name => ({ containerPath: `/${name}`, image: { image: `${name}:v1` } })),
    });
    assert.equal(await bench.sh(id, 'cat /single/* /double/*; touch /double/x 2>/dev/null || echo ro'), 'oneonetworo\n');
    const { mounts = [] } = await statusOf(id);
    assert.match(mounts[1]?.image?.image ?? '', /^sha256:/);
    await bench.imageService.call('RemoveImage', { image: { image: 'double:v1' } });
    assert.equal(await bench.sh(id, 'cat /double/two.txt'), 'two', 'its content stays');
    await call('RemovePodSandbox', { podSandboxId });
  });

  it('limits a sandbox without a parent group by a group of its own, and changes it', async () => {
    const podSandboxId = await bench.sandbox({
      linux: { resources: { memoryLimitInBytes: 200 << 20 }, overhead: { memoryLimitInBytes: 8 << 20 } },
    });
    const limit = () => bench.engine.sandbox(podSandboxId)?.config.resources?.memoryLimitBytes;
    assert.equal(limit(), 208 << 20);
    await call('UpdatePodSandboxResources', { podSandboxId, resources: { memoryLimitInBytes: 300 << 20 } });
    assert.equal(limit(), 300 << 20);
    await call('RemovePodSandbox', { podSandboxId });
  });

  it("measures what the container's control group says", async () => {
    const podSandboxId = await bench.sandbox();
    const id = await bench.running(podSandboxId, { command: ['sleep', '1000'] });
    const groups = readFileSync(`/proc/${bench.engine.container(id)?.pid}/cgroup`, 'utf8');
    const { controllers, unified } = readCgroupLayout();
    const file = (controller: string, ofV1: string, ofV2: string) => {
      const root = controllers[controller];
      const path = new RegExp(root ? `^\\d+:(?:.*,)?${controller}(?:,.*)?:(.*)$` : '^0::(.*)$', 'm').exec(groups)?.[1];
      return readFileSync(join(root ?? unified ?? '', path ?? '', root ? ofV1 : ofV2), 'utf8');
    };
    const held = () => [
      Number(/\d+/.exec(file('cpuacct', 'cpuacct.usage', 'cpu.stat'))?.[0]) * (controllers.cpuacct ? 1 : 1000),
      Number(file('memory', 'memory.usage_in_bytes', 'memory.current')),
    ];
    for (;;) {
      const before = held();
      const { stats } = await call('ContainerStats', { containerId: id });
      if (held().join() !== before.join()) continue; // not at rest yet
      assert.deepEqual([stats?.cpu?.usageCoreNanoSeconds?.value, stats?.memory?.usageBytes?.value].map(Number), before);
      break;
    }
    await call('RemovePodSandbox', { podSandboxId });
  });

  it('tells of itself', async () => {
    const { runtimeName, runtimeApiVersion } = await call('Version', {});
    assert.deepEqual([runtimeName, runtimeApiVersion], ['umiak', 'v1']);
    const { status, runtimeHandlers = [], features, info } = await call('Status', { verbose: true });
    assert.deepEqual(
      status?.conditions?.map(({ type, status: isTrue }) => [type, isTrue]),
      [
        ['RuntimeReady', true],
        ['NetworkReady', true],
      ],
    );
    assert.deepEqual(
      runtimeHandlers.slice(0, 2).map(({ name = '' }) => name),
      ['', 'crun'],
    );
    assert.deepEqual(runtimeHandlers[1]?.features, { recursiveReadOnlyMounts: true, userNamespaces: true });
    assert.equal(features?.supplementalGroupsPolicy, true);
    assert.equal(JSON.parse(info?.info ?? '{}').scope, 'all');
    assert.equal((await call('RuntimeConfig', {})).linux?.cgroupDriver, 'CGROUPFS');
    await call('UpdateRuntimeConfig', { runtimeConfig: { networkConfig: { podCidr: '10.1.0.0/16' } } });
    const bad = call('UpdateRuntimeConfig', { runtimeConfig: { networkConfig: { podCidr: 'all' } } });
    await assert.rejects(bad, /pod_cidr: "all" is no network/);
  });
});
