import type { Container } from '#engine/index.ts';
import type { Health } from './forms.ts';

/** Docker's word for where a container is in its life. */
export type Status = 'created' | 'running' | 'paused' | 'restarting' | 'removing' | 'exited' | 'dead';

/** What is known beside the engine's facts. */
export interface StatusFacts {
  isRestarting: boolean;
  isRemoving: boolean;
}

/** One that could not be started, ever, is still only created, as docker has it. Pure. */
export function statusOf({ state, isPaused, startedAtMs }: Container, { isRestarting, isRemoving }: StatusFacts): Status {
  if (state === 'running') return isPaused ? 'paused' : 'running';
  if (isRemoving) return 'removing';
  if (isRestarting) return 'restarting';
  return state === 'exited' && startedAtMs !== undefined ? 'exited' : 'created';
}

/** `Up 3 minutes (healthy)`, `Exited (137) 2 hours ago`: what `docker ps` says. Pure. */
export function toStatusText(container: Container, status: Status, health: Health['Status'] | undefined, nowMs: number): string {
  const { startedAtMs = nowMs, finishedAtMs = nowMs, exitCode = 0 } = container;
  const ago = `${humanDuration(nowMs - finishedAtMs)} ago`;
  const marks: Partial<Record<Health['Status'], string>> = {
    starting: ' (health: starting)',
    healthy: ' (healthy)',
    unhealthy: ' (unhealthy)',
  };
  switch (status) {
    case 'running':
      return `Up ${humanDuration(nowMs - startedAtMs)}${(health && marks[health]) ?? ''}`;
    case 'paused':
      return `Up ${humanDuration(nowMs - startedAtMs)} (Paused)`;
    case 'restarting':
      return `Restarting (${exitCode}) ${ago}`;
    case 'removing':
      return 'Removal In Progress';
    case 'created':
      return 'Created';
    case 'dead':
      return 'Dead';
    case 'exited':
      return `Exited (${exitCode}) ${ago}`;
  }
}

/** A span of time as people say it, by docker's steps. Pure. */
export function humanDuration(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  if (seconds < 1) return 'Less than a second';
  if (seconds === 1) return '1 second';
  if (seconds < 60) return `${seconds} seconds`;
  const minutes = Math.floor(seconds / 60);
  if (minutes === 1) return 'About a minute';
  if (minutes < 60) return `${minutes} minutes`;
  const hours = Math.floor(seconds / 3600 + 0.5);
  if (hours === 1) return 'About an hour';
  if (hours < 48) return `${hours} hours`;
  if (hours < 24 * 7 * 2) return `${Math.floor(hours / 24)} days`;
  if (hours < 24 * 30 * 2) return `${Math.floor(hours / 24 / 7)} weeks`;
  if (hours < 24 * 365 * 2) return `${Math.floor(hours / 24 / 30)} months`;
  return `${Math.floor(seconds / 3600 / 24 / 365)} years`;
}
