import type { Job } from '#kinds/job.ts';
import type { Pod } from '#kinds/pod.ts';
import { podCondition } from '#kinds/pod-template.ts';
import type { ContainerStatus, PodFailurePolicyOnExitCodesRequirement } from '#kinds/types.gen.ts';

/** The finalizer that holds a pod until its end is in the Job's status. */
export const TRACKING = 'batch.kubernetes.io/job-tracking';
/** Label and annotation: which index a pod works on. */
export const COMPLETION_INDEX = 'batch.kubernetes.io/job-completion-index';
/** Annotation: how often the index has failed before this pod. */
export const FAILURE_COUNT = 'batch.kubernetes.io/job-index-failure-count';
/** Annotation: how many more of its failures the policy ignored. */
export const IGNORED_FAILURE_COUNT = 'batch.kubernetes.io/job-index-ignored-failure-count';
/** Label: the Job that a pod was made for. */
export const JOB_NAME = 'batch.kubernetes.io/job-name';

/** True while its end is not counted for good. */
export function isTracked({ metadata }: Pod): boolean {
  return metadata.finalizers?.includes(TRACKING) === true;
}

/** True when only pods that have ended are replaced, not those on their way out. */
export function replacesOnlyFailed({ spec }: Job): boolean {
  return spec.podReplacementPolicy === 'Failed' || spec.podFailurePolicy !== undefined;
}

/** True when the pod counts as failed: also one that was deleted, unless only failed pods are replaced. */
export function isPodFailed(pod: Pod, job: Job): boolean {
  if (pod.status?.phase === 'Failed') return true;
  return !replacesOnlyFailed(job) && pod.metadata.deletionTimestamp !== undefined && pod.status?.phase !== 'Succeeded';
}

/** The index that an Indexed Job's pod works on; undefined when it has none of the Job's. */
export function indexOf({ metadata }: Pod, completions: number): number | undefined {
  const text = metadata.annotations?.[COMPLETION_INDEX] ?? '';
  const index = /^\d{1,9}$/.test(text) ? Number(text) : Number.POSITIVE_INFINITY;
  return index < completions ? index : undefined;
}

/** Failures of this index before this pod: counted ones, and those that the policy ignores. */
export function failureCounts({ metadata }: Pod): { counted: number; ignored: number } {
  const read = (key: string) => Number(metadata.annotations?.[key] ?? 0) || 0;
  return { counted: read(FAILURE_COUNT), ignored: read(IGNORED_FAILURE_COUNT) };
}

/** When its containers ended, as well as can be known. */
export function finishedAtMs({ metadata, spec, status }: Pod): number {
  const sidecars = new Set((spec.initContainers ?? []).filter(one => one.restartPolicy === 'Always').map(({ name }) => name));
  const all = [...(status?.containerStatuses ?? []), ...(status?.initContainerStatuses ?? []).filter(({ name }) => sidecars.has(name))];
  const ends = all.map(({ state }) => Date.parse(String(state?.terminated?.finishedAt ?? '')));
  if (ends.length > 0 && ends.every(end => !Number.isNaN(end))) return Math.max(...ends);
  const ready = status?.conditions?.find(({ type }) => type === 'Ready');
  const since = ready?.status === 'False' ? Date.parse(String(ready.lastTransitionTime ?? '')) : Number.NaN;
  if (!Number.isNaN(since)) return since;
  const deleted = Date.parse(String(metadata.deletionTimestamp ?? ''));
  if (!Number.isNaN(deleted)) return deleted - (metadata.deletionGracePeriodSeconds ?? 0) * 1000;
  return Date.parse(metadata.creationTimestamp);
}

/** What a rule of `podFailurePolicy` may ask for. */
export type PolicyAction = 'FailJob' | 'FailIndex' | 'Ignore' | 'Count';

/** A rule that a failed pod meets. */
export interface PolicyMatch {
  action: PolicyAction;
  /** Why the Job fails, with `FailJob`. */
  message?: string;
}

/** The first rule of `podFailurePolicy` that a failed pod meets. Pure. */
export function matchFailurePolicy({ spec: { podFailurePolicy } }: Job, pod: Pod): PolicyMatch | undefined {
  for (const [index, rule] of (podFailurePolicy?.rules ?? []).entries()) {
    const action = rule.action as PolicyAction;
    const { namespace, name } = pod.metadata;
    const container = rule.onExitCodes && failedContainer(pod, rule.onExitCodes);
    const condition = rule.onExitCodes
      ? undefined
      : rule.onPodConditions?.find(({ type, status = 'True' }) => podCondition(pod, type)?.status === status);
    if (container) {
      const code = container.state?.terminated?.exitCode;
      const message = `Container ${container.name} for pod ${namespace}/${name} failed with exit code ${code} matching ${action} rule at index ${index}`;
      return { action, message };
    }
    if (condition)
      return { action, message: `Pod ${namespace}/${name} has condition ${condition.type} matching ${action} rule at index ${index}` };
  }
  return undefined;
}

function failedContainer(
  { status }: Pod,
  { containerName, operator, values }: PodFailurePolicyOnExitCodesRequirement,
): ContainerStatus | undefined {
  return [...(status?.containerStatuses ?? []), ...(status?.initContainerStatuses ?? [])].find(({ name, state }) => {
    const code = state?.terminated?.exitCode;
    if (!code || (containerName !== undefined && containerName !== name)) return false;
    return operator === 'In' ? values.includes(code) : !values.includes(code);
  });
}
