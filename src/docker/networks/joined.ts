import { type DefaultRoutes, type EndpointLink, endpointLinkName } from '#net/bridges/index.ts';
import type { EndpointSettings } from '../containers/forms.ts';
import type { DockerContainer } from '../rooms.ts';
import type { Member } from './network-book.ts';
import type { NetworkRecord } from './network-record.ts';
import { dnsNamesOf, orderOf } from './plan-endpoints.ts';
import type { PublishTarget } from './published-ports.ts';

/** A container's link into one network. */
export interface Attached {
  record: NetworkRecord;
  ifName: string;
  settings: EndpointSettings;
}

/** A running container in its networks, by their names. */
export interface Joined {
  netns: string | undefined;
  attached: Map<string, Attached>;
  /** The endpoint to which its published ports lead. */
  publishedBy?: string;
}

/** The engine made its namespace with a link of the default network. */
export function isOfPool({ sandbox }: DockerContainer): boolean {
  return sandbox?.config.network === 'pod';
}

/** How others find it in a network. Pure. */
export function namesIn({ name, id, data }: DockerContainer, endpoint: EndpointSettings): string[] {
  return dnsNamesOf({ name, id, hostname: data.config.Hostname }, endpoint);
}

/** Of the networks that it is in. Pure. */
export function namesOf({ attached }: Joined): string[] {
  return [...attached.keys()];
}

/** What a network tells of it. Pure. */
export function memberOf({ id, name }: DockerContainer, settings: EndpointSettings): Member {
  return {
    containerId: id,
    name,
    endpointId: settings.EndpointID,
    mac: settings.MacAddress,
    ipv4: settings.IPAddress,
    ipv4PrefixLength: settings.IPPrefixLen,
    ipv6: settings.GlobalIPv6Address,
    ipv6PrefixLength: settings.GlobalIPv6PrefixLen,
  };
}

/** The gateway of a network in one family; an internal one is no way out. */
export function gatewayIn({ ipam, internal }: NetworkRecord, sign: '.' | ':'): string {
  return internal ? '' : (ipam.config.find(({ Subnet }) => Subnet.includes(sign))?.Gateway ?? '');
}

/** The first network, in docker's order, that fits. */
function wayOut({ attached }: Joined, fits: (attached: Attached) => boolean): Attached | undefined {
  const order = orderOf(Object.fromEntries([...attached].map(([name, { settings }]) => [name, settings])));
  return order.flatMap(name => attached.get(name) ?? []).find(fits);
}

/** The ways out of its namespace, as they must be now. Pure. */
export function routesOf(joined: Joined, podCidr: string): DefaultRoutes {
  const v4 = wayOut(joined, ({ settings }) => settings.Gateway !== '');
  const v6 = wayOut(joined, ({ settings }) => settings.IPv6Gateway !== '');
  const pool = joined.attached.get('bridge');
  const isBeside = pool !== undefined && pool !== v4 && pool.settings.Gateway !== '';
  return {
    ...(isBeside ? { beside: [{ to: podCidr, gateway: pool.settings.Gateway, ifName: pool.ifName }] } : {}),
    ...(v4 ? { ipv4: { gateway: v4.settings.Gateway, ifName: v4.ifName } } : {}),
    ...(v6 ? { ipv6: { gateway: v6.settings.IPv6Gateway, ifName: v6.ifName } } : {}),
  };
}

/** What the kernel is told of an endpoint. Pure. */
export function linkOf(instance: string, netns: string, ifName: string, settings: EndpointSettings): EndpointLink {
  const addresses = [
    { address: settings.IPAddress, prefixLength: settings.IPPrefixLen },
    { address: settings.GlobalIPv6Address, prefixLength: settings.GlobalIPv6PrefixLen },
    ...(settings.IPAMConfig?.LinkLocalIPs ?? []).map(address => ({ address, prefixLength: address.includes(':') ? 64 : 16 })),
  ].filter(({ address }) => address !== '');
  return { hostLink: endpointLinkName(instance, settings.EndpointID), netns, ifName, mac: settings.MacAddress, addresses };
}

/** The name that was asked for, or the first of eth0, eth1 … that is free. */
export function freeLinkName({ attached }: Joined, { options }: NetworkRecord, { DriverOpts }: EndpointSettings): string {
  const wanted = DriverOpts?.['com.docker.network.endpoint.ifname'];
  const taken = new Set([...attached.values()].map(({ ifName }) => ifName));
  if (wanted) return wanted;
  const prefix = options['com.docker.network.container_iface_prefix'] ?? 'eth';
  for (let n = 0; ; n++) if (!taken.has(`${prefix}${n}`)) return `${prefix}${n}`;
}

/** Where published ports lead: by the network that is its way out, if that is a bridge. Pure. */
export function publishTarget({ id, name }: DockerContainer, joined: Joined): PublishTarget | undefined {
  const way = wayOut(joined, ({ record, settings }) => record.driver === 'bridge' && settings.Gateway !== '');
  if (!way) return undefined;
  const { record, settings } = way;
  const binding = record.options['com.docker.network.bridge.host_binding_ipv4'];
  return {
    id,
    name,
    endpointId: settings.EndpointID,
    ipv4: settings.IPAddress,
    ipv6: settings.GlobalIPv6Address || undefined,
    defaultHostIp: binding && binding !== '0.0.0.0' ? binding : undefined,
  };
}
