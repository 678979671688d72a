import { containerImages, containerNames, orNone, selectorText } from './cells.ts';
import { defineKind } from './define-kind.ts';
import { ageOf, humanDuration } from './duration.ts';
import type { Kind } from './kind.ts';
import { defaultPodSpec } from './pod-defaults.ts';
import { validatePodTemplate } from './pod-validation.ts';
import type * as types from './types.gen.ts';
import { checkDnsSubdomain, invalid, required, validateEnum, validateImmutable, validateNonNegative } from './validation.ts';

/** Upstream adds eleven characters to a CronJob's name for its Jobs. */
const CRON_JOB_NAME = 52;
const CONTROLLER_UID = 'batch.kubernetes.io/controller-uid';
const JOB_NAME = 'batch.kubernetes.io/job-name';

/** Pods that run until enough of them have succeeded. */
export const Job: Kind<types.Job> = defineKind<types.Job>('batch/v1/Job', {
  unattended: 'no controller runs Jobs yet',
  defaults: ({ spec }) => defaultJobSpec(spec),
  prepareForCreate({ spec, metadata }) {
    if (spec.manualSelector || !metadata.uid) return;
    spec.template.metadata ??= {};
    const labels = { [CONTROLLER_UID]: metadata.uid, [JOB_NAME]: metadata.name, 'controller-uid': metadata.uid, 'job-name': metadata.name };
    spec.template.metadata.labels = { ...spec.template.metadata.labels, ...labels };
    spec.selector ??= { matchLabels: { [CONTROLLER_UID]: metadata.uid } };
  },
  validate: ({ spec }) => validateJobSpec(spec, 'spec'),
  validateUpdate: ({ spec }, old) => [
    ...validateImmutable(spec.selector, old.spec.selector, 'spec.selector'),
    ...validateImmutable(spec.completionMode, old.spec.completionMode, 'spec.completionMode'),
    ...(old.spec.suspend ? [] : validateImmutable(spec.template, old.spec.template, 'spec.template')),
  ],
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

/** Jobs by the clock. */
export const CronJob: Kind<types.CronJob> = defineKind<types.CronJob>('batch/v1/CronJob', {
  unattended: 'no controller runs CronJobs yet',
  checkName: name => (name.length > CRON_JOB_NAME ? [`must be no more than ${CRON_JOB_NAME} characters`] : checkDnsSubdomain(name)),
  defaults({ spec }) {
    spec.concurrencyPolicy ||= 'Allow';
    spec.suspend ??= false;
    spec.successfulJobsHistoryLimit ??= 3;
    spec.failedJobsHistoryLimit ??= 1;
    defaultPodSpec(spec.jobTemplate.spec.template.spec);
  },
  validate: ({ spec }) => [
    ...(spec.schedule
      ? isSchedule(spec.schedule)
        ? []
        : [invalid('spec.schedule', spec.schedule, 'expected exactly 5 fields')]
      : [required('spec.schedule')]),
    ...validateEnum(spec.concurrencyPolicy, ['Allow', 'Forbid', 'Replace'], 'spec.concurrencyPolicy', true),
    ...validateNonNegative(spec, ['startingDeadlineSeconds', 'successfulJobsHistoryLimit', 'failedJobsHistoryLimit'], 'spec'),
    ...validateJobSpec(spec.jobTemplate.spec, 'spec.jobTemplate.spec'),
  ],
  cells: {
    Schedule: ({ spec }) => spec.schedule,
    Timezone: ({ spec }) => orNone(spec.timeZone),
    Suspend: ({ spec }) => (spec.suspend ? 'True' : 'False'),
    Active: ({ status }) => status?.active?.length ?? 0,
    'Last Schedule': ({ status }, nowMs) => (status?.lastScheduleTime ? ageOf(status.lastScheduleTime, nowMs) : '<none>'),
    Containers: ({ spec }) => containerNames(spec.jobTemplate.spec.template),
    Images: ({ spec }) => containerImages(spec.jobTemplate.spec.template),
    Selector: ({ spec }) => selectorText(spec.jobTemplate.spec.selector),
  },
});
export type CronJob = types.CronJob;

function defaultJobSpec(spec: types.JobSpec): void {
  if (spec.completions === undefined && spec.parallelism === undefined) spec.completions = 1;
  spec.parallelism ??= 1;
  spec.backoffLimit ??= spec.backoffLimitPerIndex === undefined ? 6 : 2147483647;
  spec.completionMode ||= 'NonIndexed';
  spec.suspend ??= false;
  spec.podReplacementPolicy ||= spec.podFailurePolicy ? 'Failed' : 'TerminatingOrFailed';
  defaultPodSpec(spec.template.spec);
}

function validateJobSpec(spec: types.JobSpec, path: string) {
  const counts = ['parallelism', 'completions', 'activeDeadlineSeconds', 'backoffLimit', 'ttlSecondsAfterFinished'] as const;
  return [
    ...validateNonNegative(spec, counts, path),
    ...validateEnum(spec.completionMode, ['Indexed', 'NonIndexed'], `${path}.completionMode`),
    ...validatePodTemplate(spec.template, `${path}.template`),
    ...validateEnum(spec.template.spec.restartPolicy, ['Never', 'OnFailure'], `${path}.template.spec.restartPolicy`),
  ];
}

function isSchedule(text: string): boolean {
  const fields = text.replace(/^(?:TZ|CRON_TZ)=\S+\s+/, '').trim();
  return /^@(?:yearly|annually|monthly|weekly|daily|midnight|hourly|every \S+)$/.test(fields) || fields.split(/\s+/).length === 5;
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
