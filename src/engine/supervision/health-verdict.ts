/** How it is found out whether a container is well, in docker's words; what is absent or 0 has docker's default. */
export interface HealthCheck {
  /** `NONE`, `CMD` and a command, or `CMD-SHELL` and a line for the container's shell; nothing: no check. */
  test: readonly string[];
  intervalMs?: number;
  timeoutMs?: number;
  /** For so long after its start failures don't count. */
  startPeriodMs?: number;
  /** Between probes while it starts. */
  startIntervalMs?: number;
  /** Failures in a row that make it unhealthy. */
  retries?: number;
}

export interface ProbeResult {
  startMs: number;
  endMs: number;
  /** -1 for a probe that could not be run or did not end in time. */
  exitCode: number;
  output: string;
}

export interface Health {
  status: 'starting' | 'healthy' | 'unhealthy';
  failingStreak: number;
  /** The last five, oldest first. */
  log: readonly ProbeResult[];
}

const MOST_RESULTS = 5;
const DEFAULT_RETRIES = 3;
const DEFAULT_MS = { interval: 30_000, timeout: 30_000, startInterval: 5_000 };

/** What a probe's result makes of a container's health. Pure. */
export function judgeHealth(
  before: Health,
  { startPeriodMs = 0, retries = 0 }: HealthCheck,
  startedAtMs: number,
  result: ProbeResult,
): Health {
  const log = [...before.log, result].slice(-MOST_RESULTS);
  if (result.exitCode === 0) return { status: 'healthy', failingStreak: 0, log };
  if (before.status === 'starting' && result.startMs - startedAtMs < startPeriodMs) return { ...before, log };
  const failingStreak = before.failingStreak + 1;
  return { status: failingStreak >= (retries > 0 ? retries : DEFAULT_RETRIES) ? 'unhealthy' : before.status, failingStreak, log };
}

/** How long until the next probe. Pure. */
export function nextProbeInMs(
  { intervalMs, startPeriodMs = 0, startIntervalMs }: HealthCheck,
  { status, sinceStartMs }: { status: Health['status']; sinceStartMs: number },
): number {
  if (status === 'starting' && sinceStartMs < startPeriodMs) return startIntervalMs || DEFAULT_MS.startInterval;
  return intervalMs || DEFAULT_MS.interval;
}

export function probeTimeoutMs({ timeoutMs }: HealthCheck): number {
  return timeoutMs || DEFAULT_MS.timeout;
}

/** What a check runs; undefined when there is none. Pure. */
export function probeCommand({ test: [form, ...rest] }: HealthCheck, shell: readonly string[] = ['/bin/sh', '-c']): string[] | undefined {
  if (form === 'CMD' && rest.length > 0) return rest;
  if (form === 'CMD-SHELL' && rest[0] !== undefined) return [...shell, rest[0]];
  return undefined;
}
