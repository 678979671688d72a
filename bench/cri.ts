/**
 * CRI from outside, over its socket: a sandbox with an address on a bridge of its own, a container in it, both gone again. Ours as `umiak up` runs it,
 * beside containerd's CRI plugin with the bridge of the CNI plugins where both are installed (`PEERS=docker` installs containerd).
 */

import { criSchema, RUNTIME_SERVICE } from '#cri/schema.ts';
import type { RuntimeService } from '#cri/types.gen.ts';
import { GrpcClient } from '#wire/grpc/client.ts';
import { TestCluster } from '../tests/cluster.ts';
import { hasContainerdCri, startContainerdCri } from './peers/containerd-cri.ts';
import { quantile, report } from './table.ts';

const WARM = 5;
const RUNS = 60;
const AT_ONCE = 50;
const WIDTH = 8;
/** Both are wanted to run one, from their own store. */
const IMAGE = 'docker.io/library/busybox:test';

type Client = GrpcClient<RuntimeService>;

interface Figures {
  start: number[];
  stop: number[];
  perSecond: number;
}

const ours = await measureOurs();
const theirs = hasContainerdCri() ? await measureContainerd() : undefined;
if (!theirs) console.log('containerd with CNI plugins is not installed: skipped');
const peer = (value: number | undefined) => (value === undefined ? {} : { peer: { name: 'containerd over CRI', value, measured: true } });
const less = { unit: 'ms', better: 'less' } as const;
for (const [q, target] of [
  [0.5, 35],
  [0.95, 50],
] as const)
  report({
    what: `CRI: RunPodSandbox + CreateContainer + StartContainer, p${q * 100}`,
    ...less,
    target,
    ours: quantile(ours.start, q),
    ...peer(theirs && quantile(theirs.start, q)),
  });
report({
  what: 'CRI: StopContainer (grace 0) + StopPodSandbox + RemovePodSandbox, p50',
  ...less,
  target: 60,
  ours: quantile(ours.stop, 0.5),
  ...peer(theirs && quantile(theirs.stop, 0.5)),
});
report({
  what: `CRI: ${AT_ONCE} starts, ${WIDTH} at a time`,
  unit: '/s',
  better: 'more',
  target: 60,
  ours: ours.perSecond,
  ...peer(theirs?.perSecond),
});

async function measureOurs(): Promise<Figures> {
  await using cluster = await TestCluster.up();
  await cluster.loadBusybox();
  return await measure(`${cluster.runDir}/cri.sock`);
}

async function measureContainerd(): Promise<Figures> {
  await using containerd = await startContainerdCri(IMAGE);
  return await measure(containerd.socketPath);
}

async function measure(socketPath: string): Promise<Figures> {
  using client = new GrpcClient<RuntimeService>({ schema: criSchema, service: RUNTIME_SERVICE, socketPath });
  const figures: Figures = { start: [], stop: [], perSecond: 0 };
  let count = 0;
  for (let run = 0; run < WARM + RUNS; run++) {
    const begun = performance.now();
    const made = await start(client, count++);
    const started = performance.now();
    await end(client, made);
    if (run < WARM) continue;
    figures.start.push(started - begun);
    figures.stop.push(performance.now() - started);
  }
  let left = AT_ONCE;
  const all: Made[] = [];
  const begun = performance.now();
  await Promise.all(
    Array.from({ length: WIDTH }, async () => {
      while (left-- > 0) all.push(await start(client, count++));
    }),
  );
  figures.perSecond = (AT_ONCE * 1000) / (performance.now() - begun);
  for (const made of all) await end(client, made);
  return figures;
}

interface Made {
  podSandboxId: string;
  containerId: string;
}

/** As the kubelet asks: each container its own PID namespace. */
async function start(client: Client, number: number): Promise<Made> {
  const security = { namespaceOptions: { pid: 'CONTAINER' as const } };
  const config = {
    metadata: { name: `bench-${number}`, namespace: 'default', uid: `bench-${process.pid}-${number}` },
    linux: { securityContext: security },
  };
  const { podSandboxId = '' } = await client.call('RunPodSandbox', { config });
  const { containerId = '' } = await client.call('CreateContainer', {
    podSandboxId,
    sandboxConfig: config,
    config: {
      metadata: { name: 'main' },
      image: { image: IMAGE },
      command: ['sleep', '1000'],
      linux: { securityContext: { ...security, seccomp: { profileType: 'RuntimeDefault' } } },
    },
  });
  await client.call('StartContainer', { containerId });
  return { podSandboxId, containerId };
}

async function end(client: Client, { podSandboxId, containerId }: Made): Promise<void> {
  await client.call('StopContainer', { containerId, timeout: 0 });
  await client.call('StopPodSandbox', { podSandboxId });
  await client.call('RemovePodSandbox', { podSandboxId });
}
