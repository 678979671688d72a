import { UmiakError } from '#base/errors.ts';
import { Cgroup, type CgroupLayout } from '#linux/cgroup.ts';
import { type CgroupUsage, sumUsage } from '#linux/cgroup-usage.ts';
import type { Resources } from './engine.ts';
import type { ContainerRecord, SandboxRecord } from './records.ts';
import { limitScope, limitSlice, stopSlice } from './systemd-slices.ts';

/** Who makes control groups: we and the runtimes by hand, or systemd, asked by them. */
export type CgroupDriver = 'cgroupfs' | 'systemd';

/**
 * Where an instance's sandboxes and containers have their control groups: `/<instance>/<cgroupParent>/<container>`, with systemd
 * `/<instance>.slice/<instance>-<cgroupParent>.slice/<instance>-<container>.scope`. An absolute parent belongs to whoever named it (a foreign
 * kubelet): only the containers' own groups below it are ours.
 */
export class EngineCgroups {
  readonly #layout: CgroupLayout;
  readonly #instance: string;
  /** systemd makes them. */
  readonly isSystemd: boolean;

  constructor({ layout, instance, driver = 'cgroupfs' }: { layout: CgroupLayout; instance: string; driver?: CgroupDriver }) {
    this.#layout = layout;
    this.#instance = driver === 'systemd' ? escapeUnit(instance) : instance;
    this.isSystemd = driver === 'systemd';
  }

  of({ cgroupPath }: Pick<ContainerRecord, 'cgroupPath'>): Cgroup {
    return new Cgroup(this.#layout, cgroupPath);
  }

  /** How many processes the kernel killed for lack of memory below the group above a container's, groups that are gone too. */
  oomKillsAbove({ cgroupPath }: Pick<ContainerRecord, 'cgroupPath'>): number {
    return new Cgroup(this.#layout, cgroupPath.slice(0, cgroupPath.lastIndexOf('/'))).oomKills();
  }

  /** Changes what a running container may use. */
  async limit({ cgroupPath }: Pick<ContainerRecord, 'cgroupPath'>, resources: Resources): Promise<void> {
    new Cgroup(this.#layout, cgroupPath).update(resources);
    if (cgroupPath.endsWith('.scope')) await limitScope(sliceOf(cgroupPath), resources);
  }

  /** The group that all containers of a sandbox are in. */
  parentOf(sandbox: SandboxRecord): Cgroup {
    return new Cgroup(this.#layout, this.parentPath(sandbox));
  }

  /** Makes a sandbox's own group, where it is not there yet, and limits it. */
  async limitParent(sandbox: SandboxRecord, resources: Resources): Promise<void> {
    const parent = this.parentOf(sandbox);
    if (this.isSystemd) return limitSlice(sliceOf(parent.path), resources);
    parent.ensure(resources);
    parent.update(resources);
  }

  /** Takes a sandbox's own group away; one that its caller named absolutely is the caller's. */
  async removeParent(sandbox: SandboxRecord): Promise<void> {
    if (/^\/|\.slice$/.test(sandbox.config.cgroupParent ?? '')) return;
    const parent = this.parentOf(sandbox);
    parent.remove();
    if (this.isSystemd && sandbox.config.cgroupParent !== undefined) await stopSlice(sliceOf(parent.path));
  }

  /** What a sandbox's group uses; without one of its own, its running containers'. */
  usageOf(sandbox: SandboxRecord, running: readonly ContainerRecord[]): CgroupUsage {
    if (sandbox.config.cgroupParent !== undefined) return this.parentOf(sandbox).usage();
    return sumUsage(running.map(record => this.of(record).usage()));
  }

  /**
   * `cgroupParent` below the instance's own group, which no `..` leaves; an absolute one, and a slice by its name, as it is.
   * @throws Invalid for a parent that the driver can't use
   */
  parentPath({ config: { cgroupParent = '' } }: SandboxRecord): string {
    const parts = cgroupParent.split('/').filter(part => part !== '' && part !== '..' && part !== '.');
    const last = parts.at(-1) ?? '';
    if (this.isSystemd && last.endsWith('.slice')) return expandSlice(last);
    const isAbsolute = cgroupParent.startsWith('/');
    if (isAbsolute ? this.isSystemd : last.endsWith('.slice'))
      throw new UmiakError(
        'Invalid',
        `the control group ${cgroupParent} is not one of the driver ${this.isSystemd ? 'systemd' : 'cgroupfs'}`,
        {
          hint: 'Set `cgroupDriver` of umiak and of who names the group to the same.',
        },
      );
    if (this.isSystemd) return expandSlice(`${[this.#instance, ...parts].map(escapeUnit).join('-')}.slice`);
    return `/${[...(isAbsolute ? [] : [this.#instance]), ...parts].join('/')}`;
  }

  /** Of a container that is being made. */
  containerPath(sandbox: SandboxRecord, id: string): string {
    return `${this.parentPath(sandbox)}/${this.#leaf(id)}`;
  }

  /** Of a container without a record. */
  ofTraces(id: string): Cgroup {
    return new Cgroup(this.#layout, `/${this.#instance}${this.isSystemd ? '.slice' : ''}/${this.#leaf(id)}`);
  }

  #leaf(id: string): string {
    return this.isSystemd ? `${this.#instance}-${id}.scope` : id;
  }
}

/** `/a.slice/a-b.slice` for `a-b.slice`, as systemd lays slices. Pure. */
export function expandSlice(slice: string): string {
  const parts = slice.slice(0, -'.slice'.length).split('-');
  return parts.map((_, index) => `/${parts.slice(0, index + 1).join('-')}.slice`).join('');
}

/** Where an instance's groups are when systemd makes them. */
export function instanceSlice(instance: string): string {
  return `${escapeUnit(instance)}.slice`;
}

/** A part of a slice's name, in which `-` would mean another level. */
function escapeUnit(part: string): string {
  return part.replaceAll('-', '_');
}

function sliceOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
