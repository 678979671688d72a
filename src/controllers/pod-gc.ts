import { alsoWatch, type Controller, defineController, done, type Reconciling } from '#client/index.ts';
import type { Key } from '#kinds/kind.ts';
import { Node } from '#kinds/node.ts';
import { Pod } from '#kinds/pod.ts';
import { isPodTerminal } from '#kinds/pod-template.ts';
import { endPod } from './end-pod.ts';

/** Ended pods that may stay; the oldest of what is more go. */
const MOST_TERMINATED = 12_500;
/** Ended pods are counted at most so often. */
const COUNT_EVERY_MS = 20_000;
const OUT_OF_SERVICE = 'node.kubernetes.io/out-of-service';
/** Stands in the queue for the ended pods of all namespaces; everything else there is a node. */
const TERMINATED: Key = { namespace: 'terminated', name: 'pods' };

/**
 * Removes pods that nobody else will: those that ended, beyond a number, and those that were told to end on a node that its
 * administrator has declared out of service. Pods of nodes that are gone are the node controller's; pods that never had a node go with
 * their deletion.
 */
export function podGcController(): Controller<Node> {
  let countAtMs = Number.NEGATIVE_INFINITY;
  return defineController<Node>({
    name: 'pod-garbage-collector',
    watches: Node,
    alsoWatches: [alsoWatch(Pod, concerned)],
    async reconcile(key, context) {
      const { client, clock } = context;
      if (key.namespace === TERMINATED.namespace) {
        const waitMs = countAtMs - clock.monotonic();
        if (waitMs > 0) return { againInMs: waitMs };
        countAtMs = clock.monotonic() + COUNT_EVERY_MS;
        const excess = planTerminated(client.cached(Pod).list(), MOST_TERMINATED);
        for (const pod of excess) await endPod(client, pod, { nowMs: clock.now(), gracePeriodSeconds: 0 });
        return done;
      }
      const node = await client.get(Node, key);
      if (!node || !isOutOfService(node)) return done;
      const left = client
        .cached(Pod)
        .list()
        .filter(({ spec, metadata }) => spec.nodeName === key.name && metadata.deletionTimestamp);
      for (const pod of left) await endPod(client, pod, { nowMs: clock.now(), isFailed: true, gracePeriodSeconds: 0 });
      return done;
    },
  });
}

function concerned(pod: Pod, { client }: Reconciling): Key[] {
  if (isPodTerminal(pod)) return [TERMINATED];
  const { nodeName } = pod.spec;
  if (!nodeName || !pod.metadata.deletionTimestamp) return [];
  const node = client.cached(Node).get({ name: nodeName });
  return node && isOutOfService(node) ? [{ name: nodeName }] : [];
}

/** Tainted so by a person, and not ready: nothing runs there any more. Pure. */
export function isOutOfService({ spec, status }: Node): boolean {
  const isReady = status?.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True');
  return !isReady && spec.taints?.some(({ key }) => key === OUT_OF_SERVICE) === true;
}

/** The ended pods that are too many: first those that were evicted, then the oldest. Pure. */
export function planTerminated(pods: readonly Pod[], most: number): Pod[] {
  if (pods.length <= most) return [];
  const ended = pods.filter(isPodTerminal);
  const rank = ({ status }: Pod) => (status?.reason === 'Evicted' ? 0 : 1);
  const sorted = ended.toSorted(
    (a, b) => rank(a) - rank(b) || Date.parse(a.metadata.creationTimestamp) - Date.parse(b.metadata.creationTimestamp),
  );
  return sorted.slice(0, Math.max(0, ended.length - most));
}
