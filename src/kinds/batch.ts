import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';

export const CronJob: Kind<types.CronJob> = defineKind<types.CronJob>('batch/v1/CronJob', {
  unattended: 'no controller runs CronJobs yet',
});
export type CronJob = types.CronJob;

export const Job: Kind<types.Job> = defineKind<types.Job>('batch/v1/Job', { unattended: 'no controller runs Jobs yet' });
export type Job = types.Job;
