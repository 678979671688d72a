/** When a container that ended is started again, in docker's words. */
export interface RestartPolicy {
  policy: 'no' | 'always' | 'unless-stopped' | 'on-failure';
  /** Of `on-failure`: how often at most; as often as it fails when 0. */
  maximumRetries?: number;
}

/** What was noted of a container's runs; outlives the agent. */
export interface RunNotes {
  /** How often it was started again since a person started it. */
  restartCount: number;
  /** A person stopped or killed it. */
  wasStopped: boolean;
}

export interface EndedRun extends RunNotes {
  policy: RestartPolicy;
  exitCode: number;
  ranMs: number;
  /** The wait before this run, 0 for one that a person began. */
  backOffMs: number;
}

const FIRST_BACK_OFF_MS = 100;
const LAST_BACK_OFF_MS = 60_000;
/** A run as long as this one begins anew with the shortest wait. */
const GOOD_RUN_MS = 10_000;

/** Whether a run that ended is followed by another one, and after how long: 100 ms, doubled up to a minute. Pure. */
export function planRestart(run: EndedRun): { again: false } | { again: true; inMs: number } {
  if (run.wasStopped || !isWanted(run)) return { again: false };
  const before = run.ranMs >= GOOD_RUN_MS ? 0 : run.backOffMs;
  return { again: true, inMs: before === 0 ? FIRST_BACK_OFF_MS : Math.min(before * 2, LAST_BACK_OFF_MS) };
}

/** Whether a container that does not run is to come back at the agent's start: `always` does even if a person stopped it. Pure. */
export function planReturn(run: Pick<EndedRun, 'policy' | 'exitCode' | 'restartCount' | 'wasStopped'>): boolean {
  return run.policy.policy === 'always' || (!run.wasStopped && isWanted(run));
}

function isWanted({
  policy: { policy, maximumRetries = 0 },
  exitCode,
  restartCount,
}: Pick<EndedRun, 'policy' | 'exitCode' | 'restartCount'>): boolean {
  if (policy === 'on-failure') return exitCode !== 0 && (maximumRetries <= 0 || restartCount < maximumRetries);
  return policy !== 'no';
}

/** Those to come back in the order in which they were started, each with what it needs before it. Pure. */
export function planOrder<T extends { id: string; startedAtMs?: number }>(
  containers: readonly T[],
  needs: (container: T) => readonly string[],
): T[] {
  const byId = new Map(containers.map(container => [container.id, container]));
  const ordered = new Set<T>();
  const underWay = new Set<T>();
  const add = (container: T | undefined) => {
    if (!container || ordered.has(container) || underWay.has(container)) return;
    underWay.add(container);
    for (const id of needs(container)) add(byId.get(id));
    ordered.add(container);
  };
  for (const container of [...containers].sort((a, b) => (a.startedAtMs ?? 0) - (b.startedAtMs ?? 0))) add(container);
  return [...ordered];
}
