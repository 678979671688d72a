import { UmiakError } from '#base/errors.ts';
import { formatIp, formatIpNetwork, networkContains, parseIp, parseIpNetwork } from '#base/ip-address.ts';
import type { JsonObject } from '#base/json-object.ts';
import { isLinkName, overlapWith, planGateway, planIpv6Subnet, planSubnet } from '#net/bridges/index.ts';
import { decodeFields, type Fields } from '../containers/decode.ts';
import { FIXED_NAMES, type IpamConfig, type NetworkRecord } from './network-record.ts';

/** `POST /networks/create`. */
export interface NetworkWishes {
  Name: string;
  Driver?: string;
  Scope?: string;
  Internal?: boolean;
  Attachable?: boolean;
  Ingress?: boolean;
  ConfigOnly?: boolean;
  ConfigFrom?: { Network?: string };
  EnableIPv4?: boolean;
  EnableIPv6?: boolean;
  IPAM?: { Driver?: string; Options?: Record<string, string>; Config?: Partial<IpamConfig>[] };
  Options?: Record<string, string>;
  Labels?: Record<string, string>;
}

const WISHES: Fields = {
  Name: 'string',
  CheckDuplicate: 'boolean',
  Driver: 'string',
  Scope: 'string',
  Internal: 'boolean',
  Attachable: 'boolean',
  Ingress: 'boolean',
  ConfigOnly: 'boolean',
  ConfigFrom: { fields: { Network: 'string' } },
  EnableIPv4: 'boolean',
  EnableIPv6: 'boolean',
  IPAM: {
    fields: {
      Driver: 'string',
      Options: { map: 'string' },
      Config: { list: { fields: { Subnet: 'string', IPRange: 'string', Gateway: 'string', AuxiliaryAddresses: { map: 'string' } } } },
    },
  },
  Options: { map: 'string' },
  Labels: { map: 'string' },
};

/** What a client asks for. @throws BadRequest for values of the wrong type */
export function parseNetworkWishes(body: unknown): NetworkWishes {
  const wishes: JsonObject = decodeFields(body, WISHES, 'CreateRequest');
  return { Name: '', ...wishes };
}

/** What of the machine a plan has to know. */
export interface NetworkFacts {
  id: string;
  createdAtMs: number;
  /** Subnets of other networks of docker's. */
  used: readonly string[];
  /** All else that must not be overlapped when nobody chose: the machine's routes, pods, Services. */
  avoided: readonly string[];
  /** Links of the machine. */
  links: readonly string[];
  /** Unique to the machine. */
  machine: string;
}

const BRIDGE = 'com.docker.network.bridge.';
/** What each driver understands, and what it must look like. */
const OPTIONS: Record<'bridge' | 'macvlan', Record<string, RegExp>> = {
  bridge: {
    [`${BRIDGE}name`]: /./,
    [`${BRIDGE}enable_ip_masquerade`]: /^(true|false)$/,
    [`${BRIDGE}enable_icc`]: /^(true|false)$/,
    [`${BRIDGE}host_binding_ipv4`]: /^\d+\.\d+\.\d+\.\d+$/,
    [`${BRIDGE}default_bridge`]: /^false$/,
    [`${BRIDGE}inhibit_ipv4`]: /^false$/,
    [`${BRIDGE}gateway_mode_ipv4`]: /^nat$/,
    [`${BRIDGE}gateway_mode_ipv6`]: /^nat$/,
    'com.docker.network.driver.mtu': /^\d{2,5}$/,
    'com.docker.network.enable_ipv4': /^true$/,
    'com.docker.network.enable_ipv6': /^(true|false)$/,
    'com.docker.network.container_iface_prefix': /^[a-z][a-z0-9]{0,9}$/,
  },
  macvlan: {
    parent: /./,
    macvlan_mode: /^(private|vepa|bridge|passthru)$/,
    'com.docker.network.driver.mtu': /^\d{2,5}$/,
  },
};

const MOST_SUBNETS = 16;

