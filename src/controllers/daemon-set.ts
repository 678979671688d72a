import { matchesLabels, requirementsOf } from '#base/index.ts';
import { alsoWatch, controllerOf, defineController, type Reconciling } from '#client/index.ts';
import { ControllerRevision } from '#kinds/controller-revision.ts';
import { DaemonSet } from '#kinds/daemon-set.ts';
import type { Key } from '#kinds/kind.ts';
import { Node } from '#kinds/node.ts';
import { Pod } from '#kinds/pod.ts';

/** Keeps one pod of a DaemonSet on every node that it is for. What it does is loaded with the first set. */
export const daemonSetController = defineController<DaemonSet>({
  name: 'daemonset-controller',
  watches: DaemonSet,
  owns: [Pod, ControllerRevision],
  alsoWatches: [
    alsoWatch(Pod, (pod, context) => (controllerOf(pod) ? [] : selecting(pod, context))),
    alsoWatch(Node, (_node, { client }) => client.cached(DaemonSet).list().map(keyOf)),
  ],
  reconcile: async (key, context) => (await import('./daemon-set-reconcile.ts')).reconcileDaemonSet(key, context),
});

/** Sets whose selector an ownerless pod meets: they may adopt it. */
function selecting({ metadata }: Pod, { client }: Reconciling): Key[] {
  return client
    .cached(DaemonSet)
    .list(metadata.namespace)
    .filter(({ spec }) => matchesLabels(requirementsOf(spec.selector), metadata.labels))
    .map(keyOf);
}

function keyOf({ metadata: { namespace, name } }: DaemonSet): Key {
  return { namespace, name };
}
