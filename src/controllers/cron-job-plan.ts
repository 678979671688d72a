import { toTime } from '#base/index.ts';
import type { CronJob } from '#kinds/cron-job.ts';
import type { Job } from '#kinds/job.ts';
import { nextTime, type Schedule } from '#kinds/schedule.ts';

/** More start times missed than this are worth a warning. */
const MANY_MISSED = 100;
/** An irregular schedule is followed step by step at most so far. */
const MOST_STEPS = 10_000;

/** The last start time that is due and not yet met, and when the next one is. */
export interface Due {
  atMs?: number;
  missedMany: boolean;
  nextMs?: number;
}

/** Which start is due: the last one since the last start, or since `startingDeadlineSeconds` ago. Pure. */
export function planDue({ metadata, spec, status }: CronJob, schedule: Schedule, nowMs: number): Due {
  const zone = spec.timeZone ?? 'UTC';
  const next = (afterMs: number) => nextTime(schedule, afterMs, zone);
  let sinceMs = Date.parse(status?.lastScheduleTime ?? metadata.creationTimestamp);
  if (spec.startingDeadlineSeconds !== undefined) sinceMs = Math.max(sinceMs, nowMs - spec.startingDeadlineSeconds * 1_000);
  const following = next(nowMs);
  const rest = following === undefined ? {} : { nextMs: following };
  const first = sinceMs > nowMs ? undefined : next(sinceMs);
  if (first === undefined || first > nowMs) return { missedMany: false, ...rest };
  const second = next(first);
  if (second === undefined || second > nowMs) return { atMs: first, missedMany: false, ...rest };
  const missed = Math.floor((nowMs - first) / (second - first)) + 1;
  let atMs = Math.max(first, first + (missed - 2) * (second - first));
  if (atMs !== first) atMs = next(atMs - 1) ?? first;
  if (atMs > nowMs) atMs = first;
  for (let steps = 0; steps < MOST_STEPS; steps++) {
    const later = next(atMs);
    if (later === undefined || later > nowMs) break;
    atMs = later;
  }
  return { atMs, missedMany: missed > MANY_MISSED, ...rest };
}

/** True when a start is later than `startingDeadlineSeconds` allows. */
export function isTooLate({ spec }: CronJob, atMs: number, nowMs: number): boolean {
  return spec.startingDeadlineSeconds !== undefined && atMs + spec.startingDeadlineSeconds * 1_000 < nowMs;
}

/** The name of the Job of one start: the same start never makes two. */
export function jobNameOf({ metadata }: CronJob, atMs: number): string {
  return `${metadata.name}-${Math.floor(atMs / 60_000)}`;
}

/** Finished Jobs beyond the history limits, oldest first. Pure. */
export function planCleanup({ spec }: CronJob, jobs: readonly Job[]): Job[] {
  const startedMs = ({ status, metadata }: Job) => Date.parse(status?.startTime ?? metadata.creationTimestamp);
  const ended = (type: 'Complete' | 'Failed') => jobs.filter(job => endOf(job) === type).sort((a, b) => startedMs(a) - startedMs(b));
  const beyond = (all: Job[], limit: number | undefined) => (limit === undefined ? [] : all.slice(0, Math.max(0, all.length - limit)));
  return [...beyond(ended('Complete'), spec.successfulJobsHistoryLimit), ...beyond(ended('Failed'), spec.failedJobsHistoryLimit)];
}

/** How a Job ended, or undefined while it goes on. */
export function endOf({ status }: Job): 'Complete' | 'Failed' | undefined {
  const end = status?.conditions?.find(one => (one.type === 'Complete' || one.type === 'Failed') && one.status === 'True');
  return end?.type as 'Complete' | 'Failed' | undefined;
}

/** A moment as a clock in that zone shows it: `2026-11-23T04:05:00+01:00`. */
export function zonedTime(atMs: number, timeZone = 'UTC'): string {
  if (timeZone === 'UTC' || timeZone === 'Etc/UTC') return toTime(atMs);
  const options = { year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit' } as const;
  const format = new Intl.DateTimeFormat('en-US', { ...options, timeZone, hourCycle: 'h23', timeZoneName: 'longOffset' });
  const parts = Object.fromEntries(format.formatToParts(atMs).map(({ type, value }) => [type, value]));
  const offset = (parts.timeZoneName ?? '').replace('GMT', '') || 'Z';
  return `${parts.year}-${parts.month}-${parts.day}T${parts.hour}:${parts.minute}:${parts.second}${offset}`;
}