/** The record of a network to be made. Pure. @throws what docker refuses, in its words */
export function planNetwork(wishes: NetworkWishes, facts: NetworkFacts): NetworkRecord {
  const driver = checkKind(wishes);
  const options = planOptions(wishes.Options ?? {}, driver, facts);
  const enableIpv6 = wishes.EnableIPv6 ?? options['com.docker.network.enable_ipv6'] === 'true';
  const { Driver: ipamDriver = '', Options: ipamOptions = null, Config = [] } = wishes.IPAM ?? {};
  if (ipamDriver !== '' && ipamDriver !== 'default')
    throw new UmiakError('BadRequest', `ipam driver ${JSON.stringify(ipamDriver)} is not there: umiak has 'default' alone`);
  return {
    version: 1,
    id: facts.id,
    name: wishes.Name,
    createdAtMs: facts.createdAtMs,
    driver,
    enableIpv4: true,
    enableIpv6,
    internal: wishes.Internal ?? false,
    attachable: wishes.Attachable ?? false,
    ipam: { driver: 'default', options: ipamOptions, config: planPools(Config, { ...facts, enableIpv6, hasGateway: driver === 'bridge' }) },
    options,
    labels: wishes.Labels ?? {},
  };
}

function checkKind({ Name, Driver = '', Scope = '', Ingress, ConfigOnly, ConfigFrom, EnableIPv4 }: NetworkWishes): 'bridge' | 'macvlan' {
  if (Name.trim() === '') throw bad('name is required');
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_. -]*$/.test(Name) || Name.length > 255)
    throw bad(`invalid network name: ${Name.slice(0, 255)}: use letters, digits, spaces and _.- alone`);
  if ((FIXED_NAMES as readonly string[]).includes(Name) || Name === 'default' || Name === 'container')
    throw new UmiakError('Forbidden', `operation is not permitted on predefined ${Name} network`);
  if (ConfigOnly || ConfigFrom?.Network) throw new UmiakError('NotImplemented', 'umiak has no configuration-only networks');
  if (Ingress || Scope === 'swarm' || Driver === 'overlay')
    throw new UmiakError('NotImplemented', 'This node is not a swarm manager. umiak has no swarm networks');
  if (EnableIPv4 === false) throw new UmiakError('NotImplemented', 'umiak has no networks without IPv4');
  if (Driver === 'ipvlan') throw new UmiakError('NotImplemented', "umiak has no driver 'ipvlan'; use macvlan or bridge");
  if (Driver === 'host' || Driver === 'null') throw new UmiakError('Forbidden', `only one instance of "${Driver}" network is allowed`);
  if (Driver !== '' && Driver !== 'default' && Driver !== 'bridge' && Driver !== 'macvlan')
    throw new UmiakError('NotFound', `plugin ${JSON.stringify(Driver.slice(0, 64))} not found`);
  return Driver === 'macvlan' ? 'macvlan' : 'bridge';
}

function planOptions(asked: Record<string, string>, driver: 'bridge' | 'macvlan', { links }: NetworkFacts): Record<string, string> {
  for (const [key, value] of Object.entries(asked)) {
    const pattern = Object.hasOwn(OPTIONS[driver], key) ? OPTIONS[driver][key] : undefined;
    if (!pattern && !key.startsWith('com.docker.network.')) continue; // as docker: somebody else's
    if (!pattern) throw bad(`option ${JSON.stringify(key.slice(0, 128))} of driver ${driver} is not there`);
    if (!pattern.test(value)) throw bad(`option ${key}=${JSON.stringify(value.slice(0, 128))} can't be honoured`);
  }
  const link = asked[`${BRIDGE}name`];
  if (link !== undefined && !isLinkName(link)) throw bad(`interface name ${JSON.stringify(link.slice(0, 64))} is not valid`);
  if (link !== undefined && links.includes(link))
    throw new UmiakError('Forbidden', `cannot create network: bridge name ${link} is in use on this machine`);
  if (driver === 'macvlan' && !asked.parent)
    throw bad("macvlan needs '-o parent=<link>': umiak makes no link of its own for it, this kernel has no dummy links");
  return asked;
}

