import { readdirSync, rmSync } from 'node:fs';
import { UmiakError } from '#base/errors.ts';
import type { Cgroup } from '#linux/cgroup.ts';
import { readCommandLine, signalProcess, waitForEnd } from '#linux/process.ts';
import type { EnginePaths } from './paths.ts';
import { findProcesses, toContainerId } from './world.ts';

const SIGKILL = 9;
/** Who may have a container's id among its arguments and be a part of it: its monitor, and runtimes with the state directory that we name. */
const OURS = /^(\S*\/)?conmon |^\S+ (.* )?--root=\S*\/engine\//;
const DEATH_TIMEOUT_MS = 10_000;

/** What is still there then waits in the kernel, for a disk or a mount that doesn't answer. */
const PATIENCE_MS = 60_000;

/**
 * Kills what belongs to a container that must not run: its monitor, a runtime in the middle of creating it, its processes.
 * Repeats until nothing is left, since a runtime may have forked meanwhile. @throws Timeout when something can't be killed
 */
export async function killRemains(id: string, cgroup: Cgroup): Promise<void> {
  for (const end = performance.now() + PATIENCE_MS; performance.now() < end; ) {
    const processes = findProcesses(id).filter(({ pid }) => OURS.test(`${readCommandLine(pid).join(' ')} `));
    for (const process of processes) signalProcess(process, SIGKILL);
    for (const process of processes) await waitForEnd(process, DEATH_TIMEOUT_MS);
    await cgroup.kill();
    if (processes.length === 0) return;
  }
  throw new UmiakError('Timeout', `container ${id} can not be ended: its processes do not die`, {
    hint: 'See what they wait for (cat /proc/PID/stack); a mount that hangs can be unmounted (umount -l).',
  });
}

/**
 * Removes what a run of a container leaves in the run directory and its control group. Its processes have ended.
 * @param isRecorded the exit stands in its record, so that the monitor's note of it is not needed any more
 */
export function clearRun(paths: EnginePaths, id: string, cgroup: Cgroup, isRecorded = true): void {
  cgroup.remove();
  for (const root of paths.runtimeRoots())
    for (const name of readdirSync(root)) if (toContainerId(name) === id) rmSync(`${root}/${name}`, { recursive: true, force: true });
  rmSync(paths.bundle(id), { recursive: true, force: true });
  if (isRecorded) rmSync(paths.exit(id), { force: true });
}
