import { toTime } from '#base/index.ts';
import { alsoWatch, type Controller, defineController, done, type Reconciling } from '#client/index.ts';
import type { Key } from '#kinds/kind.ts';
import { Lease } from '#kinds/lease.ts';
import { Node } from '#kinds/node.ts';
import { Pod } from '#kinds/pod.ts';
import { tolerates } from '#kinds/tolerations.ts';
import { ignoreAbsent } from './absence.ts';
import { type Disruption, endPod } from './end-pod.ts';
import { isSameStatus, setCondition } from './status.ts';

export interface NodeLifecycleOptions {
  /** A node whose lease is older is not heard of any more; default 40 s. */
  graceMs?: number;
}

type Taint = NonNullable<Node['spec']['taints']>[number];
type Toleration = NonNullable<Pod['spec']['tolerations']>[number];

/** Pods that name a node nobody has seen yet wait so long for it to come. */
const QUARANTINE_MS = 40_000;

const BY_TAINT: Disruption = { reason: 'DeletionByTaintManager', message: 'Taint manager: deleting due to NoExecute taint' };
const BY_GC: Disruption = { reason: 'DeletionByPodGC', message: 'PodGC: node no longer exists' };

const LEASES = 'kube-node-lease';
const NOT_READY = 'node.kubernetes.io/not-ready';
const UNREACHABLE = 'node.kubernetes.io/unreachable';
const PRESSURES: Record<string, string> = {
  MemoryPressure: 'node.kubernetes.io/memory-pressure',
  DiskPressure: 'node.kubernetes.io/disk-pressure',
  PIDPressure: 'node.kubernetes.io/pid-pressure',
  NetworkUnavailable: 'node.kubernetes.io/network-unavailable',
};
const OURS = new Set([NOT_READY, UNREACHABLE, 'node.kubernetes.io/unschedulable', ...Object.values(PRESSURES)]);

/** When each node was last heard of, on this process's own clock: neither foreign clocks nor a pause of the server count against a node. */
class Heartbeats {
  readonly #seen = new Map<string, { sign: string; atMs: number }>();
  readonly #absentSince = new Map<string, number>();

  /** Milliseconds since something new was heard; the first look counts as hearing. */
  silenceMs({ metadata, status }: Node, lease: Lease | undefined, monotonicMs: number): number {
    const heartbeat = status?.conditions?.find(({ type }) => type === 'Ready')?.lastHeartbeatTime;
    const sign = [metadata.uid, lease?.spec.renewTime, heartbeat].join(' ');
    const seen = this.#seen.get(metadata.name);
    if (seen?.sign === sign) return monotonicMs - seen.atMs;
    this.forget(metadata.name);
    this.#seen.set(metadata.name, { sign, atMs: monotonicMs });
    return 0;
  }

  /** How long to wait yet before a node that is not there is taken for gone: not at all if it was there before. */
  absentForMs(name: string, monotonicMs: number): number {
    if (this.#seen.delete(name)) this.#absentSince.set(name, monotonicMs - QUARANTINE_MS);
    const since = this.#absentSince.get(name) ?? monotonicMs;
    this.#absentSince.set(name, since);
    return since + QUARANTINE_MS - monotonicMs;
  }

  forget(name: string): void {
    this.#absentSince.delete(name);
  }
}

/** Since when taints are there that don't say so themselves: those that people set. */
class TaintTimes {
  readonly #since = new Map<string, Map<string, number>>();

