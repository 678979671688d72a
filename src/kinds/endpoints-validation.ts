import type { FieldCause } from '#base/errors.ts';
import type { EndpointAddress, EndpointPort, EndpointSubset } from './types.gen.ts';
import { checkDnsLabel, checkDnsSubdomain, checkPortNumber, invalid, isIp, required, validateEnum } from './validation.ts';

/** Addresses and ports that belong together. */
export function validateEndpointSubset({ addresses = [], notReadyAddresses = [], ports = [] }: EndpointSubset, at: string): FieldCause[] {
  const causes: FieldCause[] = [];
  if (addresses.length === 0 && notReadyAddresses.length === 0)
    causes.push(required(at, 'must specify `addresses` or `notReadyAddresses`'));
  for (const [list, given] of Object.entries({ addresses, notReadyAddresses }))
    causes.push(...given.flatMap((address, i) => validateAddress(address, `${at}.${list}[${i}]`)));
  return [...causes, ...ports.flatMap((port, i) => validatePort(port, ports.length > 1, `${at}.ports[${i}]`))];
}

function validateAddress({ ip, hostname, nodeName }: EndpointAddress, at: string): FieldCause[] {
  const causes = isIp(ip)
    ? checkReachable(ip).map(why => invalid(`${at}.ip`, ip, why))
    : [invalid(`${at}.ip`, ip, 'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)')];
  if (hostname) causes.push(...checkDnsLabel(hostname).map(why => invalid(`${at}.hostname`, hostname, why)));
  if (nodeName) causes.push(...checkDnsSubdomain(nodeName).map(why => invalid(`${at}.nodeName`, nodeName, why)));
  return causes;
}

function validatePort({ name, port, protocol }: EndpointPort, needsName: boolean, at: string): FieldCause[] {
  const causes = name || !needsName ? [] : [required(`${at}.name`)];
  if (name) causes.push(...checkDnsLabel(name).map(why => invalid(`${at}.name`, name, why)));
  causes.push(...checkPortNumber(port).map(why => invalid(`${at}.port`, port, why)));
  return [...causes, ...validateEnum(protocol, ['SCTP', 'TCP', 'UDP'], `${at}.protocol`, true)];
}

/** Why nobody else could reach that address; empty: they could. */
export function checkReachable(address: string): string[] {
  if (/^0\.0\.0\.0$|^::$/.test(address)) return [`may not be unspecified (${address})`];
  if (/^127\.|^::1$/.test(address)) return ['may not be in the loopback range (127.0.0.0/8, ::1/128)'];
  if (/^169\.254\.|^fe[89ab]/i.test(address)) return ['may not be in the link-local range (169.254.0.0/16, fe80::/10)'];
  if (/^224\.0\.0\.|^ff02:/i.test(address)) return ['may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)'];
  return [];
}
