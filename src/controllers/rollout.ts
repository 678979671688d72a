import { isObject } from '#base/json-object.ts';
import { type Deployment, rollingLimits } from '#kinds/deployment.ts';
import type { Draft } from '#kinds/kind.ts';
import { templateHash } from '#kinds/pod-template.ts';
import type { ReplicaSet } from '#kinds/replica-set.ts';

export const REVISION = 'deployment.kubernetes.io/revision';
const DESIRED_REPLICAS = 'deployment.kubernetes.io/desired-replicas';
const MAX_REPLICAS = 'deployment.kubernetes.io/max-replicas';
const TEMPLATE_HASH = 'pod-template-hash';
const NOT_COPIED = new Set([REVISION, 'kubectl.kubernetes.io/last-applied-configuration', DESIRED_REPLICAS, MAX_REPLICAS]);

export interface Scaling {
  set: ReplicaSet;
  replicas: number;
}

/** Revisions may be any 64-bit number: of an adopted ReplicaSet they are what its maker wrote. */
export function revisionOf(set: ReplicaSet): bigint {
  const text = set.metadata.annotations?.[REVISION] ?? '';
  return /^\d{1,19}$/.test(text) ? BigInt(text) : 0n;
}

/** True when the set runs the deployment's present template; the hash label is ours and doesn't count. */
export function sameTemplate(deployment: Deployment, set: ReplicaSet): boolean {
  return canonical(withoutHash(set.spec.template)) === canonical(withoutHash(deployment.spec.template));
}

/** The ReplicaSet of the present template, as large as the strategy lets it begin. */
export function newReplicaSet(deployment: Deployment, others: readonly ReplicaSet[], revision: string): Draft<ReplicaSet> {
  const { metadata, spec, status } = deployment;
  const hash = templateHash(spec.template, status?.collisionCount);
  const labels = { ...spec.template.metadata?.labels, [TEMPLATE_HASH]: hash };
  return {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: {
      name: `${metadata.name}-${hash}`,
      ...(metadata.namespace ? { namespace: metadata.namespace } : {}),
      labels,
      annotations: { ...copiedAnnotations(deployment), ...sizeAnnotations(deployment), [REVISION]: revision },
      ownerReferences: [
        { apiVersion: 'apps/v1', kind: 'Deployment', name: metadata.name, uid: metadata.uid, controller: true, blockOwnerDeletion: true },
      ],
    },
    spec: {
      replicas: planNewReplicas(deployment, 0, others),
      minReadySeconds: spec.minReadySeconds,
      selector: { ...spec.selector, matchLabels: { ...spec.selector.matchLabels, [TEMPLATE_HASH]: hash } },
      template: { ...spec.template, metadata: { ...spec.template.metadata, labels } },
    },
  };
}

/** The Deployment's own annotations (`kubernetes.io/change-cause` and the like) are its ReplicaSet's too. */
export function copiedAnnotations({ metadata }: Deployment): Record<string, string> {
  return Object.fromEntries(Object.entries(metadata.annotations ?? {}).filter(([key]) => !NOT_COPIED.has(key)));
}

/** What a ReplicaSet remembers of the Deployment's size, so that a later change can be shared out in proportion. */
export function sizeAnnotations(deployment: Deployment): Record<string, string> {
  const replicas = deployment.spec.replicas ?? 1;
  const surge = deployment.spec.strategy?.type === 'Recreate' ? 0 : limits(deployment).maxSurge;
  return { [DESIRED_REPLICAS]: String(replicas), [MAX_REPLICAS]: String(replicas + surge) };
}

/** What must change in the ReplicaSets' sizes now. Pure: the same picture gives the same steps. */
export function planRollout(deployment: Deployment, current: ReplicaSet | undefined, others: readonly ReplicaSet[]): Scaling[] {
  const sets = current ? [current, ...others] : [...others];
  if (deployment.spec.paused) return planProportional(deployment, current, sets);
  if (!current) return [];
  const replicas = deployment.spec.replicas ?? 1;
  const rescaled = sets.some(set => sizeOf(set) > 0 && desiredOf(set) !== undefined && desiredOf(set) !== replicas);
  const busyOthers = others.filter(set => sizeOf(set) > 0);
  if (rescaled && busyOthers.length > 0) return planProportional(deployment, current, sets);
  return deployment.spec.strategy?.type === 'Recreate'
    ? planRecreate(deployment, current, others)
    : planRolling(deployment, current, others);
}

function planRecreate(deployment: Deployment, current: ReplicaSet, others: readonly ReplicaSet[]): Scaling[] {
  const down = others.filter(set => sizeOf(set) > 0).map(set => ({ set, replicas: 0 }));
  if (down.length > 0) return down;
  const stillThere = others.some(set => !isObserved(set) || podsOf(set) > 0);
  return stillThere ? [] : resize(current, deployment.spec.replicas ?? 1, deployment);
}

function planRolling(deployment: Deployment, current: ReplicaSet, others: readonly ReplicaSet[]): Scaling[] {
  const up = resize(current, planNewReplicas(deployment, sizeOf(current), others), deployment);
  if (up.length > 0) return up;
  return planOldReplicas(deployment, current, others);
}