  /** The taints, each with its time. */
  timed(node: string, taints: readonly Taint[], nowMs: number): Taint[] {
    const before = this.#since.get(node);
    const now = new Map<string, number>();
    const all = taints.map(taint => {
      if (taint.timeAdded) return taint;
      const name = [taint.key, taint.value, taint.effect].join(' ');
      const since = before?.get(name) ?? nowMs;
      now.set(name, since);
      return { ...taint, timeAdded: toTime(since) };
    });
    if (now.size > 0) this.#since.set(node, now);
    else this.#since.delete(node);
    return all;
  }
}

/** Says so when a node is not heard of, taints nodes by their conditions, and evicts the pods that do not tolerate it. */
export function nodeLifecycleController({ graceMs = 40_000 }: NodeLifecycleOptions = {}): Controller<Node> {
  const heartbeats = new Heartbeats();
  const taintTimes = new TaintTimes();
  return defineController<Node>({
    name: 'node-controller',
    watches: Node,
    alsoWatches: [
      alsoWatch(Lease, ({ metadata }) => (metadata.namespace === LEASES ? [{ name: metadata.name }] : [])),
      alsoWatch(Pod, ifNodeEndsPods),
    ],
    async reconcile({ name }, context) {
      const { client, clock } = context;
      let node = await client.get(Node, { name });
      if (!node) {
        const waitMs = heartbeats.absentForMs(name, clock.monotonic());
        if (waitMs > 0 && podsOn(name, client).length > 0) return { againInMs: waitMs };
        heartbeats.forget(name);
        await removeOrphanedPods(name, context);
        return done;
      }
      const lease = client.cached(Lease).get({ namespace: LEASES, name });
      const silentInMs = graceMs - heartbeats.silenceMs(node, lease, clock.monotonic());
      if (silentInMs <= 0) node = await declareUnknown(node, context);
      node = await writeTaints(node, context);
      const noExecute = (node.spec.taints ?? []).filter(({ effect }) => effect === 'NoExecute');
      const evictInMs = await evict(node, taintTimes.timed(name, noExecute, clock.now()), context);
      const waits = [silentInMs, evictInMs].filter((ms): ms is number => ms !== undefined && ms > 0);
      return waits.length > 0 ? { againInMs: Math.min(...waits) + 50 } : done;
    },
  });
}

/** A pod concerns its node only where the node ends pods: it is tainted so, or not there. */
function ifNodeEndsPods({ spec: { nodeName } }: Pod, { client }: Reconciling): Key[] {
  if (!nodeName) return [];
  const node = client.cached(Node).get({ name: nodeName });
  return !node || node.spec.taints?.some(({ effect }) => effect === 'NoExecute') ? [{ name: nodeName }] : [];
}

/** All conditions Unknown; the pods there are not ready any more, as far as anyone knows. */
async function declareUnknown(node: Node, { client, clock, events }: Reconciling): Promise<Node> {
  const ready = node.status?.conditions?.find(({ type }) => type === 'Ready');
  const now = clock.now();
  if (ready?.status !== 'Unknown') {
    let conditions = node.status?.conditions;
    for (const type of ['Ready', 'MemoryPressure', 'DiskPressure', 'PIDPressure']) {
      conditions = setCondition(
        conditions,
        { type, status: 'Unknown', reason: 'NodeStatusUnknown', message: 'The node agent stopped posting node status.' },
        now,
      );
    }
    events.normal(node, 'NodeNotReady', `Node ${node.metadata.name} status is now: NodeNotReady`);
    node = await client.patch(Node, node.metadata, { status: { conditions } }, { type: 'merge', subresource: 'status' });
  }
  for (const pod of podsOn(node.metadata.name, client)) {
    if (pod.status?.conditions?.find(({ type }) => type === 'Ready')?.status !== 'True') continue;
    const conditions = setCondition(pod.status.conditions, { type: 'Ready', status: 'False', reason: 'NodeNotReady' }, now);
    await ignoreAbsent(client.patch(Pod, pod.metadata, { status: { conditions } }, { type: 'strategic', subresource: 'status' }));
  }
  return node;
}

async function writeTaints(node: Node, { client, clock }: Reconciling): Promise<Node> {
  const taints = planTaints(node, clock.now());
  if (isSameStatus({ taints: node.spec.taints ?? [] }, { taints })) return node;
  const { resourceVersion } = node.metadata;
  return client.patch(Node, node.metadata, { metadata: { resourceVersion }, spec: { taints } }, { type: 'merge' });
}

/** The taints that the node's conditions call for, after those that others set. Pure. */
export function planTaints(node: Node, nowMs: number): Taint[] {
  const status = (type: string) => node.status?.conditions?.find(condition => condition.type === type)?.status;
  const wanted: { key: string; effect: string }[] = [];
  const ready = status('Ready');
  if (ready !== 'True') {
    const key = ready === 'Unknown' ? UNREACHABLE : NOT_READY;
    wanted.push({ key, effect: 'NoSchedule' }, { key, effect: 'NoExecute' });
  }
  for (const [type, key] of Object.entries(PRESSURES)) if (status(type) === 'True') wanted.push({ key, effect: 'NoSchedule' });
  if (node.spec.unschedulable) wanted.push({ key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' });
  const present = node.spec.taints ?? [];
  const foreign = present.filter(({ key }) => !OURS.has(key));
  const own = wanted.map(taint => {
    const known = present.find(({ key, effect }) => key === taint.key && effect === taint.effect);
    return known ?? { ...taint, ...(taint.effect === 'NoExecute' ? { timeAdded: toTime(nowMs) } : {}) };
  });
  return [...foreign, ...own];
}

/** Deletes pods that do not tolerate a NoExecute taint, or not for this long; returns when the next one is due. */
async function evict(node: Node, taints: readonly Taint[], { client, clock, events }: Reconciling): Promise<number | undefined> {
  if (taints.length === 0) return undefined;
  let next: number | undefined;
  for (const pod of podsOn(node.metadata.name, client)) {
    const dueInMs = evictionInMs(pod.spec.tolerations ?? [], taints, clock.now());
    if (dueInMs === undefined || pod.metadata.deletionTimestamp) continue;
    if (dueInMs > 0) next = Math.min(next ?? dueInMs, dueInMs);
    else {
      events.normal(pod, 'TaintManagerEviction', `Marking for deletion Pod ${pod.metadata.namespace}/${pod.metadata.name}`);
      await endPod(client, pod, { nowMs: clock.now(), disruption: BY_TAINT });
    }
  }
  return next;
}

/** When these taints end a pod with these tolerations: 0 or less now, undefined never. Pure. */
export function evictionInMs(tolerations: readonly Toleration[], taints: readonly Taint[], nowMs: number): number | undefined {
  let due: number | undefined;
  for (const taint of taints) {
    const tolerating = tolerations.filter(each => tolerates(each, taint));
    if (tolerating.length === 0) return 0;
    const limits = tolerating
      .map(({ tolerationSeconds }) => tolerationSeconds)
      .filter(seconds => seconds !== undefined && seconds !== null);
    if (limits.length < tolerating.length && limits.length === 0) continue;
    const since = Date.parse(String(taint.timeAdded ?? '')) || nowMs;
    const inMs = since + Math.min(...limits) * 1000 - nowMs;
    due = Math.min(due ?? inMs, inMs);
  }
  return due;
}

/** Pods of a node that is no longer there can't be ended by it. The API is asked first: the node may be newer than the picture. */
async function removeOrphanedPods(name: string, { client, clock }: Reconciling): Promise<void> {
  const pods = podsOn(name, client);
  if (pods.length === 0 || (await client.getLive(Node, { name }))) return;
  for (const pod of pods) await endPod(client, pod, { nowMs: clock.now(), disruption: BY_GC, isFailed: true, gracePeriodSeconds: 0 });
}

function podsOn(node: string, client: Reconciling['client']): Pod[] {
  return client
    .cached(Pod)
    .list()
    .filter(({ spec }) => spec.nodeName === node);
}
