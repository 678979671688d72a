import { Cgroup, type CgroupLayout } from '#linux/cgroup.ts';
import type { ContainerRecord, SandboxRecord } from './records.ts';

/** Where an instance's sandboxes and containers have their control groups: `/<instance>/<cgroupParent>/<container>`. */
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

  /** `cgroupParent` below the instance's own group, which no `..` leaves. */
  parentPath({ config }: SandboxRecord): string {
    const parts = (config.cgroupParent ?? '').split('/').filter(part => part !== '' && part !== '..' && part !== '.');
    return `/${[this.#instance, ...parts].join('/')}`;
  }

  /** Of a container without a record. */
  ofTraces(id: string): Cgroup {
    return new Cgroup(this.#layout, `/${this.#instance}/${id}`);
  }
}
