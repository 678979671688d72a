import { isUmiakError, matchesLabels, requirementsOf } from '#base/index.ts';
import { alsoWatch, controllerOf, defineController, done, isNamespaceEnding, type Reconciling } from '#client/index.ts';
import type { Key, Kind, KubeObject } from '#kinds/kind.ts';
import { Pod } from '#kinds/pod.ts';
import { isPodActive, isPodReady } from '#kinds/pod-template.ts';
import { ReplicaSet } from '#kinds/replica-set.ts';
import type { LabelSelector, PodTemplateSpec } from '#kinds/types.gen.ts';
import { ignoreAbsent } from './absence.ts';
import { inGrowingBatches } from './batches.ts';
import { claim } from './claim.ts';
import { podFromTemplate } from './pod-from-template.ts';
import { availableInMs, planRemovals } from './pods.ts';
import { isSameStatus, setCondition } from './status.ts';

/** Pods made or removed in one reconcile, at most; the rest comes with the next. */
const BURST = 500;

/** What ReplicaSets and ReplicationControllers have in common: a number of pods of one template. */
interface Replicated extends KubeObject {
  spec: { replicas?: number | undefined; minReadySeconds?: number | undefined; template?: PodTemplateSpec | undefined };
  status?: ReplicaSet['status'];
}

export interface ReplicatingOptions<T extends Replicated> {
  name: string;
  kind: Kind<T>;
  selectorOf(set: T): LabelSelector;
}

/** Keeps the number of live pods owned by a ReplicaSet equal to `spec.replicas`, and its status true. */
export const replicaSetController = replicatingController<ReplicaSet>({
  name: 'replicaset-controller',
  kind: ReplicaSet,
  selectorOf: ({ spec }) => spec.selector,
});

/** The one mechanism behind ReplicaSets and ReplicationControllers. */
export function replicatingController<T extends Replicated>({ name, kind, selectorOf }: ReplicatingOptions<T>) {
  /** Those whose selector an ownerless pod meets: they may adopt it. */
  const selecting = (pod: Pod, { client }: Reconciling): Key[] =>
    client
      .cached(kind)
      .list(pod.metadata.namespace)
      .filter(set => matchesLabels(requirementsOf(selectorOf(set)), pod.metadata.labels))
      .map(({ metadata }) => ({ namespace: metadata.namespace, name: metadata.name }));

  return defineController<T>({
    name,
    watches: kind,
    owns: [Pod],
    alsoWatches: [alsoWatch(Pod, (pod, context) => (controllerOf(pod) ? [] : selecting(pod, context)))],
    async reconcile(key, context) {
      const { client } = context;
      const set = await client.get(kind, key);
      if (!set) return done;
      const isGoing = set.metadata.deletionTimestamp !== undefined;
      const pods = isGoing
        ? client.listOwned(Pod, set)
        : await claim(client, { owner: set, ownerKind: kind, kind: Pod, selector: selectorOf(set), adoptable: isPodActive });
      const problem = isGoing ? undefined : await act(kind, set, pods, context);
      const wakes = await writeStatus(kind, set, pods, problem, context);
      if (problem) throw problem;
      return wakes === undefined ? done : { againInMs: wakes };
    },
  });
}

/** Makes or removes pods; returns what kept it from doing so. */
async function act(kind: Kind, set: Replicated, pods: Pod[], { client, clock, events }: Reconciling): Promise<Error | undefined> {
  const { template } = set.spec;
  if (!template) return undefined;
  const active = pods.filter(isPodActive);
  const missing = (set.spec.replicas ?? 1) - active.length;
  const create = async () => {
    const { metadata } = await client.create(Pod, podFromTemplate(kind, set, template));
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

/** A failure that goes on is told once: its words name a new pod each time, and to write them would call for the next try at once. */
function isTold({ status }: Replicated, wanted: { type: string; status: string | undefined; reason?: string }): boolean {
  const told = status?.conditions?.find(({ type }) => type === wanted.type);
  return told !== undefined && told.status === wanted.status && told.reason === wanted.reason;
}

/** Writes the status if it differs; returns when the next pod becomes available, if one is on its way. */
async function writeStatus<T extends Replicated>(
  kind: Kind<T>,
  set: T,
  pods: Pod[],
  problem: Error | undefined,
  { client, clock }: Reconciling,
): Promise<number | undefined> {
  const now = clock.now();
  const active = pods.filter(isPodActive);
  const templateLabels = Object.entries(set.spec.template?.metadata?.labels ?? {});
  const waits = active.map(pod => availableInMs(pod, set.spec.minReadySeconds ?? 0, now));
  const condition = problem
    ? {
        type: 'ReplicaFailure',
        status: 'True',
        reason: (set.spec.replicas ?? 1) > active.length ? 'FailedCreate' : 'FailedDelete',
        message: problem.message,
      }
    : { type: 'ReplicaFailure', status: undefined };
  const conditions = isTold(set, condition) ? (set.status?.conditions ?? []) : setCondition(set.status?.conditions, condition, now);
  const status: NonNullable<ReplicaSet['status']> = {
    replicas: active.length,
    fullyLabeledReplicas: active.filter(pod => templateLabels.every(([key, value]) => pod.metadata.labels?.[key] === value)).length,
    readyReplicas: active.filter(isPodReady).length,
    availableReplicas: waits.filter(wait => wait === 0).length,
    terminatingReplicas: pods.filter(pod => pod.metadata.deletionTimestamp).length,
    observedGeneration: set.metadata.generation,
    ...(conditions.length > 0 ? { conditions } : {}),
  };
  if (!isSameStatus(set.status, status)) await ignoreAbsent(client.updateStatus(kind, { ...set, status }));
  const coming = waits.filter((wait): wait is number => wait !== undefined && wait > 0);
  return coming.length > 0 ? Math.min(...coming) : undefined;
}
