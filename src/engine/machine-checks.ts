import { UmiakError } from '#base/errors.ts';
import type { CgroupLayout } from '#linux/cgroup.ts';
import type { ContainerConfig, SandboxConfig } from './engine.ts';
import { checkMounts, machineFacts } from './mount-checks.ts';
import { checkResources, type ResourceFacts, readResourceFacts } from './resource-checks.ts';
import { checkSysctls } from './sysctl-checks.ts';

/** As many as a config.json of bounded size can hold. */
const MOST_MOUNTS = 1000;

/** What sandboxes and containers may ask of this machine; asked before anything of them is made. */
export class MachineChecks {
  readonly #layout: CgroupLayout;
  #facts: ResourceFacts | undefined;

  constructor(layout: CgroupLayout) {
    this.#layout = layout;
  }

  /** @throws Invalid naming what can't be */
  sandbox(config: SandboxConfig): void {
    checkSysctls(config);
    this.resources(config.resources);
    if (config.resources && config.cgroupParent === undefined)
      throw new UmiakError('Invalid', 'resources: a sandbox without a cgroupParent of its own has no group to limit');
  }

  /** @throws Invalid, NotFound, naming what can't be */
  container({ resources, mounts = [], security = {} }: ContainerConfig, { userNamespace, onDemand = false }: SandboxConfig): void {
    this.resources(resources);
    if (mounts.length > MOST_MOUNTS)
      throw new UmiakError('Invalid', `${mounts.length} mounts are more than the ${MOST_MOUNTS} a container may have`);
    checkMounts(mounts, { ...machineFacts(), mayComeLater: onDemand });
    const policy = security.supplementalGroupsPolicy;
    if (policy !== undefined && policy !== 'Merge' && policy !== 'Strict')
      throw new UmiakError('Invalid', `security.supplementalGroupsPolicy: ${JSON.stringify(policy)} must be Merge or Strict`);
    if (userNamespace && mounts.some(({ propagation }) => propagation === 'rshared'))
      throw new UmiakError('Invalid', 'a mount that propagates to the machine can not be given to a user namespace', {
        hint: 'Set hostUsers: true, or mountPropagation: HostToContainer.',
      });
  }

  /** @throws Invalid */
  resources(resources: ContainerConfig['resources']): void {
    if (!resources) return;
    this.#facts ??= readResourceFacts(this.#layout);
    checkResources(resources, this.#facts);
  }
}
