import type { ContainerPort, PodSpec } from './types.gen.ts';

interface Seen {
  field: string;
  port: ContainerPort;
}

/** Ports of a pod's containers that are one and the same, or may get into each other's way; names that are taken. */
export function portWarnings(spec: PodSpec, path: string): string[] {
  const warnings: string[] = [];
  const seen: Seen[] = [];
  for (const list of ['initContainers', 'containers', 'ephemeralContainers'] as const)
    spec[list]?.forEach(({ ports }: { ports?: ContainerPort[] | undefined }, i) => {
      ports?.forEach((port, j) => {
        const field = `${path}.${list}[${i}].ports[${j}]`;
        if (port.hostIP && !port.hostPort) warnings.push(`${field}: hostIP set without hostPort: ${inGo(port)}`);
        for (const other of seen) {
          const why = conflictOf(port, other.port);
          if (why) warnings.push(`${field}: ${why} port definition with ${other.field}`);
        }
        seen.push({ field, port });
      });
    });
  return seen.length > 1 ? [...warnings, ...nameWarnings(seen)] : warnings;
}

function conflictOf(port: ContainerPort, other: ContainerPort): string | undefined {
  if (port.containerPort !== other.containerPort || (port.protocol ?? 'TCP') !== (other.protocol ?? 'TCP')) return undefined;
  const [hostPort, otherPort] = [port.hostPort ?? 0, other.hostPort ?? 0];
  const [hostIP, otherIP] = [port.hostIP ?? '', other.hostIP ?? ''];
  if (hostPort === otherPort && hostIP === otherIP) return 'duplicate';
  if (hostPort === 0 || otherPort === 0) return 'overlapping';
  return hostPort === otherPort && (hostIP === '') !== (otherIP === '') ? 'dangerously ambiguous' : undefined;
}

function nameWarnings(ports: Seen[]): string[] {
  const first = new Map<string, string>();
  return ports.flatMap(({ field, port: { name } }) => {
    if (!name) return [];
    const other = first.get(name);
    if (other === undefined) first.set(name, field);
    if (other === undefined) return [];
    return [
      `${field}: duplicate port name ${JSON.stringify(name)} with ${other}, services and probes that select ports by name will use ${other}`,
    ];
  });
}

/** As Go prints the struct. */
function inGo({ name = '', hostPort = 0, containerPort, protocol = 'TCP', hostIP = '' }: ContainerPort): string {
  return `{Name:${name} HostPort:${hostPort} ContainerPort:${containerPort} Protocol:${protocol} HostIP:${hostIP}}`;
}
