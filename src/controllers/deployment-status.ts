import { toTime } from '#base/index.ts';
import type { Deployment } from '#kinds/deployment.ts';
import type { ReplicaSet } from '#kinds/replica-set.ts';
import { limits } from './rollout.ts';
import { setCondition } from './status.ts';

type Status = NonNullable<Deployment['status']>;

/** What the status must say, and when the progress deadline will have to be looked at. Pure. */
export function deploymentStatus(
  deployment: Deployment,
  sets: readonly ReplicaSet[],
  current: ReplicaSet | undefined,
  nowMs: number,
): { status: Status; againInMs?: number } {
  const sum = (of: (set: ReplicaSet) => number | undefined) => sets.reduce((total, set) => total + (of(set) ?? 0), 0);
  const replicas = sum(set => set.status?.replicas);
  const availableReplicas = sum(set => set.status?.availableReplicas);
  const counts = {
    replicas,
    updatedReplicas: current?.status?.replicas ?? 0,
    readyReplicas: sum(set => set.status?.readyReplicas),
    availableReplicas,
    unavailableReplicas: Math.max(0, sum(set => set.spec.replicas) - availableReplicas),
    terminatingReplicas: sum(set => set.status?.terminatingReplicas),
  };
  const wanted = deployment.spec.replicas ?? 1;
  const enough = availableReplicas >= wanted - limits(deployment).maxUnavailable;
  let conditions = setCondition(
    deployment.status?.conditions,
    enough
      ? { type: 'Available', status: 'True', reason: 'MinimumReplicasAvailable', message: 'Deployment has minimum availability.' }
      : {
          type: 'Available',
          status: 'False',
          reason: 'MinimumReplicasUnavailable',
          message: 'Deployment does not have minimum availability.',
        },
    nowMs,
  );
  const failure = current?.status?.conditions?.find(({ type }) => type === 'ReplicaFailure');
  conditions = setCondition(conditions, failure ?? { type: 'ReplicaFailure', status: undefined }, nowMs);
  const progress = planProgress(deployment, current, counts, nowMs);
  if (progress.condition) {
    conditions = setCondition(conditions, progress.condition, nowMs);
    if (progress.moved)
      conditions = conditions.map(each => (each.type === 'Progressing' ? { ...each, lastUpdateTime: toTime(nowMs) } : each));
  }
  const status: Status = {
    observedGeneration: deployment.metadata.generation,
    ...counts,
    ...(deployment.status?.collisionCount ? { collisionCount: deployment.status.collisionCount } : {}),
    conditions: conditions.map(each => ({ ...each, lastUpdateTime: each.lastUpdateTime ?? each.lastTransitionTime })),
  };
  return { status, ...(progress.againInMs === undefined ? {} : { againInMs: progress.againInMs }) };
}

interface Progress {
  condition?: { type: 'Progressing'; status: string; reason: string; message: string };
  /** Something went on since the last look: the deadline starts anew. */
  moved?: boolean;
  againInMs?: number;
}

/** Complete, going on, paused, or over its deadline. */
function planProgress(deployment: Deployment, current: ReplicaSet | undefined, counts: Partial<Status>, nowMs: number): Progress {
  const { progressDeadlineSeconds = 600, paused, replicas: wanted = 1 } = deployment.spec;
  const say = (status: string, reason: string, message: string) => ({ type: 'Progressing' as const, status, reason, message });
  const before = deployment.status?.conditions?.find(({ type }) => type === 'Progressing');
  if (paused) return before?.reason === 'DeploymentPaused' ? {} : { condition: say('Unknown', 'DeploymentPaused', 'Deployment is paused') };
  const name = current?.metadata.name ?? '';
  const complete = counts.updatedReplicas === wanted && counts.replicas === wanted && counts.availableReplicas === wanted;
  if (complete && current) return { condition: say('True', 'NewReplicaSetAvailable', `ReplicaSet "${name}" has successfully progressed.`) };
  const was = deployment.status;
  const moved =
    before?.reason === 'NewReplicaSetAvailable' ||
    before?.reason === 'DeploymentPaused' ||
    !before ||
    (counts.updatedReplicas ?? 0) > (was?.updatedReplicas ?? 0) ||
    (counts.availableReplicas ?? 0) > (was?.availableReplicas ?? 0) ||
    (counts.readyReplicas ?? 0) > (was?.readyReplicas ?? 0) ||
    (counts.replicas ?? 0) - (counts.updatedReplicas ?? 0) < (was?.replicas ?? 0) - (was?.updatedReplicas ?? 0);
  const since = moved ? nowMs : Date.parse(String(before?.lastUpdateTime ?? before?.lastTransitionTime ?? '')) || nowMs;
  const leftMs = since + progressDeadlineSeconds * 1000 - nowMs;
  if (leftMs <= 0) return { condition: say('False', 'ProgressDeadlineExceeded', `ReplicaSet "${name}" has timed out progressing.`) };
  return { condition: say('True', 'ReplicaSetUpdated', `ReplicaSet "${name}" is progressing.`), moved, againInMs: leftMs + 1000 };
}