function planPools(
  asked: readonly Partial<IpamConfig>[],
  { used, avoided, machine, enableIpv6, hasGateway }: NetworkFacts & { enableIpv6: boolean; hasGateway: boolean },
): IpamConfig[] {
  if (asked.length > MOST_SUBNETS) throw bad(`a network has at most ${MOST_SUBNETS} subnets`);
  const pools: IpamConfig[] = [];
  for (const config of asked) {
    if (!config.Subnet) {
      if (config.IPRange || config.Gateway || Object.keys(config.AuxiliaryAddresses ?? {}).length > 0)
        throw bad('invalid network config: a range, a gateway and auxiliary addresses need a subnet');
      continue;
    }
    pools.push(planPool(config, config.Subnet, { used: [...used, ...pools.map(({ Subnet }) => Subnet)], hasGateway }));
  }
  const has = (sign: ':' | '.') => pools.some(({ Subnet }) => Subnet.includes(sign));
  const taken = [...used, ...avoided];
  if (!has('.')) pools.unshift(withGateway({ Subnet: planSubnet(taken) }, hasGateway));
  if (enableIpv6 && !has(':')) pools.push(withGateway({ Subnet: planIpv6Subnet(taken, machine) }, hasGateway));
  // Without IPv6 a subnet of it says nothing, as in docker.
  return enableIpv6 ? pools : pools.filter(({ Subnet }) => !Subnet.includes(':'));
}

function planPool(
  config: Partial<IpamConfig>,
  text: string,
  { used, hasGateway }: { used: readonly string[]; hasGateway: boolean },
): IpamConfig {
  const subnet = parseIpNetwork(text);
  if (!subnet) throw bad(`invalid subnet ${text.slice(0, 64)}: invalid CIDR block notation`);
  const Subnet = formatIpNetwork(subnet);
  const name = text.split('/')[0] ?? '';
  if (formatIp(parseIp(name)!) !== Subnet.split('/')[0])
    throw bad(`invalid network config:\ninvalid subnet ${text}: it should be ${Subnet}`);
  if (subnet.prefixLength > (subnet.family === 4 ? 31 : 127)) throw bad(`subnet ${Subnet} has no room for a container`);
  const other = overlapWith(Subnet, used);
  if (other)
    throw new UmiakError('Forbidden', 'invalid pool request: Pool overlaps with other one on this address space', {
      details: { name: other },
    });
  const within = (what: string, address: string) => {
    const parsed = parseIp(address);
    if (!parsed || !networkContains(subnet, parsed))
      throw bad(`invalid network config:\ninvalid ${what} ${address.slice(0, 64)}: parent subnet (${Subnet}) doesn't contain it`);
    return formatIp(parsed);
  };
  const range = config.IPRange ? parseIpNetwork(config.IPRange) : undefined;
  if (config.IPRange) {
    if (!range || range.prefixLength < subnet.prefixLength)
      throw bad(`invalid network config:\ninvalid ip-range ${config.IPRange.slice(0, 64)}`);
    within('ip-range', formatIp({ family: range.family, value: range.base }));
  }
  const aux = Object.entries(config.AuxiliaryAddresses ?? {}).map(([key, value]) => [key, within('auxiliary address', value)] as const);
  return withGateway(
    {
      Subnet,
      ...(range ? { IPRange: formatIpNetwork(range) } : {}),
      ...(config.Gateway ? { Gateway: within('gateway', config.Gateway.split('/')[0] ?? '') } : {}),
      ...(aux.length > 0 ? { AuxiliaryAddresses: Object.fromEntries(aux) } : {}),
    },
    hasGateway,
  );
}

/** A bridge always has an address of its own; on another wire the gateway is somebody's, whom docker takes to be the first. */
function withGateway(config: IpamConfig, hasGateway: boolean): IpamConfig {
  if (config.Gateway) return config;
  const reserved = Object.values(config.AuxiliaryAddresses ?? {});
  return { ...config, Gateway: planGateway(config.Subnet, hasGateway ? reserved : []) };
}

function bad(message: string): UmiakError {
  return new UmiakError('BadRequest', message);
}
