import { createHash } from 'node:crypto';
import { type BridgedNetwork, bridgeLinkName, type SharedNetwork } from '#net/bridges/index.ts';

/** One subnet of a network, in docker's words. */
export interface IpamConfig {
  Subnet: string;
  IPRange?: string;
  Gateway?: string;
  AuxiliaryAddresses?: Record<string, string>;
}

/** A network as it stands on the disk: `<directory>/<id>.json`. */
export interface NetworkRecord {
  version: 1;
  id: string;
  name: string;
  createdAtMs: number;
  /** `host` and `null` are networks that every machine has. */
  driver: 'bridge' | 'macvlan' | 'host' | 'null';
  enableIpv4: boolean;
  enableIpv6: boolean;
  internal: boolean;
  attachable: boolean;
  ipam: { driver: string; options: Record<string, string> | null; config: IpamConfig[] };
  options: Record<string, string>;
  labels: Record<string, string>;
}

/** Names of networks that are always there. */
export const FIXED_NAMES = ['bridge', 'host', 'none'] as const;

/** The networks that are always there: the default one is the pods', so its subnet is theirs. Pure. */
export function fixedNetworks({
  instance,
  podCidr,
  gateway,
  link,
  mtu,
  createdAtMs,
}: {
  instance: string;
  podCidr: string;
  gateway: string;
  /** The link that bears the gateway's address. */
  link: string;
  mtu: number;
  createdAtMs: number;
}): NetworkRecord[] {
  const of = (name: string, driver: NetworkRecord['driver'], more: Partial<NetworkRecord> = {}): NetworkRecord => ({
    version: 1,
    id: createHash('sha256').update(`umiak ${instance} ${name}`).digest('hex'),
    name,
    createdAtMs,
    driver,
    enableIpv4: true,
    enableIpv6: false,
    internal: false,
    attachable: false,
    ipam: { driver: 'default', options: null, config: [] },
    options: {},
    labels: {},
    ...more,
  });
  const options = {
    'com.docker.network.bridge.default_bridge': 'true',
    'com.docker.network.bridge.enable_icc': 'true',
    'com.docker.network.bridge.enable_ip_masquerade': 'true',
    'com.docker.network.bridge.host_binding_ipv4': '0.0.0.0',
    'com.docker.network.bridge.name': link,
    'com.docker.network.driver.mtu': String(mtu),
  };
  const ipam = { driver: 'default', options: null, config: [{ Subnet: podCidr, Gateway: gateway }] };
  return [of('bridge', 'bridge', { ipam, options }), of('host', 'host'), of('none', 'null')];
}

/** What such a network is to the kernel. Pure. */
export function toKernelNetwork(record: NetworkRecord, instance: string): BridgedNetwork | SharedNetwork {
  const { id, options, internal } = record;
  const mtu = Number(options['com.docker.network.driver.mtu'] ?? 0);
  const subnets = record.ipam.config.map(({ Subnet, Gateway }) => ({ subnet: Subnet, ...(Gateway ? { gateway: Gateway } : {}) }));
  const common = { id, subnets, isInternal: internal, ...(mtu > 0 ? { mtu } : {}) };
  if (record.driver === 'macvlan')
    return {
      ...common,
      driver: 'macvlan',
      parent: options.parent ?? '',
      mode: (options.macvlan_mode ?? 'bridge') as SharedNetwork['mode'],
    };
  return {
    ...common,
    driver: 'bridge',
    link: options['com.docker.network.bridge.name'] || bridgeLinkName(instance, id),
    isMasqueraded: options['com.docker.network.bridge.enable_ip_masquerade'] !== 'false',
    isTalking: options['com.docker.network.bridge.enable_icc'] !== 'false',
  };
}
