import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, rmdirSync, statSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { criSchema, RUNTIME_SERVICE } from '#cri/schema.ts';
import { containerConfig, sandboxConfig } from '#cri/testing.ts';
import type { PodSandboxConfig, RuntimeService } from '#cri/types.gen.ts';
import { readCgroupLayout } from '#linux/cgroup.ts';
import { GrpcClient } from '#wire/grpc/client.ts';
import { TestCluster, until } from './cluster.ts';

describe('cri.sock of an agent', () => {
  let cluster: TestCluster;
  let client: GrpcClient<RuntimeService>;
  before(async () => {
    cluster = await TestCluster.up();
    await cluster.loadBusybox();
    client = new GrpcClient<RuntimeService>({ schema: criSchema, service: RUNTIME_SERVICE, socketPath: `${cluster.runDir}/cri.sock` });
  });
  after(async () => {
    client?.[Symbol.dispose]();
    await cluster?.[Symbol.asyncDispose]();
  });

  const serving = ['sh', '-c', 'while true; do echo served | nc -l -p 8080; done'];
  const asKubelet = { namespaceOptions: { pid: 'CONTAINER' as const } };

  async function run(config: PodSandboxConfig, command: string[]): Promise<{ podSandboxId: string; containerId: string }> {
    const { podSandboxId = '' } = await client.call('RunPodSandbox', { config });
    const { containerId = '' } = await client.call('CreateContainer', { podSandboxId, config: containerConfig({ command }) });
    await client.call('StartContainer', { containerId });
    return { podSandboxId, containerId };
  }

  it('is for root and its group alone', () => {
    assert.equal(statSync(`${cluster.runDir}/cri.sock`).mode & 0o777, 0o660);
  });

  it("shows the node's pods with the labels that the kubelet gives", async () => {
    await cluster.apply(
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: 'boat', labels: { app: 'boat' } },
        spec: { containers: [{ name: 'main', image: 'busybox:test', command: ['sleep', '1000'] }] },
      }),
    );
    await cluster.kubectl('wait', '--for=condition=Ready', 'pod/boat', '--timeout=30s');
    const { items = [] } = await client.call('ListPodSandbox', { filter: { labelSelector: { 'io.kubernetes.pod.name': 'boat' } } });
    assert.deepEqual([items.length, items[0]?.metadata?.namespace, items[0]?.labels?.app], [1, 'default', 'boat']);
    const { containers = [] } = await client.call('ListContainers', { filter: { podSandboxId: items[0]?.id } });
    assert.deepEqual(
      containers.map(({ metadata, state }) => [metadata?.name, state]),
      [['main', 'CONTAINER_RUNNING']],
    );
    const { status } = await client.call('PodSandboxStatus', { podSandboxId: items[0]?.id });
    assert.equal(status?.network?.ip, await cluster.jsonPath('pod boat', '{.status.podIP}'));
    await cluster.kubectl('delete', 'pod', 'boat', '--now');
  });

  it("gives a sandbox an address of the pool and the machine's ports, and the agent's end changes nothing", async () => {
    const hostPort = await freePort();
    const { podSandboxId, containerId } = await run(
      sandboxConfig({ portMappings: [{ containerPort: 8080, hostPort, hostIp: '127.0.0.1' }], linux: { securityContext: asKubelet } }),
      serving,
    );
    const ip = (await client.call('PodSandboxStatus', { podSandboxId })).status?.network?.ip ?? '';
    assert.match(ip, /^10\./);
    await until('an answer', () => ask(ip, 8080));
    await until('an answer by the port of the machine', () => ask('127.0.0.1', hostPort));
    process.kill(cluster.pid('agent'), 'SIGKILL');
    await until('the agent', async () => (await client.call('Version', {}).catch(() => undefined))?.runtimeName, 20_000);
    const { status } = await client.call('ContainerStatus', { containerId });
    assert.equal(status?.state, 'CONTAINER_RUNNING');
    await until('an answer', () => ask(ip, 8080));
    await until('an answer by the port of the machine', () => ask('127.0.0.1', hostPort), 20_000);
    await client.call('RemovePodSandbox', { podSandboxId });
    assert.deepEqual((await client.call('ListPodSandbox', { filter: { id: podSandboxId } })).items ?? [], []);
  });

  it("reaches nothing of the node's by the uid that a client chooses", async () => {
    const keepsake = join(cluster.dataDir, 'keepsake');
    mkdirSync(keepsake);
    const metadata = { name: 'climber', namespace: 'default', uid: '../keepsake', attempt: 0 };
    const { podSandboxId } = await run(sandboxConfig({ metadata, linux: { securityContext: asKubelet } }), ['true']);
    await client.call('RemovePodSandbox', { podSandboxId });
    // A pod of the node's own, made and removed after it: what came before has been looked at.
    await cluster.kubectl('run', 'after', '--image=busybox:test', '--restart=Never', '--command', '--', 'true');
    await cluster.kubectl('delete', 'pod', 'after', '--now');
    assert.ok(existsSync(keepsake));
    rmdirSync(keepsake);
  });

  it('runs below the group that a kubelet names, and leaves that to it', async () => {
    const { version, unified, controllers } = readCgroupLayout();
    const root = version === 'v2' ? unified : controllers.memory;
    const parent = `/${cluster.name}-kubepods`;
    mkdirSync(`${root}${parent}`);
    try {
      const { podSandboxId, containerId } = await run(sandboxConfig({ linux: { cgroupParent: parent, securityContext: asKubelet } }), [
        'sleep',
        '1000',
      ]);
      assert.ok(existsSync(`${root}${parent}/${containerId}`));
      const { info } = await client.call('ContainerStatus', { containerId, verbose: true });
      const { pid } = JSON.parse(info?.info ?? '{}') as { pid?: number };
      assert.match(readFileSync(`/proc/${pid}/cgroup`, 'utf8'), new RegExp(`:${parent}/${containerId}$`, 'm'));
      await client.call('RemovePodSandbox', { podSandboxId });
      assert.ok(!existsSync(`${root}${parent}/${containerId}`));
      assert.ok(existsSync(`${root}${parent}`), "it is the kubelet's");
    } finally {
      for (const tree of new Set([unified, ...Object.values(controllers)]))
        if (tree && existsSync(`${tree}${parent}`)) rmdirSync(`${tree}${parent}`);
    }
  });
});

async function ask(host: string, port: number): Promise<true | undefined> {
  const socket = connect(port, host);
  const said = await text(socket).catch(() => '');
  return said === 'served\n' ? true : undefined;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise(resolve => server.close(resolve));
  return typeof address === 'object' && address ? address.port : 0;
}
