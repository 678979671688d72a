import { selectorMatches } from '#base/index.ts';
import { controllerOf, done, isNamespaceEnding, type Outcome, type Reconciling } from '#client/index.ts';
import { isJobFinished, Job } from '#kinds/job.ts';
import type { Key } from '#kinds/kind.ts';
import { Pod } from '#kinds/pod.ts';
import type { Container } from '#kinds/types.gen.ts';
import { ignoreAbsent } from './absence.ts';
import { inGrowingBatches, together } from './batches.ts';
import { claim } from './claim.ts';
import { type JobPlan, planJob } from './job-plan.ts';
import { COMPLETION_INDEX, FAILURE_COUNT, IGNORED_FAILURE_COUNT, isTracked, JOB_NAME, TRACKING } from './job-pods.ts';
import { finishJob, settleUncounted } from './job-tracking.ts';
import { type PodDraft, podFromTemplate } from './pod-from-template.ts';
import { isSameStatus } from './status.ts';

const OURSELVES = 'kubernetes.io/job-controller';
/** A generated name's random end is added to at most so many characters. */
const LONGEST_GENERATE_NAME = 58;

/** One look at a Job: pods, then counts and decision in the status, then finalizers, then the last word. */
export async function reconcileJob(key: Key, context: Reconciling): Promise<Outcome> {
  const { client, clock } = context;
  const job = await client.get(Job, key);
  await releaseStrays(key, job, context);
  if (!job || (job.spec.managedBy && job.spec.managedBy !== OURSELVES)) return done;
  if (isJobFinished(job)) {
    await release(client.listOwned(Pod, job).filter(isTracked), context);
    return done;
  }
  const foreign = client.listOwned(Pod, job).filter(pod => isTracked(pod) && isForeign(pod, job));
  if (foreign.length > 0) {
    // Nobody would take the finalizer off once they are let go; then they come here again.
    await release(foreign, context);
    return done;
  }
  const pods = await claimPods(job, context);
  const nowMs = clock.now();
  const plan = planJob({ job, pods, nowMs });
  const failure = await act(job, plan, context);
  // What the status is about to say of removed pods must be true.
  if (failure && plan.remove.length > 0) throw failure;
  let current = await writeStatus(job, plan.status, context);
  for (const { type, reason, message } of plan.said) context.events[type](job, reason, message);
  const released = await release(plan.release, context);
  const status = structuredClone(plan.status);
  settleUncounted(
    status,
    new Set(pods.filter(pod => isTracked(pod) && !released.has(pod.metadata.uid)).map(({ metadata }) => metadata.uid)),
  );
  const { verdict } = plan;
  const isOver = verdict !== undefined && released.size === plan.release.length && finishJob(status, verdict, nowMs);
  current = await writeStatus(current, status, context);
  if (isOver) tellEnd(current, verdict, context);
  if (failure && !isNamespaceEnding(failure)) throw failure;
  return plan.againInMs === undefined ? done : { againInMs: plan.againInMs };
}

/** True when the Job's selector does not mean the pod any more: it is about to be let go. */
function isForeign({ metadata }: Pod, { spec: { selector } }: Job): boolean {
  return !metadata.deletionTimestamp && selector !== undefined && !selectorMatches(selector, metadata.labels);
}

/** The Job's pods; adopted ones are tracked from now on. */
async function claimPods(job: Job, { client }: Reconciling): Promise<Pod[]> {
  const { selector } = job.spec;
  if (!selector) return [];
  const own = new Set(client.listOwned(Pod, job).map(({ metadata }) => metadata.uid));
  const pods = await claim(client, { owner: job, ownerKind: Job, kind: Pod, selector });
  return Promise.all(
    pods.map(async pod => {
      if (own.has(pod.metadata.uid) || isTracked(pod)) return pod;
      const finalizers = [...(pod.metadata.finalizers ?? []), TRACKING];
      return (await ignoreAbsent(client.patch(Pod, pod.metadata, { metadata: { finalizers } }, { type: 'merge' }))) ?? pod;
    }),
  );
}

