import { messageOf, selectorMatches } from '#base/index.ts';
import { alsoWatch, type Controller, controllerOf, defineController, done, type Reconciling } from '#client/index.ts';
import { Deployment } from '#kinds/deployment.ts';
import { groupResourceOf, type Key, type Kind, type KubeObject } from '#kinds/kind.ts';
import { Pod } from '#kinds/pod.ts';
import { PodDisruptionBudget } from '#kinds/policy.ts';
import { ReplicaSet } from '#kinds/replica-set.ts';
import { ReplicationController } from '#kinds/replication-controller.ts';
import { StatefulSet } from '#kinds/stateful-set.ts';
import { ignoreAbsent } from './absence.ts';
import type { CustomKinds } from './custom-kinds.ts';
import { countsByScale, planDisruption, planFailure } from './disruption-plan.ts';
import { findReferredKind, getScale } from './scale-target.ts';
import { isSameStatus } from './status.ts';

/** Kinds that say how many pods they want; changes of theirs concern the budgets around them. */
const SCALED: readonly Kind[] = [Deployment, ReplicaSet, ReplicationController, StatefulSet];

/** Says of every PodDisruptionBudget how many of its pods may be evicted at the moment. */
export function disruptionController(customKinds?: CustomKinds): Controller<PodDisruptionBudget> {
  return defineController<PodDisruptionBudget>({
    name: 'disruption-controller',
    watches: PodDisruptionBudget,
    alsoWatches: [alsoWatch(Pod, budgetsOf), ...SCALED.map(kind => alsoWatch(kind, budgetsAround))],
    async reconcile(key, context) {
      const { client, clock, events } = context;
      const budget = await client.get(PodDisruptionBudget, key);
      if (!budget || budget.metadata.deletionTimestamp) return done;
      const { selector } = budget.spec;
      const pods = client
        .cached(Pod)
        .list(key.namespace)
        .filter(({ metadata }) => selectorMatches(selector, metadata.labels));
      if (pods.length === 0) events.normal(budget, 'NoPods', 'No matching pods found');
      let scale = 0;
      try {
        if (countsByScale(budget)) scale = await scaleOf(budget, pods, context, customKinds);
      } catch (error) {
        const why = messageOf(error);
        events.warning(budget, 'CalculateExpectedPodCountFailed', `Failed to calculate the number of expected pods: ${why}`);
        await write(budget, planFailure(budget, why, clock.now()), context);
        return done;
      }
      const { status, overdue, againInMs } = planDisruption({ budget, pods, scale, nowMs: clock.now() });
      for (const pod of overdue) {
        const { namespace, name } = budget.metadata;
        events.warning(pod, 'NotDeleted', `Pod was expected by PDB ${namespace}/${name} to be deleted but it wasn't`);
      }
      await write(budget, status, context);
      return againInMs === undefined ? done : { againInMs };
    },
  });
}

async function write(budget: PodDisruptionBudget, status: NonNullable<PodDisruptionBudget['status']>, { client }: Reconciling) {
  if (!isSameStatus(budget.status, status)) await ignoreAbsent(client.updateStatus(PodDisruptionBudget, { ...budget, status }));
}

/** The budgets that select a pod. */
function budgetsOf({ metadata }: Pod, { client }: Reconciling): Key[] {
  return client
    .cached(PodDisruptionBudget)
    .list(metadata.namespace)
    .filter(({ spec }) => selectorMatches(spec.selector, metadata.labels))
    .map(budget => budget.metadata);
}

/** The budgets of a namespace that count by what controllers want. */
function budgetsAround({ metadata }: KubeObject, { client }: Reconciling): Key[] {
  return client
    .cached(PodDisruptionBudget)
    .list(metadata.namespace)
    .filter(countsByScale)
    .map(budget => budget.metadata);
}

/** How many pods the controllers of these pods want together. @throws Error where one of them can't say */
async function scaleOf(
  budget: PodDisruptionBudget,
  pods: readonly Pod[],
  context: Reconciling,
  customKinds: CustomKinds | undefined,
): Promise<number> {
  const scales = new Map<string, number>();
  const unmanaged: string[] = [];
  for (const pod of pods) {
    const controller = controllerOf(pod);
    if (!controller) unmanaged.push(pod.metadata.name);
    else if (!scales.has(controller.uid)) {
      const { uid, replicas } = await scaleOfController(pod, controller, context, customKinds);
      scales.set(controller.uid, 0).set(uid, replicas);
    }
  }
  if (unmanaged.length > 0)
    context.events.warning(
      budget,
      'UnmanagedPods',
      `Pods selected by this PodDisruptionBudget (selector: ${JSON.stringify(budget.spec.selector ?? {})}) were found to be unmanaged. As a result, the status of the PDB cannot be calculated correctly, which may result in undefined behavior. To account for these pods please set ".spec.minAvailable" field of the PDB to an integer value.`,
    );
  return [...scales.values()].reduce((sum, replicas) => sum + replicas, 0);
}

type Reference = NonNullable<ReturnType<typeof controllerOf>>;

/** A ReplicaSet's Deployment counts in its place: during a rollout it has several, and one number. */
async function scaleOfController(
  pod: Pod,
  { apiVersion, kind: kindName, name, uid }: Reference,
  { client }: Reconciling,
  customKinds: CustomKinds | undefined,
): Promise<{ uid: string; replicas: number }> {
  const { namespace } = pod.metadata;
  const cached = SCALED.find(({ resource }) => resource.kind === kindName && apiVersion.split('/')[0] === (resource.group || 'v1'));
  if (cached) {
    const found = client.cached(cached).get({ namespace, name });
    if (!found || found.metadata.uid !== uid) return { uid, replicas: 0 };
    const above = kindName === 'ReplicaSet' ? controllerOf(found) : undefined;
    const deployment = above?.kind === 'Deployment' ? client.cached(Deployment).get({ namespace, name: above.name }) : undefined;
    const [kind, object] = deployment && deployment.metadata.uid === above?.uid ? [Deployment as Kind, deployment] : [cached, found];
    return { uid: object.metadata.uid, replicas: kind.scale?.specReplicas(object) ?? 0 };
  }
  const kind = findReferredKind(apiVersion, kindName, customKinds);
  if (!kind) throw new Error(`found no controllers for pod "${pod.metadata.name}"`);
  const scale = await getScale(client, kind, { namespace, name });
  if (!scale) throw new Error(`${groupResourceOf(kind.resource)} does not implement the scale subresource`);
  return { uid, replicas: scale.spec?.replicas ?? 0 };
}
