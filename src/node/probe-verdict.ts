import type { ContainerSpec, ProbeKind } from './parts.ts';
import type { CheckResult } from './probe-checks.ts';

/** What is known of one probe of one container. */
export interface ProbeState {
  /** Undefined until there is one (startup). */
  verdict: boolean | undefined;
  /** Results alike in a row. */
  streak: { ok: boolean; count: number };
}

/** Before any result: alive, not ready, not known to have started; what an earlier agent had found of the same container goes on. */
export function firstState(kind: ProbeKind, before?: { ready: boolean; started?: boolean | undefined }): ProbeState {
  const verdicts = { liveness: true, readiness: before?.ready ?? false, startup: before?.started || undefined };
  return { verdict: verdicts[kind], streak: { ok: false, count: 0 } };
}

/** The state after one more result: the verdict changes once enough of them in a row say so. */
export function judgeProbe(
  { verdict, streak }: ProbeState,
  { successThreshold = 1, failureThreshold = 3 }: NonNullable<ContainerSpec['livenessProbe']>,
  { ok, note }: CheckResult,
): ProbeState {
  if (note === 'error') return { verdict, streak };
  const count = streak.ok === ok ? streak.count + 1 : 1;
  return { verdict: count >= (ok ? successThreshold : failureThreshold) ? ok : verdict, streak: { ok, count } };
}

/** Nothing more is asked: it has started, or the container is to be killed. */
export function isSettled(kind: ProbeKind, { verdict }: ProbeState): boolean {
  return kind === 'startup' ? verdict !== undefined : kind === 'liveness' && verdict === false;
}
