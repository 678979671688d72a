import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';

export const CronJob: Kind<types.CronJob> = defineKind('batch/v1/CronJob');
export type CronJob = types.CronJob;

export const Job: Kind<types.Job> = defineKind('batch/v1/Job');
export type Job = types.Job;
