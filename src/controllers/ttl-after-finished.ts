import { defineController, done } from '#client/index.ts';
import { isJobFinished, Job } from '#kinds/job.ts';
import { ignoreAbsent } from './absence.ts';

/** Deletes finished Jobs, with their pods, once `ttlSecondsAfterFinished` have passed. */
export const ttlAfterFinishedController = defineController<Job>({
  name: 'ttl-after-finished-controller',
  watches: Job,
  async reconcile(key, { client, clock }) {
    const seen = await client.get(Job, key);
    const dueInMs = seen && expiresInMs(seen, clock.now());
    if (dueInMs === undefined) return done;
    if (dueInMs > 0) return { againInMs: dueInMs };
    // The time to live may have been raised since the picture was taken.
    const job = await client.getLive(Job, key);
    const stillInMs = job && expiresInMs(job, clock.now());
    if (!job || stillInMs === undefined) return done;
    if (stillInMs > 0) return { againInMs: stillInMs };
    const { uid, resourceVersion } = job.metadata;
    await ignoreAbsent(client.delete(Job, key, { propagationPolicy: 'Foreground', preconditions: { uid, resourceVersion } }));
    return done;
  },
});

/** When the Job may go; undefined: never, or not decided yet. Pure. */
export function expiresInMs(job: Job, nowMs: number): number | undefined {
  const { ttlSecondsAfterFinished } = job.spec;
  if (ttlSecondsAfterFinished === undefined || job.metadata.deletionTimestamp || !isJobFinished(job)) return undefined;
  const end = job.status?.conditions?.find(({ type, status }) => (type === 'Complete' || type === 'Failed') && status === 'True');
  return Math.max(0, Date.parse(String(end?.lastTransitionTime)) + ttlSecondsAfterFinished * 1_000 - nowMs);
}
