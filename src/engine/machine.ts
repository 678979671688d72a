import { existsSync, readFileSync } from 'node:fs';
import type { KernelChanges } from '#linux/kernel-changes.ts';
import { type MountEntry, readMountTable } from '#linux/mount-table.ts';

export interface MachineFacts {
  mounts: MountEntry[];
  /** `/proc/cgroups`. */
  cgroups: string;
  /** systemd owns the tree of control groups. */
  hasSystemd: boolean;
  /** By its user's will, even where systemd is; absent: where systemd is not. */
  favorDynmods?: boolean;
}

export type MachineChange =
  | { kind: 'mount'; target: string; source: string; type: string; options: string[]; why: string }
  | { kind: 'remount'; target: string; before: string[]; after: string[]; why: string };

/**
 * What the engine wants of this machine, whether it is so already or not: the recorder knows what is ours, and other instances' too. Pure.
 */
export function planMachine({ mounts, cgroups, hasSystemd, favorDynmods = !hasSystemd }: MachineFacts): MachineChange[] {
  const v1 = mounts.filter(entry => entry.type === 'cgroup');
  if (v1.length === 0) return [];
  const changes: MachineChange[] = [];
  const hasHugetlb = /^hugetlb\t.*\t1$/m.test(cgroups);
  if (hasHugetlb) {
    const mounted = v1.find(entry => entry.options.includes('hugetlb'));
    changes.push({
      kind: 'mount',
      target: mounted?.target ?? `${v1[0]!.target.slice(0, v1[0]!.target.lastIndexOf('/'))}/hugetlb`,
      source: 'cgroup',
      type: 'cgroup',
      options: ['hugetlb'],
      why: 'crun refuses a hybrid layout in which a controller is left to the unified tree',
    });
  }
  if (favorDynmods) {
    const root = mounts.find(entry => entry.type === 'cgroup2') ?? v1[0]!;
    const present = root.options.filter(option => option !== 'favordynmods');
    // All present options again: a bare remount would clear nsdelegate, nosuid and the like.
    changes.push({
      kind: 'remount',
      target: root.target,
      before: root.type === 'cgroup2' ? present : [...present, 'nofavordynmods'],
      after: [...present, 'favordynmods'],
      why: 'starting a process in a control group of v1 takes 10 ms without it',
    });
  }
  return changes;
}

export function readMachineFacts(): MachineFacts {
  return { mounts: readMountTable(), cgroups: readFileSync('/proc/cgroups', 'utf8'), hasSystemd: existsSync('/run/systemd/system') };
}

/** Makes the planned changes through a recorder, which can undo them. Returns what is wanted, with reasons. */
export async function applyMachine(kernel: KernelChanges, facts: MachineFacts = readMachineFacts()): Promise<MachineChange[]> {
  const changes = planMachine(facts);
  for (const change of changes) {
    if (change.kind === 'mount') await kernel.mount(change.target, change);
    else await kernel.remount(change.target, change.before, change.after);
  }
  return changes;
}
