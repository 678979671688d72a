import { matchesLabels, requirementsOf } from '#base/index.ts';
import { alsoWatch, controllerOf, defineController, done, type Outcome, type Reconciling } from '#client/index.ts';
import { Deployment } from '#kinds/deployment.ts';
import type { Key } from '#kinds/kind.ts';
import { ReplicaSet } from '#kinds/replica-set.ts';
import { ignoreAbsent, ignorePresent } from './absence.ts';
import { claim } from './claim.ts';
import { deploymentStatus } from './deployment-status.ts';
import {
  copiedAnnotations,
  isObserved,
  newReplicaSet,
  planRollout,
  REVISION,
  revisionOf,
  sameTemplate,
  sizeAnnotations,
} from './rollout.ts';
import { isSameStatus } from './status.ts';

/** Carries a Deployment's template and number of replicas to its ReplicaSets: rolling update or recreate, pause, history. */
export const deploymentController = defineController<Deployment>({
  name: 'deployment-controller',
  watches: Deployment,
  owns: [ReplicaSet],
  alsoWatches: [alsoWatch(ReplicaSet, (set, context) => (controllerOf(set) ? [] : selecting(set, context)))],
  async reconcile(key, context) {
    const { client } = context;
    const deployment = await client.get(Deployment, key);
    if (!deployment) return done;
    const sets = deployment.metadata.deletionTimestamp
      ? client.listOwned(ReplicaSet, deployment)
      : await claimReplicaSets(deployment, context);
    if (deployment.metadata.deletionTimestamp) return writeStatus(deployment, sets, context);
    const current = await currentSet(deployment, sets, context);
    const others = sets.filter(set => set.metadata.uid !== current?.metadata.uid);
    for (const { set, replicas } of planRollout(deployment, current, others)) await scale(deployment, set, replicas, context);
    await removeOldHistory(deployment, others, context);
    return writeStatus(deployment, current ? [current, ...others] : others, context, current);
  },
});

/** Deployments whose selector an ownerless ReplicaSet meets: they may adopt it. */
function selecting(set: ReplicaSet, { client }: Reconciling): Key[] {
  return client
    .cached(Deployment)
    .list(set.metadata.namespace)
    .filter(deployment => matchesLabels(requirementsOf(deployment.spec.selector), set.metadata.labels))
    .map(({ metadata: { namespace, name } }) => ({ namespace, name }));
}

/** Its own ReplicaSets that it still selects (others are released), and ownerless ones that it selects, adopted. */
async function claimReplicaSets(deployment: Deployment, { client }: Reconciling): Promise<ReplicaSet[]> {
  return claim(client, {
    owner: deployment,
    ownerKind: Deployment,
    kind: ReplicaSet,
    selector: deployment.spec.selector,
  });
}

/** The ReplicaSet of the present template: found, marked with the newest revision, or made (not while paused). */
async function currentSet(deployment: Deployment, sets: ReplicaSet[], context: Reconciling): Promise<ReplicaSet | undefined> {
  const { client, events } = context;
  const newestOld = newest(sets.filter(set => !sameTemplate(deployment, set)).map(revisionOf));
  const found = sets
    .filter(set => sameTemplate(deployment, set))
    .sort((a, b) => (a.metadata.creationTimestamp < b.metadata.creationTimestamp ? -1 : 1))[0];
  const revision = String(newest([newestOld + 1n, found ? revisionOf(found) : 0n]));
  if (found) return follow(deployment, found, { ...copiedAnnotations(deployment), [REVISION]: revision }, context);
  if (deployment.spec.paused) return undefined;
  const draft = newReplicaSet(deployment, sets, revision);
  const made = await ignorePresent(client.create(ReplicaSet, draft));
  if (made) {
    events.normal(deployment, 'ScalingReplicaSet', `Scaled up replica set ${made.metadata.name} from 0 to ${made.spec.replicas ?? 0}`);
    return made;
  }
  return onNameTaken(deployment, draft.metadata.name ?? '', context);
}

