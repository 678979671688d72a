import { matchesLabels, requirementsOf } from '#base/index.ts';
import { alsoWatch, controllerOf, defineController, type Reconciling } from '#client/index.ts';
import { Job } from '#kinds/job.ts';
import type { Key } from '#kinds/kind.ts';
import { Pod } from '#kinds/pod.ts';

/** Runs a Job's pods until enough have succeeded, counting each exactly once. What it does is loaded with the first Job. */
export const jobController = defineController<Job>({
  name: 'job-controller',
  watches: Job,
  owns: [Pod],
  alsoWatches: [alsoWatch(Pod, (pod, context) => (controllerOf(pod) ? [] : concerned(pod, context)))],
  reconcile: async (key, context) => (await import('./job-reconcile.ts')).reconcileJob(key, context),
});

/** The Job that an ownerless pod was of, which may have to let it go, and Jobs that may adopt it. */
function concerned({ metadata }: Pod, { client }: Reconciling): Key[] {
  const name = metadata.finalizers && metadata.labels?.['batch.kubernetes.io/job-name'];
  const selecting = client
    .cached(Job)
    .list(metadata.namespace)
    .filter(({ spec }) => spec.selector && matchesLabels(requirementsOf(spec.selector), metadata.labels))
    .map(job => ({ namespace: job.metadata.namespace, name: job.metadata.name }));
  return name ? [{ namespace: metadata.namespace, name }, ...selecting] : selecting;
}