/** How large the new set may be now: what maxSurge leaves over the others. */
function planNewReplicas(deployment: Deployment, present: number, others: readonly ReplicaSet[]): number {
  const replicas = deployment.spec.replicas ?? 1;
  const old = others.reduce((sum, set) => sum + sizeOf(set), 0);
  if (deployment.spec.strategy?.type === 'Recreate')
    return others.some(set => sizeOf(set) > 0 || !isObserved(set) || podsOf(set) > 0) ? present : replicas;
  if (present >= replicas) return replicas;
  const room = replicas + limits(deployment).maxSurge - (present + old);
  return room <= 0 ? present : Math.min(replicas, present + room);
}

/** Old sets shrink by what is not ready first, then by what maxUnavailable allows; oldest first. */
function planOldReplicas(deployment: Deployment, current: ReplicaSet, others: readonly ReplicaSet[]): Scaling[] {
  const replicas = deployment.spec.replicas ?? 1;
  const minAvailable = replicas - limits(deployment).maxUnavailable;
  const old = others.filter(set => sizeOf(set) > 0).sort((a, b) => (a.metadata.creationTimestamp < b.metadata.creationTimestamp ? -1 : 1));
  const total = old.reduce((sum, set) => sum + sizeOf(set), sizeOf(current));
  const newUnavailable = sizeOf(current) - availableOf(current);
  let budget = total - minAvailable - newUnavailable;
  const steps: Scaling[] = [];
  for (const set of old) {
    const unavailable = Math.min(Math.max(0, sizeOf(set) - availableOf(set)), Math.max(0, budget));
    if (unavailable > 0) steps.push({ set, replicas: sizeOf(set) - unavailable });
    budget -= unavailable;
  }
  let spare = [...old, current].reduce((sum, set) => sum + availableOf(set), 0) - minAvailable;
  for (const set of old) {
    if (spare <= 0) break;
    const step = steps.find(each => each.set === set);
    const size = step?.replicas ?? sizeOf(set);
    const down = Math.min(size, spare);
    spare -= down;
    if (step) step.replicas = size - down;
    else if (down > 0) steps.push({ set, replicas: size - down });
  }
  return steps;
}

/** A change of `spec.replicas` in the middle of a rollout (or while paused) is shared out by size, largest first. */
function planProportional(deployment: Deployment, current: ReplicaSet | undefined, sets: readonly ReplicaSet[]): Scaling[] {
  const replicas = deployment.spec.replicas ?? 1;
  const busy = sets.filter(set => sizeOf(set) > 0);
  const only = busy.length === 0 ? current : busy.length === 1 ? busy[0] : undefined;
  if (busy.length <= 1) return only ? resize(only, replicas, deployment) : [];
  const surge = deployment.spec.strategy?.type === 'Recreate' ? 0 : limits(deployment).maxSurge;
  const allowed = replicas > 0 ? replicas + surge : 0;
  const total = busy.reduce((sum, set) => sum + sizeOf(set), 0);
  const wasAllowed = Math.max(
    1,
    ...busy.map(set => Number(set.metadata.annotations?.[MAX_REPLICAS] ?? 0) || (desiredOf(set) ?? replicas) + surge),
  );
  let toShare = allowed - total;
  const direction = Math.sign(toShare);
  const sorted = [...busy].sort((a, b) => sizeOf(b) - sizeOf(a));
  const steps = sorted.map(set => {
    const share = Math.round((sizeOf(set) * allowed) / wasAllowed) - sizeOf(set);
    const part = direction * Math.min(Math.max(0, direction * share), direction * toShare);
    toShare -= part;
    return { set, replicas: sizeOf(set) + part };
  });
  const largest = steps[0];
  if (largest) largest.replicas = Math.max(0, largest.replicas + toShare);
  return steps.filter(({ set, replicas: next }) => next !== sizeOf(set) || desiredOf(set) !== replicas);
}

function resize(set: ReplicaSet, replicas: number, deployment: Deployment): Scaling[] {
  return sizeOf(set) === replicas && (desiredOf(set) ?? deployment.spec.replicas ?? 1) === (deployment.spec.replicas ?? 1)
    ? []
    : [{ set, replicas }];
}

/** What `maxSurge` and `maxUnavailable` come to; never more unavailable than there are. */
export function limits(deployment: Deployment): { maxSurge: number; maxUnavailable: number } {
  const { maxSurge, maxUnavailable } = rollingLimits(deployment);
  return { maxSurge, maxUnavailable: Math.min(maxUnavailable, deployment.spec.replicas ?? 1) };
}

/** True when the set's status speaks of its present spec. */
export function isObserved({ metadata, status }: ReplicaSet): boolean {
  return (status?.observedGeneration ?? 0) >= (metadata.generation ?? 0);
}

/** Pods that the set still has, also those on their way out. */
function podsOf({ status }: ReplicaSet): number {
  return (status?.replicas ?? 0) + (status?.terminatingReplicas ?? 0);
}

function sizeOf(set: ReplicaSet): number {
  return set.spec.replicas ?? 1;
}

function availableOf(set: ReplicaSet): number {
  return Math.min(set.status?.availableReplicas ?? 0, sizeOf(set));
}

function desiredOf(set: ReplicaSet): number | undefined {
  const text = set.metadata.annotations?.[DESIRED_REPLICAS];
  return text === undefined ? undefined : Number(text);
}

function withoutHash({ metadata, spec }: Deployment['spec']['template']): object {
  const { [TEMPLATE_HASH]: _, ...labels } = metadata?.labels ?? {};
  return { labels, annotations: metadata?.annotations ?? {}, spec };
}

function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) =>
    isObject(part) ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1))) : part,
  );
}
