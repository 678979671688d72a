import type { FieldCause } from '#base/errors.ts';
import { defineKind } from './define-kind.ts';
import { checkReachable } from './endpoints-validation.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';
import {
  checkDnsLabel,
  checkDnsSubdomain,
  checkPortNumber,
  invalid,
  isIpv4,
  isIpv6,
  required,
  tooMany,
  validateEnum,
  validateImmutable,
  validateUnique,
} from './validation.ts';

const MAX_ENDPOINTS = 1000;
const MAX_PORTS = 20_000;
const MAX_ADDRESSES = 100;

/** A part of the addresses behind a Service. */
export const EndpointSlice: Kind<types.EndpointSlice> = defineKind<types.EndpointSlice>('discovery.k8s.io/v1/EndpointSlice', {
  defaults({ ports = [] }) {
    for (const port of ports) {
      port.name ??= '';
      port.protocol ??= 'TCP';
    }
  },
  validate({ addressType, endpoints = [], ports = [] }) {
    const causes = validateEnum(addressType, ['FQDN', 'IPv4', 'IPv6'], 'addressType', true);
    if (endpoints.length > MAX_ENDPOINTS) return [tooMany('endpoints', endpoints.length, MAX_ENDPOINTS)];
    if (ports.length > MAX_PORTS) return [tooMany('ports', ports.length, MAX_PORTS)];
    endpoints.forEach((endpoint, i) => {
      causes.push(...validateEndpoint(endpoint, addressType, `endpoints[${i}]`));
    });
    ports.forEach(({ name, port, protocol }, i) => {
      if (name) causes.push(...checkDnsLabel(name).map(why => invalid(`ports[${i}].name`, name, why)));
      if (port !== undefined) causes.push(...checkPortNumber(port).map(why => invalid(`ports[${i}].port`, port, why)));
      causes.push(...validateEnum(protocol, ['SCTP', 'TCP', 'UDP'], `ports[${i}].protocol`, true));
    });
    causes.push(
      ...validateUnique(
        ports,
        ({ name }) => `${name}`,
        i => `ports[${i}].name`,
      ),
    );
    return causes;
  },
  validateUpdate: ({ addressType }, old) => validateImmutable(addressType, old.addressType, 'addressType'),
  cells: {
    AddressType: ({ addressType }) => addressType,
    Ports: ({ ports = [] }) => firstThree(ports.map(({ port, name }) => (port !== undefined ? String(port) : name || '*'))),
    Endpoints: ({ endpoints = [] }) => firstThree(endpoints.flatMap(({ addresses }) => addresses)),
  },
});
export type EndpointSlice = types.EndpointSlice;

function firstThree(items: string[]): string {
  if (items.length === 0) return '<unset>';
  return items.length <= 3 ? items.join(',') : `${items.slice(0, 3).join(',')} + ${items.length - 3} more...`;
}

function validateEndpoint({ addresses, hostname, nodeName }: types.Endpoint, addressType: string, path: string): FieldCause[] {
  if (addresses.length === 0) return [required(`${path}.addresses`, 'must contain at least 1 endpoint')];
  if (addresses.length > MAX_ADDRESSES) return [tooMany(`${path}.addresses`, addresses.length, MAX_ADDRESSES)];
  const causes: FieldCause[] = addresses.flatMap((address, i) =>
    wrongAddress(address, addressType).map(why => invalid(`${path}.addresses[${i}]`, address, why)),
  );
  if (hostname) causes.push(...checkDnsLabel(hostname).map(why => invalid(`${path}.hostname`, hostname, why)));
  if (nodeName) causes.push(...checkDnsSubdomain(nodeName).map(why => invalid(`${path}.nodeName`, nodeName, why)));
  return causes;
}

function wrongAddress(address: string, addressType: string): string[] {
  if (addressType === 'FQDN') return checkDnsSubdomain(address);
  const fits = addressType === 'IPv6' ? isIpv6(address) : isIpv4(address);
  if (!fits) return [`must be a valid ${addressType} address`];
  return checkReachable(address);
}
