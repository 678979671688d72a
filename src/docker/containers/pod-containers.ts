import type { Container, Sandbox } from '#engine/index.ts';
import { describeActor } from '../events/engine-events.ts';
import type { DockerData } from '../rooms.ts';
import { planConfig, planHostConfig } from './config.ts';

/**
 * What docker would keep of a container that a pod or a CRI client has: made up from what the engine knows of it, but for its
 * variables, which may be many and only `inspect` tells. Pure.
 */
export function toForeignData(container: Container, sandbox: Sandbox | undefined): DockerData {
  const { id, config: facts } = container;
  const { name, image, labels } = describeActor(container, sandbox);
  const command = [...(facts.command ?? []), ...(facts.args ?? [])];
  const [path = '', ...args] = command;
  const { resources = {}, security = {} } = facts;
  const isHost = sandbox?.config.network === 'host';
  return {
    name,
    image,
    config: {
      ...planConfig({ Cmd: command.length > 0 ? command : [''], Image: image, Labels: { ...labels } }, {}, id),
      Hostname: sandbox?.config.hostname ?? '',
      User: security.user ?? '',
      WorkingDir: facts.workingDir ?? '',
      Tty: facts.tty ?? false,
      OpenStdin: facts.stdin ?? false,
      StdinOnce: facts.stdinOnce ?? false,
      Cmd: facts.args ?? null,
      Entrypoint: facts.command ?? null,
    },
    hostConfig: planHostConfig(
      {
        NetworkMode: isHost ? 'host' : 'none',
        Privileged: security.privileged ?? false,
        ReadonlyRootfs: security.readOnlyRoot ?? false,
        Memory: resources.memoryLimitBytes ?? 0,
        CpuShares: resources.cpuShares ?? 0,
        CpuQuota: resources.cpuQuotaUs ?? 0,
        CpuPeriod: resources.cpuPeriodUs ?? 0,
        CgroupParent: sandbox?.config.cgroupParent ?? '',
      },
      { runtime: sandbox?.config.runtime ?? '', cgroupns: 'private' },
    ),
    platform: 'linux',
    path,
    args,
    endpoints: {},
    mounts: (facts.mounts ?? []).map(({ source, destination, readOnly = false, type = 'bind', propagation = 'private' }) => ({
      point: {
        Type: type === 'tmpfs' ? 'tmpfs' : 'bind',
        Source: source,
        Destination: destination,
        Mode: '',
        RW: !readOnly,
        Propagation: propagation === 'private' ? 'rprivate' : propagation,
      },
    })),
  };
}