/** The present ReplicaSet takes over what isn't in its template: annotations and `minReadySeconds`. */
async function follow(
  { spec }: Deployment,
  set: ReplicaSet,
  annotations: Record<string, string>,
  { client }: Reconciling,
): Promise<ReplicaSet> {
  const minReadySeconds = spec.minReadySeconds ?? 0;
  const differs = Object.entries(annotations).some(([key, value]) => set.metadata.annotations?.[key] !== value);
  if (!differs && (set.spec.minReadySeconds ?? 0) === minReadySeconds) return set;
  return client.patch(ReplicaSet, set.metadata, { metadata: { annotations }, spec: { minReadySeconds } }, { type: 'merge' });
}

/** A ReplicaSet of that name exists: ours seen late, or a foreign one, then the next name counts a collision. */
async function onNameTaken(deployment: Deployment, name: string, { client }: Reconciling): Promise<ReplicaSet | undefined> {
  const { items } = await client.list(ReplicaSet, { namespace: deployment.metadata.namespace, fieldSelector: `metadata.name=${name}` });
  const taken = items[0];
  if (taken && controllerOf(taken)?.uid === deployment.metadata.uid && sameTemplate(deployment, taken)) return taken;
  const status = { ...deployment.status, collisionCount: (deployment.status?.collisionCount ?? 0) + 1 };
  await client.updateStatus(Deployment, { ...deployment, status });
  return undefined;
}

async function scale(deployment: Deployment, set: ReplicaSet, replicas: number, { client, events }: Reconciling): Promise<void> {
  const before = set.spec.replicas ?? 1;
  const annotations = sizeAnnotations(deployment);
  await ignoreAbsent(client.patch(ReplicaSet, set.metadata, { metadata: { annotations }, spec: { replicas } }, { type: 'merge' }));
  if (before === replicas) return;
  const direction = replicas > before ? 'up' : 'down';
  events.normal(deployment, 'ScalingReplicaSet', `Scaled ${direction} replica set ${set.metadata.name} from ${before} to ${replicas}`);
}

function newest(revisions: readonly bigint[]): bigint {
  let most = 0n;
  for (const each of revisions) if (each > most) most = each;
  return most;
}

/** Empty old ReplicaSets beyond `revisionHistoryLimit` go, oldest first. */
async function removeOldHistory(deployment: Deployment, others: ReplicaSet[], { client }: Reconciling): Promise<void> {
  const limit = deployment.spec.revisionHistoryLimit ?? 10;
  const empty = others.filter(
    set => !set.metadata.deletionTimestamp && isObserved(set) && (set.spec.replicas ?? 1) === 0 && (set.status?.replicas ?? 0) === 0,
  );
  empty.sort((a, b) => (revisionOf(a) < revisionOf(b) ? -1 : 1));
  for (const set of empty.slice(0, Math.max(0, empty.length - limit))) await ignoreAbsent(client.delete(ReplicaSet, set.metadata));
}

async function writeStatus(
  deployment: Deployment,
  sets: ReplicaSet[],
  { client, clock }: Reconciling,
  current?: ReplicaSet,
): Promise<Outcome> {
  const { status, againInMs } = deploymentStatus(deployment, sets, current, clock.now());
  const revision = current?.metadata.annotations?.[REVISION];
  if (revision && deployment.metadata.annotations?.[REVISION] !== revision) {
    await ignoreAbsent(
      client.patch(Deployment, deployment.metadata, { metadata: { annotations: { [REVISION]: revision } } }, { type: 'merge' }),
    );
  }
  if (!isSameStatus(deployment.status, status)) {
    await ignoreAbsent(client.patch(Deployment, deployment.metadata, { status }, { type: 'merge', subresource: 'status' }));
  }
  return againInMs === undefined ? done : { againInMs };
}
