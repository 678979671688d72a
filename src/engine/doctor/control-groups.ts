import { type CgroupLayout, readCgroupLayout } from '#linux/cgroup.ts';
import { type MachineChange, planMachine, readMachineFacts } from '../machine.ts';
import { type Finding, findingsOf } from './finding.ts';
import { readWords } from './read.ts';

export interface ControlGroupFacts {
  layout: CgroupLayout;
  /** Controllers that can be used: of v1's hierarchies, or of the unified tree's root. */
  controllers: string[];
  /** What `umiak up` changes about them, while it is up. */
  changes: MachineChange[];
}

/** What each controller is for, with what is lost without it; those without a loss are needed. */
const CONTROLLERS: Record<string, { needed?: string; loss?: string; remedy: string }> = {
  memory: { needed: 'memory limits', remedy: 'Boot with `cgroup_enable=memory` on the kernel command line.' },
  cpu: { needed: 'CPU requests and limits', remedy: 'Boot a kernel with CONFIG_CGROUP_SCHED and CONFIG_CFS_BANDWIDTH.' },
  pids: { needed: 'limits on processes', remedy: 'Boot a kernel with CONFIG_CGROUP_PIDS.' },
  cpuset: { loss: 'CPUs can not be given to a container alone.', remedy: 'Boot a kernel with CONFIG_CPUSETS.' },
  hugetlb: { loss: 'huge pages are not limited.', remedy: 'Boot a kernel with CONFIG_CGROUP_HUGETLB.' },
};
/** Needed besides in v1, where the unified tree does not do their work. */
const OF_V1: typeof CONTROLLERS = {
  devices: { needed: 'allowing and denying devices', remedy: 'Mount the devices controller at /sys/fs/cgroup/devices.' },
  freezer: {
    loss: 'paused containers and a kill without cgroup.kill do not work.',
    remedy: 'Mount the freezer controller at /sys/fs/cgroup/freezer.',
  },
  cpuacct: { loss: 'CPU time is not measured.', remedy: 'Mount the cpuacct controller at /sys/fs/cgroup/cpuacct.' },
};

const { ok, fallsBack, missing } = findingsOf('control groups');

/** Judges the layout and its controllers. Pure. */
export function planControlGroups({ layout, controllers, changes }: ControlGroupFacts): Finding[] {
  const isV2 = layout.version === 'v2';
  if (isV2 && layout.unified === undefined)
    return [missing('layout', 'No control groups are mounted.', 'mount -t cgroup2 cgroup2 /sys/fs/cgroup')];
  const findings = [planLayout(layout)];
  const lacking = Object.entries({ ...CONTROLLERS, ...(isV2 ? {} : OF_V1) }).filter(([name]) => !controllers.includes(name));
  for (const [name, { needed, loss, remedy }] of lacking) {
    if (changes.some(change => change.kind === 'mount' && change.options.includes(name))) continue;
    findings.push(
      needed === undefined
        ? fallsBack(name, `Without this controller ${loss}`, remedy)
        : missing(name, `The ${name} controller is not there: ${needed} need it.`, remedy),
    );
  }
  findings.push(ok('controllers', `${controllers.join(', ')}.`));
  const mounts = changes.filter(({ kind }) => kind === 'mount').map(({ target }) => target);
  if (mounts.length > 0)
    findings.push(ok('mounts', `umiak up sees to it that ${mounts.join(', ')} is mounted; the last umiak down takes its own away.`));
  return findings;
}

function planLayout({ version, unified }: CgroupLayout): Finding {
  if (version === 'v2') return ok('layout', `cgroup v2 at ${unified}.`);
  const v1 = 'memory.high, I/O limits and pressure of a group are not to be had';
  const remedy = 'Boot with `systemd.unified_cgroup_hierarchy=1`, or mount cgroup2 alone.';
  return version === 'hybrid'
    ? fallsBack('layout', `Hybrid: limits by v1, killing by the unified tree; ${v1}.`, remedy)
    : fallsBack('layout', `v1 only: groups are frozen to be killed, and ${v1}.`, remedy);
}

/** Reads the mount table and the unified tree's controllers. */
export function readControlGroups(): ControlGroupFacts {
  const layout = readCgroupLayout();
  const controllers =
    layout.version === 'v2'
      ? (readWords(`${layout.unified}/cgroup.controllers`) ?? [])
      : Object.keys(layout.controllers).filter(name => !name.startsWith('name='));
  return { layout, controllers, changes: planMachine(readMachineFacts()) };
}
