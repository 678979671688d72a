import { toTime } from '#base/index.ts';
import { alsoWatch, type Controller, defineController, done } from '#client/index.ts';
import { Pod } from '#kinds/pod.ts';
import { isPodTerminal } from '#kinds/pod-template.ts';
import { PodDisruptionBudget } from '#kinds/policy.ts';
import { ignoreAbsent } from './absence.ts';

/** A pod that is to be ended for a disruption ends by then, or it is not going to. */
const STALE_MS = 120_000;

/**
 * Takes back that pods are to be ended by a disruption (`DisruptionTarget`) where nobody did it within two minutes: Jobs would otherwise
 * judge a later failure by it. Keys are pods'; a budget by the name of one makes it look at that pod once more, which is harmless.
 */
export const staleDisruptionController: Controller<PodDisruptionBudget> = defineController<PodDisruptionBudget>({
  name: 'stale-pod-disruption',
  watches: PodDisruptionBudget,
  alsoWatches: [alsoWatch(Pod, pod => (staleDisruptionInMs(pod, 0) === undefined ? [] : [pod.metadata]))],
  async reconcile(key, { client, clock, log }) {
    const pod = client.cached(Pod).get(key);
    const inMs = pod && staleDisruptionInMs(pod, clock.now());
    if (!pod || inMs === undefined) return done;
    if (inMs > 0) return { againInMs: inMs };
    const { uid, resourceVersion } = pod.metadata;
    const conditions = [{ type: 'DisruptionTarget', status: 'False', lastTransitionTime: toTime(clock.now()) }];
    const patch = { metadata: { uid, resourceVersion }, status: { conditions } };
    await ignoreAbsent(client.patch(Pod, key, patch, { type: 'strategic', subresource: 'status' }));
    log.info('a stale DisruptionTarget was reset', { pod: `${key.namespace}/${key.name}` });
    return done;
  },
});

/** When what a pod says of its disruption becomes stale; undefined: never. What the kubelet says never does. Pure. */
export function staleDisruptionInMs(pod: Pod, nowMs: number): number | undefined {
  if (pod.metadata.deletionTimestamp || isPodTerminal(pod)) return undefined;
  const target = pod.status?.conditions?.find(({ type }) => type === 'DisruptionTarget');
  if (target?.status !== 'True' || target.reason === 'TerminationByKubelet') return undefined;
  const since = Date.parse(String(target.lastTransitionTime));
  return Math.max(0, (Number.isNaN(since) ? 0 : since) + STALE_MS - nowMs);
}
