import type { ProcessIdentity } from '#linux/process.ts';
import type { ContainerRecord, SandboxRecord } from './records.ts';

/** What is really there when the engine opens. */
export interface World {
  bootId: string;
  /** Exit codes that monitors wrote. */
  exits: ReadonlyMap<string, number>;
  /** Living monitors by container. */
  monitors: ReadonlyMap<string, ProcessIdentity>;
  /** Containers with a bundle in the run directory. */
  bundles: ReadonlySet<string>;
  /** Containers that a runtime knows. */
  states: ReadonlySet<string>;
  /** Containers that the runtime has wholly created and that were let run since. */
  started: ReadonlySet<string>;
  /** Sandboxes whose pinned namespaces are all there. */
  pinned: ReadonlySet<string>;
  /** Directories below `containers` and `sandboxes` that have no record. */
  nameless: { containers: readonly string[]; sandboxes: readonly string[] };
}

export type SandboxRecovery = { record: SandboxRecord; action: 'keep' | 'notready' | 'discard' };

export type ContainerRecovery =
  | { record: ContainerRecord; action: 'adopt'; monitor: ProcessIdentity }
  /** It ended while nobody looked; `kill` what may be left of it. */
  | { record: ContainerRecord; action: 'exit'; exitCode: number; reason?: string; message?: string; kill: boolean }
  /** As it was before a start that nobody acknowledged. */
  | { record: ContainerRecord; action: 'rollback' }
  | { record: ContainerRecord; action: 'keep' | 'discard' };

export interface RecoveryPlan {
  sandboxes: SandboxRecovery[];
  containers: ContainerRecovery[];
  /** Containers of which only traces are left. */
  orphans: string[];
}

/** Docker's and containerd's code for an exit that nobody saw. */
const UNKNOWN_EXIT_CODE = 255;
/** What a container has that was killed because its monitor was gone. */
export const MONITOR_LOST_EXIT_CODE = 137;

/**
 * Compares what was recorded with what is there. A record is written before anything it speaks of is made and removed after all
 * of that is gone, so that every state in between has exactly one way on. Pure.
 */
export function planRecovery(
  { sandboxes, containers }: { sandboxes: readonly SandboxRecord[]; containers: readonly ContainerRecord[] },
  world: World,
): RecoveryPlan {
  const planned = sandboxes.map(record => planSandbox(record, world));
  const living = new Set(planned.filter(({ action }) => action !== 'discard').map(({ record }) => record.id));
  const known = new Set(containers.map(record => record.id));
  const traces = [...world.exits.keys(), ...world.monitors.keys(), ...world.bundles, ...world.states, ...world.nameless.containers];
  return {
    sandboxes: planned,
    containers: containers.map(record =>
      living.has(record.config.sandboxId) ? planContainer(record, world) : { record, action: 'discard' },
    ),
    orphans: [...new Set(traces)].filter(id => !known.has(id)),
  };
}

function planSandbox(record: SandboxRecord, world: World): SandboxRecovery {
  if (record.phase === 'creating' || record.phase === 'removing') return { record, action: 'discard' };
  if (record.phase === 'starting') return { record, action: 'notready' };
  const isThere = record.bootId === world.bootId && world.pinned.has(record.id);
  const isHalfStopped = record.phase === 'notready' && (record.network !== undefined || record.pins !== undefined);
  return { record, action: isHalfStopped || (record.phase === 'ready' && !isThere) ? 'notready' : 'keep' };
}

function planContainer(record: ContainerRecord, world: World): ContainerRecovery {
  const { id, phase } = record;
  switch (phase) {
    case 'creating':
    case 'removing':
      return { record, action: 'discard' };
    case 'created':
    case 'exited':
      return { record, action: 'keep' };
    case 'starting':
    case 'running':
      break;
  }
  const isStarting = phase === 'starting';
  if (record.bootId !== world.bootId) {
    if (isStarting) return { record, action: 'rollback' };
    return { record, action: 'exit', exitCode: UNKNOWN_EXIT_CODE, reason: 'Unknown', message: 'the machine restarted', kill: false };
  }
  if (isStarting && !world.started.has(id)) return { record, action: 'rollback' };
  const exitCode = world.exits.get(id);
  if (exitCode !== undefined) return { record, action: 'exit', exitCode, kill: false };
  const monitor = world.monitors.get(id);
  if (monitor && world.bundles.has(id)) return { record, action: 'adopt', monitor };
  return {
    record,
    action: 'exit',
    exitCode: MONITOR_LOST_EXIT_CODE,
    reason: 'MonitorLost',
    message: 'its monitor (conmon) was killed, so that its exit code can not be known',
    kill: true,
  };
}
