import type { FieldCause } from '#base/errors.ts';
import { containerImages, containerNames, orNone, selectorText } from './cells.ts';
import { defineKind } from './define-kind.ts';
import { ageOf } from './duration.ts';
import { defaultJobTemplate, jobSpecWarnings } from './job.ts';
import { validateJobSpec } from './job-validation.ts';
import type { Kind } from './kind.ts';
import { podNameWarnings } from './pod-warnings.ts';
import { isTimeZone, parseSchedule } from './schedule.ts';
import type * as types from './types.gen.ts';
import { checkDnsSubdomain, invalid, notSupported, required, validateEnum, validateNonNegative } from './validation.ts';

/** Upstream adds eleven characters to a CronJob's name for its Jobs. */
const CRON_JOB_NAME = 52;
/** Jobs by the clock. */
export const CronJob: Kind<types.CronJob> = defineKind<types.CronJob>('batch/v1/CronJob', {
  checkName: name => (name.length > CRON_JOB_NAME ? [`must be no more than ${CRON_JOB_NAME} characters`] : checkDnsSubdomain(name)),
  defaults({ spec }) {
    spec.concurrencyPolicy ||= 'Allow';
    spec.suspend ??= false;
    spec.successfulJobsHistoryLimit ??= 3;
    spec.failedJobsHistoryLimit ??= 1;
    defaultJobTemplate(spec.jobTemplate.spec);
  },
  warnings: ({ metadata, spec }, old) => [
    ...(old ? [] : podNameWarnings(metadata.name)),
    ...jobSpecWarnings(spec.jobTemplate.spec, 'spec.jobTemplate.spec', old?.spec.jobTemplate.spec),
  ],
  validate: ({ spec }) => [
    ...validateSchedule(spec.schedule),
    ...validateTimeZone(spec.timeZone),
    ...validateEnum(spec.concurrencyPolicy, ['Allow', 'Forbid', 'Replace'], 'spec.concurrencyPolicy', true),
    ...validateNonNegative(spec, ['startingDeadlineSeconds', 'successfulJobsHistoryLimit', 'failedJobsHistoryLimit'], 'spec'),
    ...validateTemplate(spec.jobTemplate.spec, 'spec.jobTemplate.spec'),
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

function validateSchedule(schedule: string): FieldCause[] {
  if (!schedule) return [required('spec.schedule')];
  if (/TZ/.test(schedule)) return [invalid('spec.schedule', schedule, 'cannot use TZ or CRON_TZ in schedule, use timeZone field instead')];
  const { problem } = parseSchedule(schedule);
  return problem ? [invalid('spec.schedule', schedule, problem)] : [];
}

function validateTimeZone(timeZone: string | undefined): FieldCause[] {
  if (timeZone === undefined) return [];
  const wrong = (why: string) => [invalid('spec.timeZone', timeZone, why)];
  if (timeZone === '') return wrong('timeZone must be nil or non-empty string');
  if (timeZone.toLowerCase() === 'local')
    return wrong('timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones');
  return isTimeZone(timeZone) ? [] : wrong(`unknown time zone ${timeZone}`);
}

/** The Jobs' selectors are the server's. */
function validateTemplate(spec: types.JobSpec, path: string): FieldCause[] {
  const causes = validateJobSpec(spec, path);
  if (spec.selector) causes.push(invalid(`${path}.selector`, spec.selector, '`selector` will be auto-generated'));
  if (spec.manualSelector) causes.push(notSupported(`${path}.manualSelector`, true, ['nil', 'false']));
  return causes;
}
