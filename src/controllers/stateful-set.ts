import { matchesLabels, requirementsOf } from '#base/index.ts';
import { alsoWatch, controllerOf, defineController, type Reconciling } from '#client/index.ts';
import { ControllerRevision } from '#kinds/controller-revision.ts';
import type { Key } from '#kinds/kind.ts';
import { PersistentVolumeClaim } from '#kinds/persistent-volume-claim.ts';
import { Pod } from '#kinds/pod.ts';
import { StatefulSet } from '#kinds/stateful-set.ts';

/** Keeps the members of StatefulSets: pods with names, order and volumes of their own. What it does is loaded with the first set. */
export const statefulSetController = defineController<StatefulSet>({
  name: 'statefulset-controller',
  watches: StatefulSet,
  owns: [Pod, ControllerRevision],
  alsoWatches: [
    alsoWatch(Pod, (pod, context) => (controllerOf(pod) ? [] : selecting(pod, context))),
    alsoWatch(PersistentVolumeClaim, claiming),
  ],
  reconcile: async (key, context) => (await import('./stateful-set-reconcile.ts')).reconcileStatefulSet(key, context),
});

/** Sets whose selector an ownerless pod meets: they may adopt it. */
function selecting({ metadata }: Pod, { client }: Reconciling): Key[] {
  return client
    .cached(StatefulSet)
    .list(metadata.namespace)
    .filter(({ spec }) => matchesLabels(requirementsOf(spec.selector), metadata.labels))
    .map(keyOf);
}

/** Sets that may wait for a claim of that name. */
function claiming({ metadata }: PersistentVolumeClaim, { client }: Reconciling): Key[] {
  return client
    .cached(StatefulSet)
    .list(metadata.namespace)
    .filter(set =>
      set.spec.volumeClaimTemplates?.some(({ metadata: { name } }) => metadata.name.startsWith(`${name}-${set.metadata.name}-`)),
    )
    .map(keyOf);
}

function keyOf({ metadata: { namespace, name } }: StatefulSet): Key {
  return { namespace, name };
}
