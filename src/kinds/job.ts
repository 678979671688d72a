import { containerImages, containerNames, selectorText } from './cells.ts';
import { defineKind } from './define-kind.ts';
import { humanDuration } from './duration.ts';
import { validateJobSelector, validateJobSpec, validateJobUpdate } from './job-validation.ts';
import { isMeaningEqual } from './json-equal.ts';
import type { Kind } from './kind.ts';
import { defaultPodSpec } from './pod-defaults.ts';
import { podNameWarnings, templateWarnings } from './pod-warnings.ts';
import type * as types from './types.gen.ts';
import { checkDnsLabel, invalid, validateNonNegative } from './validation.ts';

const CONTROLLER_UID = 'batch.kubernetes.io/controller-uid';
const JOB_NAME = 'batch.kubernetes.io/job-name';

/** Pods that run until enough of them have succeeded. */
export const Job: Kind<types.Job> = defineKind<types.Job>('batch/v1/Job', {
  warnings: (job, old) => [...(old ? [] : podNameWarnings(job.metadata.name)), ...jobSpecWarnings(job.spec, 'spec', old?.spec)],
  defaults({ metadata, spec }) {
    const labels = spec.template.metadata?.labels ?? {};
    if (Object.keys(labels).length > 0 && Object.keys(metadata.labels ?? {}).length === 0) metadata.labels = { ...labels };
    defaultJobSpec(spec);
  },
  prepareForCreate({ spec, metadata }) {
    if (spec.manualSelector || !metadata.uid) return;
    spec.template.metadata ??= {};
    spec.template.metadata.labels = { ...spec.template.metadata.labels, ...generatedLabels(metadata) };
    spec.selector ??= {};
    spec.selector.matchLabels = { [CONTROLLER_UID]: metadata.uid, ...spec.selector.matchLabels };
  },
  validate: job => [...validateJobSelector(job, generatedLabels(job.metadata)), ...validateJobSpec(job.spec, 'spec')],
  validateCreate({ metadata: { name }, spec: { completionMode, completions = 0 } }) {
    const longest = `${name}-${completions - 1}`;
    if (completionMode !== 'Indexed' || completions === 0 || checkDnsLabel(longest).length === 0) return [];
    return [invalid('metadata.name', name, `will not able to create pod with invalid DNS label: ${longest}`)];
  },
  validateUpdate: validateJobUpdate,
  validateStatusUpdate: ({ status = {} }) =>
    validateNonNegative(status, ['active', 'succeeded', 'failed', 'ready', 'terminating'], 'status'),
  cells: {
    Status: jobStatus,
    Completions: ({ spec, status }) => {
      const done = status?.succeeded ?? 0;
      if (spec.completions !== undefined) return `${done}/${spec.completions}`;
      return (spec.parallelism ?? 0) > 1 ? `${done}/1 of ${spec.parallelism}` : `${done}/1`;
    },
    Duration: ({ status }, nowMs) => {
      if (!status?.startTime) return '';
      const end = status.completionTime ? Date.parse(status.completionTime) : nowMs;
      return humanDuration(end - Date.parse(status.startTime));
    },
    Containers: ({ spec }) => containerNames(spec.template),
    Images: ({ spec }) => containerImages(spec.template),
    Selector: ({ spec }) => selectorText(spec.selector),
  },
  selectableFields: { 'status.successful': ({ status }) => String(status?.succeeded ?? 0) },
});
export type Job = types.Job;

/** True when it has Complete or Failed. */
export function isJobFinished({ status }: types.Job): boolean {
  return status?.conditions?.some(one => (one.type === 'Complete' || one.type === 'Failed') && one.status === 'True') === true;
}

const MANY_COMPLETIONS = 100_000;
const MANY_AT_ONCE = 10_000;

/** What of a Job is most likely not meant, alone or in a CronJob's template. */
export function jobSpecWarnings(spec: types.JobSpec, path: string, old?: types.JobSpec): string[] {
  if (old && isMeaningEqual(old, spec)) return [];
  const { completionMode, completions = 0, parallelism = 0 } = spec;
  const isVast = completionMode === 'Indexed' && completions > MANY_COMPLETIONS && parallelism > MANY_AT_ONCE;
  const why =
    'In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail';
  return [...(isVast ? [`${path}: ${why}`] : []), ...templateWarnings(spec.template, `${path}.template.`)];
}

/** Fills in a Job's spec. */
function defaultJobSpec(spec: types.JobSpec): void {
  if (spec.completions === undefined && spec.parallelism === undefined) spec.completions = 1;
  spec.parallelism ??= 1;
  spec.backoffLimit ??= spec.backoffLimitPerIndex === undefined ? 6 : 2147483647;
  spec.completionMode ??= 'NonIndexed';
  spec.suspend ??= false;
  spec.podReplacementPolicy ??= spec.podFailurePolicy ? 'Failed' : 'TerminatingOrFailed';
  defaultJobTemplate(spec);
}

/** Fills in what also a CronJob's template gets. */
export function defaultJobTemplate({ podFailurePolicy, template }: types.JobSpec): void {
  for (const { onPodConditions = [] } of podFailurePolicy?.rules ?? []) for (const one of onPodConditions) one.status ||= 'True';
  defaultPodSpec(template.spec);
}

function generatedLabels({ uid, name }: types.ObjectMeta): Record<string, string> {
  return { [CONTROLLER_UID]: uid, [JOB_NAME]: name, 'controller-uid': uid, 'job-name': name };
}

function jobStatus({ metadata, spec, status }: types.Job): string {
  const holds = (type: string) => status?.conditions?.some(one => one.type === type && one.status === 'True');
  if (holds('Complete')) return 'Complete';
  if (holds('Failed')) return 'Failed';
  if (metadata.deletionTimestamp) return 'Terminating';
  if (holds('Suspended') || spec.suspend) return 'Suspended';
  if (holds('FailureTarget')) return 'FailureTarget';
  return holds('SuccessCriteriaMet') ? 'SuccessCriteriaMet' : 'Running';
}