/** Makes and removes pods; returns what kept it from one. */
async function act(job: Job, { create, remove, forgets }: JobPlan, { client, events }: Reconciling): Promise<Error | undefined> {
  const removing = remove.map(pod => async () => {
    const { uid } = pod.metadata;
    if (forgets && isTracked(pod)) await untrack(pod, client);
    await ignoreAbsent(client.delete(Pod, pod.metadata, { preconditions: { uid } }));
    events.normal(job, 'SuccessfulDelete', `Deleted pod: ${pod.metadata.name}`);
  });
  const creating = create.map(each => async () => {
    const { metadata } = await client.create(Pod, podOf(job, each));
    events.normal(job, 'SuccessfulCreate', `Created pod: ${metadata.name}`);
  });
  const failure = (await together(removing)) ?? (await inGrowingBatches(creating));
  if (failure && create.length > 0 && !isNamespaceEnding(failure))
    events.warning(job, 'FailedCreate', `Error creating: ${failure.message}`);
  return failure;
}

/** A pod of the Job's; one of an Indexed Job knows its index by label, annotation, host name and environment. */
function podOf(job: Job, { index, failures }: JobPlan['create'][number]): PodDraft {
  const pod = podFromTemplate(Job, job, job.spec.template);
  pod.metadata.finalizers = [...new Set([...(pod.metadata.finalizers ?? []), TRACKING])];
  if (index === undefined) return pod;
  const { name } = job.metadata;
  pod.metadata.generateName = `${name.slice(0, LONGEST_GENERATE_NAME - 2 - String(index).length)}-${index}-`;
  pod.metadata.annotations[COMPLETION_INDEX] = pod.metadata.labels[COMPLETION_INDEX] = String(index);
  if (failures) pod.metadata.annotations[FAILURE_COUNT] = String(failures.counted);
  if (failures?.ignored) pod.metadata.annotations[IGNORED_FAILURE_COUNT] = String(failures.ignored);
  pod.spec.hostname = `${name}-${index}`;
  for (const container of [...pod.spec.containers, ...(pod.spec.initContainers ?? [])]) addIndexVariable(container);
  return pod;
}

function addIndexVariable(container: Container): void {
  if (container.env?.some(({ name }) => name === 'JOB_COMPLETION_INDEX')) return;
  const valueFrom = { fieldRef: { apiVersion: 'v1', fieldPath: `metadata.labels['${COMPLETION_INDEX}']` } };
  container.env = [...(container.env ?? []), { name: 'JOB_COMPLETION_INDEX', valueFrom }];
}

/** Writes the status on the Job as it was seen: a count is never made on an older picture. */
async function writeStatus(job: Job, status: NonNullable<Job['status']>, { client }: Reconciling): Promise<Job> {
  if (isSameStatus(job.status, status)) return job;
  return (await ignoreAbsent(client.updateStatus(Job, { ...job, status }))) ?? job;
}

/** Takes the tracking finalizer off; returns the UIDs of those that have none any more. */
async function release(pods: readonly Pod[], { client }: Reconciling): Promise<Set<string>> {
  const released = new Set<string>();
  await together(
    pods.map(pod => async () => {
      await untrack(pod, client);
      released.add(pod.metadata.uid);
    }),
  );
  return released;
}

async function untrack({ metadata }: Pod, client: Reconciling['client']): Promise<void> {
  const patch = { metadata: { uid: metadata.uid, '$deleteFromPrimitiveList/finalizers': [TRACKING] } };
  await ignoreAbsent(client.patch(Pod, metadata, patch));
}

/** Pods that bear our finalizer, and whose Job is gone, is another one of that name, or has let them go. */
async function releaseStrays({ namespace, name }: Key, job: Job | undefined, context: Reconciling): Promise<void> {
  const pods = context.client.cached(Pod);
  const isStray = (pod: Pod) => {
    const owner = controllerOf(pod);
    if (!isTracked(pod)) return false;
    if (owner) return owner.kind === 'Job' && owner.name === name && owner.uid !== job?.metadata.uid;
    return pod.metadata.labels?.[JOB_NAME] === name && !(job?.spec.selector && selectorMatches(job.spec.selector, pod.metadata.labels));
  };
  // Those of an earlier Job of this name were there before this one started.
  const candidates = job?.status?.startTime
    ? pods.ownedBy('').filter(({ metadata }) => metadata.namespace === namespace)
    : pods.list(namespace);
  await release(candidates.filter(isStray), context);
}

function tellEnd(job: Job, { type, reason, message }: NonNullable<JobPlan['verdict']>, { events }: Reconciling): void {
  if (type === 'Failed') {
    events.warning(job, reason, message);
    return;
  }
  if (job.spec.completions !== undefined && (job.status?.succeeded ?? 0) > job.spec.completions)
    events.warning(job, 'TooManySucceededPods', 'Too many succeeded pods running after completion count reached');
  events.normal(job, 'Completed', 'Job completed');
}
