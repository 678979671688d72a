import type { FieldCause } from '#base/errors.ts';
import type * as types from './types.gen.ts';
import { checkPortName, checkPortNumber, forbidden, invalid, isCidr, required, validateEnum, validateLabelSelector } from './validation.ts';

/** Whom and what a NetworkPolicy lets through. */
export function validateNetworkPolicySpec(spec: types.NetworkPolicySpec): FieldCause[] {
  const causes = validateLabelSelector(spec.podSelector, 'spec.podSelector');
  spec.ingress?.forEach(({ from, ports }, i) => {
    causes.push(...validatePorts(ports, `spec.ingress[${i}].ports`), ...validatePeers(from, `spec.ingress[${i}].from`));
  });
  spec.egress?.forEach(({ to, ports }, i) => {
    causes.push(...validatePorts(ports, `spec.egress[${i}].ports`), ...validatePeers(to, `spec.egress[${i}].to`));
  });
  const { policyTypes = [] } = spec;
  if (policyTypes.length > 2) return [...causes, invalid('spec.policyTypes', policyTypes, 'may not specify more than two policyTypes')];
  policyTypes.forEach((type, i) => {
    causes.push(...validateEnum(type, ['Egress', 'Ingress'], `spec.policyTypes[${i}]`, true));
  });
  return causes;
}

function validatePorts(ports: types.NetworkPolicyPort[] | undefined, path: string): FieldCause[] {
  return (ports ?? []).flatMap(({ protocol, port, endPort }, i) => {
    const at = `${path}[${i}]`;
    const causes = validateEnum(protocol, ['SCTP', 'TCP', 'UDP'], `${at}.protocol`);
    if (port === undefined) {
      if (endPort !== undefined) causes.push(invalid(`${at}.endPort`, endPort, 'may not be specified when `port` is not specified'));
      return causes;
    }
    if (typeof port === 'string') {
      if (endPort !== undefined) causes.push(invalid(`${at}.endPort`, endPort, 'may not be specified when `port` is non-numeric'));
      return [...causes, ...checkPortName(port).map(why => invalid(`${at}.port`, port, why))];
    }
    causes.push(...checkPortNumber(port).map(why => invalid(`${at}.port`, port, why)));
    if (endPort === undefined) return causes;
    if (endPort < port) causes.push(invalid(`${at}.endPort`, port, 'must be greater than or equal to `port`'));
    return [...causes, ...checkPortNumber(endPort).map(why => invalid(`${at}.endPort`, endPort, why))];
  });
}

function validatePeers(peers: types.NetworkPolicyPeer[] | undefined, path: string): FieldCause[] {
  return (peers ?? []).flatMap(({ podSelector, namespaceSelector, ipBlock }, i) => {
    const at = `${path}[${i}]`;
    if (!podSelector && !namespaceSelector && !ipBlock) return [required(at, 'must specify a peer')];
    const causes = [
      ...validateLabelSelector(podSelector, `${at}.podSelector`),
      ...validateLabelSelector(namespaceSelector, `${at}.namespaceSelector`),
    ];
    if (ipBlock && (podSelector || namespaceSelector)) causes.push(forbidden(at, 'may not specify both ipBlock and another peer'));
    return ipBlock ? [...causes, ...validateBlock(ipBlock, `${at}.ipBlock`)] : causes;
  });
}

function validateBlock({ cidr, except = [] }: types.IPBlock, path: string): FieldCause[] {
  if (!cidr) return [required(`${path}.cidr`)];
  const why = 'must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)';
  if (!isCidr(cidr)) return [invalid(`${path}.cidr`, cidr, why)];
  return except.flatMap((part, i) => {
    const at = `${path}.except[${i}]`;
    if (!isCidr(part)) return [invalid(at, part, why)];
    return isStrictlyWithin(part, cidr) ? [] : [invalid(at, part, 'must be a strict subset of `cidr`')];
  });
}

function isStrictlyWithin(part: string, whole: string): boolean {
  const [inner, outer] = [part, whole].map(text => {
    const [address = '', bits] = text.split('/');
    return { address, bits: Number(bits), isV6: address.includes(':') };
  }) as [{ address: string; bits: number; isV6: boolean }, { address: string; bits: number; isV6: boolean }];
  if (inner.isV6 !== outer.isV6 || inner.bits <= outer.bits) return false;
  return bitsOf(inner.address).slice(0, outer.bits) === bitsOf(outer.address).slice(0, outer.bits);
}

/** The address as zeros and ones. */
function bitsOf(address: string): string {
  if (!address.includes(':'))
    return address
      .split('.')
      .map(byte => Number(byte).toString(2).padStart(8, '0'))
      .join('');
  const [head = '', tail] = address.split('::');
  const groups = (text: string) => (text ? text.split(':') : []);
  const [left, right] = [groups(head), groups(tail ?? '')];
  const middle = tail === undefined ? [] : Array<string>(Math.max(0, 8 - left.length - right.length)).fill('0');
  return [...left, ...middle, ...right].map(group => Number.parseInt(group, 16).toString(2).padStart(16, '0')).join('');
}
