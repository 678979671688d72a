import type { DockerContainer, Supervision } from '../rooms.ts';

/** A port as a Pod's container has it. */
interface MirroredPort {
  containerPort: number;
  protocol: 'TCP' | 'UDP' | 'SCTP';
  hostPort?: number;
  hostIP?: string;
}

/**
 * What the node agent shows of a docker container as a Pod (`Mirrored` of `node/mirror-pods`); nothing of what pods have. Pure but for what
 * supervision says.
 */
export function toMirrored(container: DockerContainer, supervision: Pick<Supervision, 'isRestarting' | 'healthOf'>) {
  const { owner, data, name, sandbox, engine } = container;
  if (owner !== 'docker') return undefined;
  const { config, hostConfig, endpoints, path, args, restartCount = 0, wasStopped = false } = data;
  const own = Object.values(endpoints).flatMap(({ IPAddress, GlobalIPv6Address }) => [IPAddress, GlobalIPv6Address].filter(Boolean));
  const health = supervision.healthOf(container)?.Status;
  return {
    name,
    image: data.image,
    command: [path, ...args],
    workingDir: config.WorkingDir || undefined,
    labels: config.Labels,
    ports: portsOf(container),
    hostNetwork: hostConfig.NetworkMode === 'host',
    addresses: engine.state === 'running' ? oneOfEachFamily(own.length > 0 ? own : (sandbox?.addresses ?? [])) : [],
    restartPolicy: RESTART[hostConfig.RestartPolicy.Name],
    graceSeconds: config.StopTimeout ?? 10,
    restartCount,
    isRestarting: supervision.isRestarting(container),
    isHealthy: health === undefined || health === 'healthy',
    wasStopped,
    isTransient: hostConfig.AutoRemove,
  };
}

const RESTART = { '': 'Never', no: 'Never', always: 'Always', 'unless-stopped': 'Always', 'on-failure': 'OnFailure' } as const;

/** As many addresses as a Pod may have. */
function oneOfEachFamily(addresses: readonly string[]): string[] {
  const [v4, v6] = [addresses.find(each => !each.includes(':')), addresses.find(each => each.includes(':'))];
  return [v4, v6].filter(each => each !== undefined);
}

/** Ports that are exposed, with those of the machine that lead to them where a number was asked for; each once. */
function portsOf({ data: { config, hostConfig } }: DockerContainer): MirroredPort[] {
  const found = new Map<string, MirroredPort>();
  const isHost = hostConfig.NetworkMode === 'host';
  for (const [key, bindings = []] of [
    ...Object.entries(hostConfig.PortBindings),
    ...Object.keys(config.ExposedPorts ?? {}).map(each => [each, []] as const),
  ]) {
    const [number, protocol = 'tcp'] = key.split('/');
    const containerPort = Number(number);
    if (!(containerPort > 0 && containerPort < 65_536) || found.has(key)) continue;
    const [bound] = bindings ?? [];
    const hostPort = Number(bound?.HostPort || 0);
    const isBound = !isHost && hostPort > 0 && hostPort < 65_536;
    const upper = protocol.toUpperCase();
    found.set(key, {
      containerPort,
      protocol: upper === 'UDP' || upper === 'SCTP' ? upper : 'TCP',
      ...(isBound ? { hostPort, ...(bound?.HostIp ? { hostIP: bound.HostIp } : {}) } : {}),
    });
  }
  return [...found.values()];
}
