import { alsoWatch, type Controller, defineController, done } from '#client/index.ts';
import { keyText } from '#client/informer.ts';
import { HorizontalPodAutoscaler } from '#kinds/autoscaling.ts';
import { Pod } from '#kinds/pod.ts';
import type { CustomKinds } from './custom-kinds.ts';
import type { Memory } from './hpa-sync.ts';

const SYNC_EVERY_MS = 15_000;

/** An autoscaler that this process has seen, and when it was last looked at. */
interface Followed extends Memory {
  uid: string;
  generation: number;
  syncedAtMs: number;
}

/** Follows the load of each HorizontalPodAutoscaler's target with its number of replicas, every 15 s. */
export function horizontalPodAutoscalerController(customKinds?: CustomKinds): Controller<HorizontalPodAutoscaler> {
  const memories = new Map<string, Followed>();
  return defineController<HorizontalPodAutoscaler>({
    name: 'horizontal-pod-autoscaler',
    watches: HorizontalPodAutoscaler,
    alsoWatches: [alsoWatch(Pod, () => [])],
    async reconcile(key, context) {
      const autoscaler = await context.client.get(HorizontalPodAutoscaler, key);
      const name = keyText(key);
      if (!autoscaler || autoscaler.metadata.deletionTimestamp) {
        memories.delete(name);
        return done;
      }
      const nowMs = context.clock.monotonic();
      const { uid, generation = 0 } = autoscaler.metadata;
      const known = memories.get(name);
      const memory: Followed =
        known?.uid === uid ? known : { uid, generation: -1, syncedAtMs: nowMs, selector: '', recommendations: [], changes: [] };
      memories.set(name, memory);
      // What this controller writes itself is no reason to come again at once.
      const waitMs = memory.generation === generation ? memory.syncedAtMs + SYNC_EVERY_MS - nowMs : 0;
      if (waitMs > 0) return { againInMs: waitMs };
      Object.assign(memory, { generation, syncedAtMs: nowMs });
      const others = [...memories].filter(([other]) => other !== name && other.startsWith(`${key.namespace}/`));
      const { HpaSync } = await import('./hpa-sync.ts');
      await new HpaSync({ autoscaler, memory, others: new Map(others), context, customKinds }).run();
      return { againInMs: SYNC_EVERY_MS };
    },
  });
}
