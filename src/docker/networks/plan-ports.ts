import { UmiakError } from '#base/errors.ts';
import { parseIp } from '#base/ip-address.ts';
import type { Config, HostConfig, Port, PortBinding } from '../containers/forms.ts';

/** A port of a container that is to be led to from the machine. */
export interface PortWish {
  /** `80/tcp` */
  key: string;
  protocol: 'tcp' | 'udp' | 'sctp';
  containerPort: number;
  /** Empty: all of the machine's addresses, of both families. */
  hostIp: string;
  /** Ports of the machine, of which the first free one is taken; empty: any. */
  first: number;
  last: number;
}

/** Ports to be led to, by HostConfig and, with PublishAllPorts, by what the container exposes. Pure. @throws BadRequest in docker's words */
export function planPorts({ ExposedPorts = {} }: Pick<Config, 'ExposedPorts'>, { PortBindings, PublishAllPorts }: HostConfig): PortWish[] {
  const wishes: PortWish[] = [];
  for (const [key, bindings] of Object.entries(PortBindings)) {
    const ports = parsePortKey(key);
    for (const port of ports) for (const binding of bindings ?? []) wishes.push(planBinding(port, binding));
  }
  if (!PublishAllPorts) return wishes;
  const known = new Set(wishes.map(wish => wish.key));
  for (const key of Object.keys(ExposedPorts))
    for (const port of parsePortKey(key)) if (!known.has(port.key)) wishes.push({ ...port, hostIp: '', first: 0, last: 0 });
  return wishes;
}

type ContainerPort = Pick<PortWish, 'key' | 'protocol' | 'containerPort'>;

/** `80/tcp`, `53/udp`, `80`, `8000-8003/tcp`. @throws BadRequest */
export function parsePortKey(key: string): ContainerPort[] {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?(?:\/([a-zA-Z]+))?$/.exec(key);
  const [first, last] = [Number(match?.[1]), Number(match?.[2] ?? match?.[1])];
  const protocol = (match?.[3] ?? 'tcp').toLowerCase();
  if (!match || !isPort(first) || !isPort(last) || last < first) throw bad(`invalid port specification: "${key.slice(0, 64)}"`);
  if (protocol !== 'tcp' && protocol !== 'udp' && protocol !== 'sctp') throw bad(`invalid proto: ${protocol.slice(0, 16)}`);
  return Array.from({ length: last - first + 1 }, (_, n) => ({
    key: `${first + n}/${protocol}`,
    protocol,
    containerPort: first + n,
  }));
}

function planBinding(port: ContainerPort, { HostIp = '', HostPort = '' }: Partial<PortBinding>): PortWish {
  if (HostIp !== '' && !parseIp(HostIp)) throw bad(`invalid IP address: ${HostIp.slice(0, 64)}`);
  const match = /^(?:(\d{1,5})(?:-(\d{1,5}))?)?$/.exec(HostPort);
  const [first, last] = [Number(match?.[1] ?? 0), Number(match?.[2] ?? match?.[1] ?? 0)];
  if (!match || first > 65_535 || last > 65_535 || last < first) throw bad(`invalid port specification: "${HostPort.slice(0, 64)}"`);
  return { ...port, hostIp: HostIp, first, last };
}

function isPort(number: number): boolean {
  return number >= 1 && number <= 65_535;
}

/** `NetworkSettings.Ports` of a running container: all that it exposes, and what leads there. Pure. */
export function toPortMap(
  { ExposedPorts = {} }: Pick<Config, 'ExposedPorts'>,
  published: Readonly<Record<string, PortBinding[]>>,
): Record<string, PortBinding[] | null> {
  const keys = Object.keys(ExposedPorts).flatMap(key => parsePortKey(key).map(port => port.key));
  return { ...Object.fromEntries(keys.map(key => [key, null])), ...published };
}

/** `Ports` of a list. Pure. */
export function toPorts(map: Readonly<Record<string, readonly PortBinding[] | null>>): Port[] {
  return Object.entries(map).flatMap(([key, bindings]): Port[] => {
    const [port = '', Type = 'tcp'] = key.split('/');
    const PrivatePort = Number(port);
    if (!bindings || bindings.length === 0) return [{ PrivatePort, Type }];
    return bindings.map(({ HostIp, HostPort }) => ({ IP: HostIp, PrivatePort, PublicPort: Number(HostPort), Type }));
  });
}

function bad(message: string): UmiakError {
  return new UmiakError('BadRequest', message);
}
