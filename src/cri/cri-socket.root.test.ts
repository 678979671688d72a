import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { seededRandom } from '#base/ids.ts';
import { GrpcClient } from '#wire/grpc/client.ts';
import { toFrame } from '#wire/grpc/frames.ts';
import { rawCall } from '#wire/grpc/testing.ts';
import { criSchema, RUNTIME_SERVICE } from './schema.ts';
import { CriBench, sandboxConfig } from './testing.ts';
import type { ContainerStatus, RuntimeService } from './types.gen.ts';

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

describe('cri.sock over its life', () => {
  it('keeps everything when the agent is started anew', async () => {
    const podSandboxId = await bench.sandbox();
    const running = await bench.running(podSandboxId);
    const created = await bench.container(podSandboxId, { metadata: { name: 'created' } });
    const pidBefore = bench.engine.container(running)?.pid;
    await bench.stop();
    assert.ok(!existsSync(bench.socketPath));
    await bench.start();
    assert.equal((await statusOf(running)).state, 'CONTAINER_RUNNING');
    assert.equal(bench.engine.container(running)?.pid, pidBefore);
    assert.equal((await statusOf(created)).state, 'CONTAINER_CREATED');
    await assert.rejects(bench.container(podSandboxId, { metadata: { name: 'created' } }), { reason: 'AlreadyExists' });
    assert.equal(await bench.sh(running, 'echo still'), 'still\n');
    await call('StartContainer', { containerId: created });
    await call('RemovePodSandbox', { podSandboxId });
  });

  it('starts 50 at once', async () => {
    const ids = await Promise.all(
      Array.from({ length: 50 }, async () => {
        const podSandboxId = await bench.sandbox();
        return { podSandboxId, containerId: await bench.running(podSandboxId, { command: ['sleep', '1000'] }) };
      }),
    );
    const { containers = [] } = await call('ListContainers', { filter: { state: { state: 'CONTAINER_RUNNING' } } });
    const found = new Set(containers.map(({ id }) => id));
    assert.ok(ids.every(({ containerId }) => found.has(containerId)));
    await Promise.all(ids.map(({ podSandboxId }) => call('RemovePodSandbox', { podSandboxId })));
  });

  it('leaves nothing of a call whose client was killed', async () => {
    const config = sandboxConfig();
    using client = new GrpcClient<RuntimeService>({ schema: criSchema, service: RUNTIME_SERVICE, socketPath: bench.socketPath });
    await client.call('Version', {});
    const left = client.call('RunPodSandbox', { config });
    setImmediate(() => client[Symbol.dispose]());
    await assert.rejects(left);
    // The name is free as soon as the half-made sandbox is gone.
    for (;;) {
      const made = await call('RunPodSandbox', { config }).catch(error => {
        assert.equal(error.reason, 'AlreadyExists');
        return undefined;
      });
      if (made) break;
    }
    const { items = [] } = await call('ListPodSandbox', {});
    assert.equal(items.filter(({ metadata }) => metadata?.uid === config.metadata?.uid).length, 1);
  });
});

describe('what cri.sock is sent', () => {
  it('answers every method, whatever its request is', async t => {
    const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31);
    t.diagnostic(`SEED=${seed}`);
    const random = seededRandom(seed);
    const before = (await call('ListPodSandbox', {})).items?.length ?? 0;
    const paths = Object.entries(criSchema.services).flatMap(([service, methods]) =>
      Object.keys(methods).map(name => `/${service}/${name}`),
    );
    for (const path of paths)
      for (let round = 0; round < 4; round++) {
        const hostile = Buffer.from(Array.from({ length: round * 10 }, () => Math.floor(random() * (round % 2 ? 32 : 256))));
        const { headers } = await rawCall(bench.socketPath, { ':path': path, 'grpc-timeout': '300m' }, toFrame(hostile));
        assert.match(String(headers['grpc-status']), /^\d+$/, `SEED=${seed}: ${path} ${hostile.toString('hex')}`);
        assert.notEqual(headers['grpc-status'], '12', `${path} has no handler`);
      }
    assert.equal((await call('ListPodSandbox', {})).items?.length ?? 0, before);
  });
});

describe('cri.sock for a foreign kubelet', () => {
  it('shows what was made over it, and nothing else', async () => {
    await using own = await CriBench.open({ scope: 'cri' });
    const metadata = { name: 'ours', namespace: 'default', uid: 'u', attempt: 0 };
    const { id } = await own.engine.createSandbox({ owner: 'node', metadata, network: 'pod' });
    const theirs = await own.sandbox();
    const { items = [] } = await own.runtime.call('ListPodSandbox', {});
    assert.deepEqual(
      items.map(item => item.id),
      [theirs],
    );
    await assert.rejects(own.runtime.call('PodSandboxStatus', { podSandboxId: id }), { reason: 'NotFound' });
    await own.runtime.call('RemovePodSandbox', { podSandboxId: id });
    assert.equal(own.engine.sandbox(id)?.state, 'ready');
  });
});
