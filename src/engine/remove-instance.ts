import { rmSync } from 'node:fs';
import { Cgroup, readCgroupLayout } from '#linux/cgroup.ts';
import { signalProcess, waitForEnd } from '#linux/process.ts';
import { unmountBelow } from '#linux/unmount-below.ts';
import { instanceSlice } from './cgroups.ts';
import { EnginePaths } from './paths.ts';
import { type ContainerRecord, readRecords } from './records.ts';
import { stopSlice } from './systemd-slices.ts';
import { findMonitors } from './world.ts';

const SIGKILL = 9;
const DEATH_TIMEOUT_MS = 10_000;

/**
 * Ends everything that an instance's engine left on the machine, whatever was killed before: processes, mounts, control groups, the
 * runtimes' state. Data (records, what containers wrote, logs) stays. No engine of that instance may be open.
 */
export async function removeInstance({ instance, dataDir, runDir }: { instance: string; dataDir: string; runDir: string }): Promise<void> {
  const paths = new EnginePaths({ dataDir, runDir });
  const cgroup = new Cgroup(readCgroupLayout(), `/${instance}`);
  for (;;) {
    const monitors = [...findMonitors(paths).values()];
    for (const monitor of monitors) signalProcess(monitor, SIGKILL);
    for (const monitor of monitors) await waitForEnd(monitor, DEATH_TIMEOUT_MS);
    await cgroup.kill();
    if (monitors.length === 0) break;
  }
  // Containers below somebody else's group.
  for (const { cgroupPath } of readRecords<ContainerRecord>(paths.containers).records) {
    if (cgroupPath.startsWith(`/${instance}/`)) continue;
    const own = new Cgroup(readCgroupLayout(), cgroupPath);
    await own.kill();
    own.remove();
  }
  unmountBelow(`${dataDir}/engine`);
  cgroup.remove();
  const slice = new Cgroup(readCgroupLayout(), `/${instanceSlice(instance)}`);
  if (slice.directories().length > 0) {
    await slice.kill();
    slice.remove();
    await stopSlice(instanceSlice(instance));
  }
  unmountBelow(`${runDir}/engine`);
  rmSync(`${runDir}/engine`, { recursive: true, force: true });
}
