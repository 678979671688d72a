/**
 * The scheduler against the real API over a store that flushes: pods that wait, all bound. kube-scheduler's figures are those of a like
 * machine with kube-apiserver and etcd. Also the decision alone, without an API.
 */
import { startTestCluster } from '#apiserver/test-cluster.ts';
import { silentLog, systemClock } from '#base/index.ts';
import { createClient, Informers } from '#client/index.ts';
import { Node } from '#kinds/node.ts';
import { Pod } from '#kinds/pod.ts';
import { ServiceAccount } from '#kinds/service-account.ts';
import { candidateOf, createPlugins, place, Scheduler, World } from '#scheduler/index.ts';
import { quantile, report } from './table.ts';

const PODS = 2_000;
const NAMESPACE = 'default';
const SIZES = [
  { nodes: 100, recorded: 597 },
  { nodes: 1_000, recorded: 471 },
] as const;

const allocatable = { cpu: '32', memory: '128Gi', pods: '110', 'ephemeral-storage': '1Ti' };
const nodeDraft = (index: number) => ({
  apiVersion: 'v1' as const,
  kind: 'Node' as const,
  metadata: { name: `node-${index}`, labels: { 'kubernetes.io/hostname': `node-${index}`, zone: `zone-${index % 3}` } },
  spec: {},
});
const podDraft = (index: number) => ({
  apiVersion: 'v1' as const,
  kind: 'Pod' as const,
  metadata: { name: `pod-${index}`, namespace: NAMESPACE, labels: { app: 'bench' } },
  spec: { containers: [{ name: 'c', image: 'i', resources: { requests: { cpu: '100m', memory: '128Mi' } } }] },
});

for (const { nodes, recorded } of SIZES) {
  await measureBound(nodes, recorded);
  measureDecision(nodes);
}

/** From the scheduler's start until a watch shows the last binding. */
async function measureBound(nodes: number, recorded: number): Promise<void> {
  await using cluster = await startTestCluster();
  const { client } = cluster;
  await client.create(ServiceAccount, { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default', namespace: NAMESPACE } });
  await inBatches(nodes, async index => {
    const node = await client.create(Node, nodeDraft(index));
    const conditions = [{ type: 'Ready', status: 'True' }];
    await client.updateStatus(Node, { ...node, status: { allocatable, capacity: allocatable, conditions } });
    // Admission marks new nodes not ready; the node lifecycle, which is not here, would take that away.
    await client.patch(Node, { name: node.metadata.name }, { spec: { taints: null } }, { type: 'merge' });
  });
  await inBatches(PODS, index => client.create(Pod, podDraft(index)));
  await using informers = new Informers({ client, clock: systemClock, log: silentLog });
  const pods = informers.of(Pod);
  const all = Promise.withResolvers<void>();
  const bound = new Set<string>();
  pods.subscribe(({ key, object }) => {
    if (object?.spec.nodeName && bound.add(key).size === PODS) all.resolve();
  });
  await pods.start();
  const local = createClient(cluster.server.local({ name: 'system:kube-scheduler', groups: ['system:masters'] }));
  const began = performance.now();
  await using scheduler = new Scheduler({ client: local, clock: systemClock, log: silentLog });
  await scheduler.start();
  await all.promise;
  const ours = (PODS / (performance.now() - began)) * 1_000;
  const peer = { name: 'kube-scheduler', value: recorded, measured: false };
  report({ what: `scheduler: ${PODS} pods bound, ${nodes} nodes`, unit: '/s', ours, better: 'more', peer });
}

/** One decision about a pod without affinity, with other pods there already. */
function measureDecision(nodes: number): void {
  const world = new World();
  for (let index = 0; index < nodes; index++) {
    const { metadata, ...rest } = nodeDraft(index);
    world.putNode({
      ...rest,
      metadata: { ...metadata, uid: metadata.name, resourceVersion: '1', creationTimestamp: '' },
      status: { allocatable },
    });
  }
  const plugins = createPlugins();
  const cursor = { next: 0 };
  const times: number[] = [];
  for (let index = 0; index < PODS; index++) {
    const { metadata, ...rest } = podDraft(index);
    const pod: Pod = { ...rest, metadata: { ...metadata, uid: metadata.name, resourceVersion: '1', creationTimestamp: '' } };
    const began = performance.now();
    const candidate = candidateOf(metadata.name, pod);
    const placement = place(candidate, world, plugins, cursor);
    times.push((performance.now() - began) * 1_000);
    if (placement.row !== undefined) world.place(candidate, placement.node);
  }
  report({ what: `scheduler: one decision, ${nodes} nodes, p50`, unit: 'µs', ours: quantile(times, 0.5), better: 'less' });
}

async function inBatches(count: number, make: (index: number) => Promise<unknown>): Promise<void> {
  for (let from = 0; from < count; from += 200)
    await Promise.all(Array.from({ length: Math.min(200, count - from) }, (_, index) => make(from + index)));
}
