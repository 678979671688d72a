import { containerImages, containerNames, orNone, selectorText } from './cells.ts';
import { defineKind } from './define-kind.ts';
import { ageOf } from './duration.ts';
import { validateJobSpec } from './job.ts';
import type { Kind } from './kind.ts';
import { defaultPodSpec } from './pod-defaults.ts';
import type * as types from './types.gen.ts';
import { checkDnsSubdomain, invalid, required, validateEnum, validateNonNegative } from './validation.ts';

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

function isSchedule(text: string): boolean {
  const fields = text.replace(/^(?:TZ|CRON_TZ)=\S+\s+/, '').trim();
  return /^@(?:yearly|annually|monthly|weekly|daily|midnight|hourly|every \S+)$/.test(fields) || fields.split(/\s+/).length === 5;
}
