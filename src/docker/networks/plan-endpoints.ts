import { UmiakError } from '#base/errors.ts';
import { networkContains, parseIp, parseIpNetwork } from '#base/ip-address.ts';
import { isLinkName, macOfAddress, parseMac } from '#net/bridges/index.ts';
import { macOf } from '#net/hardware.ts';
import type { Config, EndpointSettings, HostConfig } from '../containers/forms.ts';
import type { NetworkRecord } from './network-record.ts';

const IFNAME = 'com.docker.network.endpoint.ifname';

/** An endpoint of which only wishes are known. */
export const NO_ENDPOINT: EndpointSettings = {
  IPAMConfig: null,
  Links: null,
  Aliases: null,
  MacAddress: '',
  DriverOpts: null,
  GwPriority: 0,
  NetworkID: '',
  EndpointID: '',
  Gateway: '',
  IPAddress: '',
  IPPrefixLen: 0,
  IPv6Gateway: '',
  GlobalIPv6Address: '',
  GlobalIPv6PrefixLen: 0,
  DNSNames: null,
};

export interface EndpointWishes {
  name: string;
  config: Pick<Config, 'Hostname' | 'MacAddress'>;
  hostConfig: Pick<HostConfig, 'NetworkMode' | 'Links'>;
  endpoints: Readonly<Record<string, Partial<EndpointSettings>>>;
}

/**
 * The endpoints of a container to be made, by the networks' names: that of its mode, and those it names beside. Networks that aren't there are found
 * out by the start, as docker does, except by what an endpoint wishes of them. Pure. @throws what docker refuses then
 */
export function planEndpoints(
  { config, hostConfig, endpoints }: EndpointWishes,
  find: (nameOrId: string) => NetworkRecord | undefined,
): Record<string, EndpointSettings> {
  const mode = hostConfig.NetworkMode;
  if (mode.startsWith('container:')) return {};
  const planned: Record<string, EndpointSettings> = {};
  const modeName = find(mode)?.name ?? mode;
  const asked = Object.entries(endpoints).map(
    ([key, wish]) => [find(key)?.name ?? (key === 'default' ? 'bridge' : key), wish ?? {}] as const,
  );
  const rest = asked.filter(([name]) => name !== modeName);
  if (mode === 'host' || mode === 'none')
    for (const [name] of rest)
      throw new UmiakError(
        'BadRequest',
        mode === 'host'
          ? `conflicting options: cannot attach both user-defined and non-user-defined network-modes (${name}, host)`
          : `container cannot be connected to multiple networks with one of the networks in private (none) mode (${name})`,
      );
  if (rest.some(([name]) => name === 'none'))
    throw new UmiakError(
      'BadRequest',
      `container cannot be connected to multiple networks with one of the networks in private (none) mode (${modeName})`,
    );
  if (rest.some(([name]) => name === 'host'))
    throw new UmiakError('BadRequest', 'container cannot be disconnected from host network or connected to host network');
  const ofMode = asked.find(([name]) => name === modeName)?.[1] ?? {};
  const mac = config.MacAddress && !ofMode.MacAddress ? { MacAddress: config.MacAddress } : {};
  for (const [name, wish] of [[modeName, { ...ofMode, ...mac }] as const, ...rest]) {
    const record = find(name);
    planned[name] = planEndpoint(wish, { record, name, isUserDefined: isUserDefined(name) });
  }
  // That link is made before it is known whose it will be.
  if (mode === 'bridge' && planned.bridge?.DriverOpts?.[IFNAME] !== undefined)
    throw new UmiakError(
      'BadRequest',
      `invalid config for network bridge: driver option ${IFNAME} can't be honoured where the container begins`,
    );
  return planned;
}

/** True for a network that somebody made. */
export function isUserDefined(name: string): boolean {
  return name !== 'bridge' && name !== 'host' && name !== 'none';
}

