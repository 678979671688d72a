import type { Cgroup } from '#linux/cgroup.ts';
import { unmountBelow } from '#linux/unmount-below.ts';
import type { EngineCgroups } from './cgroups.ts';
import type { ContainerRuns } from './container-runs.ts';
import type { Ledger } from './ledger.ts';
import type { EnginePaths } from './paths.ts';
import type { CniSandboxes, SandboxNetworks } from './ports.ts';
import { type ContainerRecord, pinIdOf, readRecords, type SandboxRecord } from './records.ts';
import { planRecovery, type RecoveryPlan } from './recovery.ts';
import { clearRun, killRemains } from './remains.ts';
import { findTraces } from './traces.ts';
import { exitTime, readWorld } from './world.ts';

export interface RecoverOptions {
  paths: EnginePaths;
  ledger: Ledger;
  cgroups: EngineCgroups;
  runs: ContainerRuns;
  networks: SandboxNetworks;
  cni?: CniSandboxes | undefined;
  bootId: string;
}

/** Does what `planRecovery` decides: what runs is adopted, what ended is known, what is half made is cleaned away. */
export async function recover(options: RecoverOptions): Promise<void> {
  const { paths, ledger, cgroups, bootId } = options;
  const sandboxes = readRecords<SandboxRecord>(paths.sandboxes);
  const containers = readRecords<ContainerRecord>(paths.containers);
  const nameless = { sandboxes: sandboxes.nameless, containers: containers.nameless };
  const world = readWorld(paths, { bootId, sandboxes: sandboxes.records, nameless });
  const plan = planRecovery({ sandboxes: sandboxes.records, containers: containers.records }, world);
  ledger.adopt({ sandboxes: sandboxes.records, containers: containers.records });
  for (const id of plan.orphans) await discardTraces(options, id, cgroups.ofTraces(id));
  // Of many that do not run nothing is left: to look for what each may have left would take longer than all else of a start.
  const hasTraces = findTraces(world, cgroups);
  for (const step of plan.containers) if (step.action !== 'keep' || hasTraces(step.record)) await recoverContainer(options, step);
  await recoverSandboxes(options, plan);
  for (const id of nameless.sandboxes) unmountBelow(paths.sandbox(id));
  ledger.removeNameless({ sandboxes: nameless.sandboxes, containers: plan.orphans });
}

async function recoverContainer(options: RecoverOptions, step: RecoveryPlan['containers'][number]): Promise<void> {
  const { paths, ledger, cgroups, runs } = options;
  const { record, action } = step;
  const cgroup = cgroups.of(record);
  let isRecorded = true;
  if (action === 'adopt') {
    if (record.isHeld) await letGo(ledger, cgroup, record);
    runs.adopt(record, step.monitor);
    return;
  }
  if (action === 'exit') {
    if (step.kill) await killRemains(record.id, cgroup);
    isRecorded = runs.recordExit(record, { ...step, atMs: exitTime(paths, record.id) });
  }
  if (action === 'rollback') {
    record.phase = record.finishedAtMs === undefined ? 'created' : 'exited';
    ledger.noteContainer(record);
  }
  await discardTraces(options, record.id, cgroup, isRecorded);
  if (action === 'discard') await ledger.removeContainer(record.id);
}

/** What it was paused for ended with the process that did it. */
async function letGo(ledger: Ledger, cgroup: Cgroup, record: ContainerRecord): Promise<void> {
  await cgroup.freeze(false).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT' && error.code !== 'ENODEV') throw error; // it is just ending
  });
  delete record.isPaused;
  delete record.isHeld;
  ledger.noteContainer(record);
}

/** What a run leaves on the machine, which outlives no engine that doesn't know the run. */
async function discardTraces({ paths }: RecoverOptions, id: string, cgroup: Cgroup, isRecorded = true): Promise<void> {
  await killRemains(id, cgroup);
  clearRun(paths, id, cgroup, isRecorded);
  unmountBelow(paths.container(id));
}

async function recoverSandboxes({ paths, ledger, cgroups, networks, cni }: RecoverOptions, { sandboxes }: RecoveryPlan): Promise<void> {
  const kept = sandboxes.filter(({ record, action }) => action === 'keep' && record.phase === 'ready').map(({ record }) => record);
  await cni?.adopt(kept.filter(({ config }) => config.network === 'cni').map(({ id }) => id));
  const { lost } = await networks.adopt(
    kept.flatMap(record => record.network ?? []),
    kept.filter(record => record.pins).map(record => pinIdOf(record)),
  );
  const lostIds = new Set(lost.map(({ id }) => id));
  for (const { record, action } of sandboxes) {
    const isLost = record.network !== undefined && lostIds.has(record.network.id);
    if (action === 'keep' && !isLost) continue;
    unmountBelow(paths.sandbox(record.id));
    if (action === 'discard') {
      if (!ledger.sharesCgroupParent(record)) await cgroups.removeParent(record);
      await ledger.removeSandbox(record.id);
      continue;
    }
    record.phase = 'notready';
    delete record.network;
    delete record.pins;
    delete record.addresses;
    delete record.joinedNetns;
    delete record.joinedIpc;
    ledger.noteSandbox(record);
  }
}
