import { isUmiakError, matchesLabels, requirementsOf } from '#base/index.ts';
import { alsoWatch, controllerOf, defineController, done, isNamespaceEnding, type Reconciling } from '#client/index.ts';
import type { Draft, Key } from '#kinds/kind.ts';
import { Pod } from '#kinds/pod.ts';
import { isPodActive, isPodReady } from '#kinds/pod-template.ts';
import { ReplicaSet } from '#kinds/replica-set.ts';
import { ignoreAbsent } from './absence.ts';
import { claim, ownerReferenceTo } from './claim.ts';
import { availableInMs, planRemovals } from './pods.ts';
import { isSameStatus, setCondition } from './status.ts';

/** Pods made or removed in one reconcile, at most; the rest comes with the next. */
const BURST = 500;

/** Keeps the number of live pods owned by a ReplicaSet equal to `spec.replicas`, and its status true. */
export const replicaSetController = defineController<ReplicaSet>({
  name: 'replicaset-controller',
  watches: ReplicaSet,
  owns: [Pod],
  alsoWatches: [alsoWatch(Pod, (pod, context) => (controllerOf(pod) ? [] : selecting(pod, context)))],
  async reconcile(key, context) {
    const { client } = context;
    const set = await client.get(ReplicaSet, key);
    if (!set) return done;
    const pods = set.metadata.deletionTimestamp ? client.listOwned(Pod, set) : await claimPods(set, context);
    const problem = set.metadata.deletionTimestamp ? undefined : await act(set, pods, context);
    const wakes = await writeStatus(set, pods, problem, context);
    if (problem) throw problem;
    return wakes === undefined ? done : { againInMs: wakes };
  },
});

/** ReplicaSets whose selector an ownerless pod meets: they may adopt it. */
function selecting(pod: Pod, { client }: Reconciling): Key[] {
  return client
    .cached(ReplicaSet)
    .list(pod.metadata.namespace)
    .filter(set => matchesLabels(requirementsOf(set.spec.selector), pod.metadata.labels))
    .map(set => ({ namespace: set.metadata.namespace, name: set.metadata.name }));
}

/** The pods that are the set's: its own that still match (others are released), and matching live ones without an owner (adopted). */
async function claimPods(set: ReplicaSet, { client }: Reconciling): Promise<Pod[]> {
  return claim(client, { owner: set, ownerKind: ReplicaSet, kind: Pod, selector: set.spec.selector, adoptable: isPodActive });
}

/** Makes or removes pods; returns what kept it from doing so. */
async function act(set: ReplicaSet, pods: Pod[], { client, clock, events }: Reconciling): Promise<Error | undefined> {
  const active = pods.filter(isPodActive);
  const missing = (set.spec.replicas ?? 1) - active.length;
  const create = async () => {
    const { metadata } = await client.create(Pod, podFrom(set));
    events.normal(set, 'SuccessfulCreate', `Created pod: ${metadata.name}`);
  };
  const remove = async ({ metadata }: Pod) => {
    await ignoreAbsent(client.delete(Pod, metadata, { preconditions: { uid: metadata.uid } }));
    events.normal(set, 'SuccessfulDelete', `Deleted pod: ${metadata.name}`);
  };
  const steps =
    missing > 0 ? Array.from({ length: missing }, () => create) : planRemovals(active, -missing, clock.now()).map(pod => () => remove(pod));
  const error = await inGrowingBatches(steps.slice(0, BURST));
  if (!error || isUmiakError(error, 'Conflict')) return error;
  if (isNamespaceEnding(error)) return undefined;
  events.warning(set, missing > 0 ? 'FailedCreate' : 'FailedDelete', `Error ${missing > 0 ? 'creating' : 'deleting'}: ${error.message}`);
  return error;
}

/** Takes the steps 1, 2, 4, … at a time until one fails: what can't work is not tried hundreds of times. Returns the failure. */
async function inGrowingBatches(steps: readonly (() => Promise<void>)[]): Promise<Error | undefined> {
  for (let from = 0, size = 1; from < steps.length; from += size, size *= 2) {
    const results = await Promise.allSettled(steps.slice(from, from + size).map(step => step()));
    const failed = results.find(result => result.status === 'rejected');
    if (failed) return failed.reason instanceof Error ? failed.reason : new Error(String(failed.reason));
  }
  return undefined;
}

function podFrom(set: ReplicaSet): Draft<Pod> {
  const { metadata, spec } = set.spec.template;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      generateName: `${set.metadata.name}-`,
      ...(set.metadata.namespace ? { namespace: set.metadata.namespace } : {}),
      labels: { ...metadata?.labels },
      annotations: { ...metadata?.annotations },
      ...(metadata?.finalizers ? { finalizers: metadata.finalizers } : {}),
      ownerReferences: [ownerReferenceTo(ReplicaSet, set)],
    },
    spec: structuredClone(spec),
  };
}

/** Writes the status if it differs; returns when the next pod becomes available, if one is on its way. */
async function writeStatus(
  set: ReplicaSet,
  pods: Pod[],
  problem: Error | undefined,
  { client, clock }: Reconciling,
): Promise<number | undefined> {
  const now = clock.now();
  const active = pods.filter(isPodActive);
  const templateLabels = Object.entries(set.spec.template.metadata?.labels ?? {});
  const waits = active.map(pod => availableInMs(pod, set.spec.minReadySeconds ?? 0, now));
  const condition = problem
    ? {
        type: 'ReplicaFailure',
        status: 'True',
        reason: (set.spec.replicas ?? 1) > active.length ? 'FailedCreate' : 'FailedDelete',
        message: problem.message,
      }
    : { type: 'ReplicaFailure', status: undefined };
  const conditions = setCondition(set.status?.conditions, condition, now);
  const status: NonNullable<ReplicaSet['status']> = {
    replicas: active.length,
    fullyLabeledReplicas: active.filter(pod => templateLabels.every(([key, value]) => pod.metadata.labels?.[key] === value)).length,
    readyReplicas: active.filter(isPodReady).length,
    availableReplicas: waits.filter(wait => wait === 0).length,
    terminatingReplicas: pods.filter(pod => pod.metadata.deletionTimestamp).length,
    observedGeneration: set.metadata.generation,
    ...(conditions.length > 0 ? { conditions } : {}),
  };
  if (!isSameStatus(set.status, status)) await ignoreAbsent(client.updateStatus(ReplicaSet, { ...set, status }));
  const coming = waits.filter((wait): wait is number => wait !== undefined && wait > 0);
  return coming.length > 0 ? Math.min(...coming) : undefined;
}