/** What is kept of one endpoint's wishes. Pure. @throws BadRequest in docker's words */
export function planEndpoint(
  wish: Partial<EndpointSettings>,
  { record, name, isUserDefined }: { record: NetworkRecord | undefined; name: string; isUserDefined: boolean },
): EndpointSettings {
  const { IPv4Address = '', IPv6Address = '', LinkLocalIPs = [] } = wish.IPAMConfig ?? {};
  const invalid = (why: string) => new UmiakError('BadRequest', `invalid config for network ${name}: ${why}`);
  if ((IPv4Address || IPv6Address) && !isUserDefined)
    throw invalid('invalid endpoint settings:\nuser specified IP address is supported on user defined networks only');
  if (LinkLocalIPs.length > 0 && !isUserDefined)
    throw invalid('link-local addresses (LinkLocalIPs) are given on user-defined networks only');
  if ((wish.Aliases?.length ?? 0) > 0 && !isUserDefined)
    throw invalid('invalid endpoint settings:\nnetwork-scoped alias is supported only for containers in user defined networks');
  for (const [address, family] of [
    [IPv4Address, 4],
    [IPv6Address, 6],
  ] as const) {
    if (!address) continue;
    const parsed = parseIp(address);
    if (parsed?.family !== family) throw invalid(`invalid endpoint settings:\ninvalid IPv${family} address: ${address.slice(0, 64)}`);
    if (!record) continue;
    const subnets = record.ipam.config.flatMap(({ Subnet }) => parseIpNetwork(Subnet) ?? []);
    if (!subnets.some(subnet => networkContains(subnet, parsed)))
      throw invalid(`invalid endpoint settings:\nno configured subnet or ip-range contain the IP address ${address}`);
  }
  const noAddress = LinkLocalIPs.find(address => !parseIp(address));
  if (noAddress !== undefined) throw invalid(`invalid endpoint settings:\ninvalid link-local IP address: ${noAddress.slice(0, 64)}`);
  const mac = wish.MacAddress ? parseMac(wish.MacAddress) : '';
  if (mac === undefined || (mac && (Number.parseInt(mac.slice(0, 2), 16) & 1) === 1))
    throw new UmiakError('BadRequest', `invalid MAC address: ${String(wish.MacAddress).slice(0, 64)}`);
  if (mac && (name === 'host' || name === 'none'))
    throw new UmiakError('BadRequest', 'conflicting options: mac-address and the network mode');
  for (const [key, value] of Object.entries(wish.DriverOpts ?? {})) {
    if (!key.startsWith('com.docker.network.')) continue; // as docker: somebody else's
    if (key !== IFNAME || !isLinkName(value))
      throw invalid(`driver option ${key.slice(0, 128)}=${String(value).slice(0, 64)} can't be honoured`);
  }
  return {
    ...NO_ENDPOINT,
    IPAMConfig: wish.IPAMConfig
      ? {
          ...(IPv4Address ? { IPv4Address } : {}),
          ...(IPv6Address ? { IPv6Address } : {}),
          ...(LinkLocalIPs.length > 0 ? { LinkLocalIPs } : {}),
        }
      : null,
    Links: wish.Links ?? null,
    Aliases: wish.Aliases ?? null,
    MacAddress: mac,
    DriverOpts: wish.DriverOpts ?? null,
    GwPriority: wish.GwPriority ?? 0,
    NetworkID: record?.id ?? '',
  };
}

/** What of an endpoint outlives the container's run: its wishes. A hardware address that follows from the IP address was none of them. Pure. */
export function withoutFacts(endpoint: EndpointSettings): EndpointSettings {
  const { IPAMConfig, Links, Aliases, DriverOpts, GwPriority, NetworkID, MacAddress, IPAddress, GlobalIPv6Address } = endpoint;
  const address = IPAddress || GlobalIPv6Address;
  const isOwn = address === '' || (MacAddress !== macOfAddress(address) && (address.includes(':') || MacAddress !== macOf(address)));
  return { ...NO_ENDPOINT, IPAMConfig, Links, Aliases, DriverOpts, GwPriority, NetworkID, MacAddress: isOwn ? MacAddress : '' };
}

/** By which names others in a network find a container. Pure. */
export function dnsNamesOf(
  { name, id, hostname }: { name: string; id: string; hostname: string },
  { Aliases }: Pick<EndpointSettings, 'Aliases'>,
): string[] {
  return [...new Set([name, ...(Aliases ?? []), id.slice(0, 12), ...(hostname ? [hostname] : [])])];
}

/** The names of a container's networks in the order of its links eth0, eth1 …: the first is its way out. Pure. */
export function orderOf(endpoints: Readonly<Record<string, Pick<EndpointSettings, 'GwPriority'>>>): string[] {
  return Object.keys(endpoints).toSorted((a, b) => (endpoints[b]?.GwPriority ?? 0) - (endpoints[a]?.GwPriority ?? 0) || (a < b ? -1 : 1));
}
