/**
 * Supervision: containers that ended are started again as their restart policies say, and health checks tell how those that run are.
 *
 * - `restart-policy.ts`, `health-verdict.ts`  what is to be done, pure, in docker's numbers
 * - `restarts.ts`, `health-checks.ts`         timers, one a container at most; `supervisor.ts` the door
 *
 * Whose containers are supervised, and how, the face that owns them says by `read`; what must outlive us it keeps by `note` in the engine's
 * record, so there is one. Invariants, whatever line a `kill -9` hits: a stop is noted before the signal, so a container that a person
 * stopped is never started again by `unless-stopped` or `on-failure`; a restart is counted before the wait, so `on-failure` tries no more
 * often than it may, but once for each end that no agent saw; whether a restart is due follows from the record alone (ended, policy,
 * count, stopped), so `resume` finds those that a kill cut off. Lost may be: the rest of a back-off, one try of `on-failure`, the log of a
 * health check, a status that changed in the last moment.
 * The node agent's prober is another mechanism: it asks by HTTP, TCP and gRPC too, three questions a container with thresholds both ways, and
 * keeps what it knows in the API; common to both is `Engine.execSync` alone.
 */
export type { Health, HealthCheck, ProbeResult } from './health-verdict.ts';
export type { RestartPolicy, RunNotes } from './restart-policy.ts';
export { type HealthNote, type Notes, type Supervised, Supervisor, type SupervisorOptions } from './supervisor.ts';
