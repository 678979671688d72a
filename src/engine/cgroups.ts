import { Cgroup, type CgroupLayout } from '#linux/cgroup.ts';
import { type CgroupUsage, sumUsage } from '#linux/cgroup-usage.ts';
import type { ContainerRecord, SandboxRecord } from './records.ts';

/**
 * Where an instance's sandboxes and containers have their control groups: `/<instance>/<cgroupParent>/<container>`. An absolute parent belongs to whoever
 * named it (a foreign kubelet): only the containers' own groups below it are ours.
 */
export class EngineCgroups {
  readonly #layout: CgroupLayout;
  readonly #instance: string;

  constructor({ layout, instance }: { layout: CgroupLayout; instance: string }) {
    this.#layout = layout;
    this.#instance = instance;
  }

  of({ cgroupPath }: Pick<ContainerRecord, 'cgroupPath'>): Cgroup {
    return new Cgroup(this.#layout, cgroupPath);
  }

  /** The group that all containers of a sandbox are in. */
  parentOf(sandbox: SandboxRecord): Cgroup {
    return new Cgroup(this.#layout, this.parentPath(sandbox));
  }

  /** What a sandbox's group uses; without one of its own, its running containers'. */
  usageOf(sandbox: SandboxRecord, running: readonly ContainerRecord[]): CgroupUsage {
    if (sandbox.config.cgroupParent !== undefined) return this.parentOf(sandbox).usage();
    return sumUsage(running.map(record => this.of(record).usage()));
  }

  /** `cgroupParent` below the instance's own group, which no `..` leaves; an absolute one as it is. */
  parentPath({ config: { cgroupParent = '' } }: SandboxRecord): string {
    const parts = cgroupParent.split('/').filter(part => part !== '' && part !== '..' && part !== '.');
    return `/${[...(cgroupParent.startsWith('/') ? [] : [this.#instance]), ...parts].join('/')}`;
  }

  /** Of a container without a record. */
  ofTraces(id: string): Cgroup {
    return new Cgroup(this.#layout, `/${this.#instance}/${id}`);
  }
}
