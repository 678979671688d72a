import type { IpamConfig, NetworkRecord } from './network-record.ts';

/** A running container in a network, as `network inspect` shows it. */
export interface EndpointResource {
  Name: string;
  EndpointID: string;
  MacAddress: string;
  IPv4Address: string;
  IPv6Address: string;
}

/** `GET /networks/{id}`; of a list `Containers` is always empty before 1.28 and after. */
export function toNetwork(record: NetworkRecord, containers: Record<string, EndpointResource>, apiMinor: number) {
  const { id, name, driver, ipam, options, labels } = record;
  return {
    Name: name,
    Id: id,
    Created: new Date(record.createdAtMs).toISOString(),
    Scope: 'local',
    Driver: driver,
    ...(apiMinor >= 48 ? { EnableIPv4: record.enableIpv4 } : {}),
    EnableIPv6: record.enableIpv6,
    IPAM: {
      Driver: ipam.driver,
      Options: ipam.options,
      Config: ipam.config.length > 0 || driver !== 'bridge' ? ipam.config.map(toIpam) : null,
    },
    Internal: record.internal,
    Attachable: record.attachable,
    Ingress: false,
    ConfigFrom: { Network: '' },
    ConfigOnly: false,
    Containers: containers,
    Options: options,
    Labels: labels,
  };
}

function toIpam({ Subnet, IPRange, Gateway, AuxiliaryAddresses }: IpamConfig) {
  return {
    Subnet,
    ...(IPRange ? { IPRange } : {}),
    ...(Gateway ? { Gateway } : {}),
    ...(AuxiliaryAddresses ? { AuxiliaryAddresses } : {}),
  };
}
