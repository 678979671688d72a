import { toNumber } from './ipv4.ts';
import { type Endpoint, type HostPortRule, isServiceRule, type Rule, type ServiceRule } from './rules.ts';

/** The table's sets and maps that rules fill. */
export const SETS = [
  'services',
  'outside-services',
  'endpoints',
  'unserved',
  'node-ports',
  'outside-node-ports',
  'node-endpoints',
  'unserved-node-ports',
  'remembered',
  'remembered-node-ports',
  'host-ports',
  'host-ip-ports',
  'restricted',
  'allowed-sources',
] as const;
export type SetName = (typeof SETS)[number];

/** What rules put into the table's sets and maps: value by key, an empty value in a set. */
export type Elements = Record<SetName, Map<string, string>>;

/** Endpoints of this node, for those who come from outside, count from here where all endpoints stand too. */
export const FIRST_LOCAL = 32_768;

/** The commands by which one rule becomes another (or appears, or goes): one small transaction. Empty when nothing changes. */
export function planServiceChange(table: string, before: Rule | undefined, after: Rule | undefined): string {
  return planRuleChanges(table, before ? [before] : [], after ? [after] : []);
}

/** The same for several rules at once; a port may pass from one rule to another. */
export function planRuleChanges(table: string, before: Iterable<Rule>, after: Iterable<Rule>): string {
  const [old, now] = [elementsOf(before), elementsOf(after)];
  const removed: string[] = [];
  const added: string[] = [];
  for (const set of SETS) {
    const gone = [...old[set]].filter(([key, value]) => now[set].get(key) !== value).map(([key]) => key);
    const fresh = new Map([...now[set]].filter(([key, value]) => old[set].get(key) !== value));
    if (gone.length > 0) removed.push(`delete element ip ${table} ${set} { ${gone.join(', ')} }\n`);
    if (fresh.size > 0) added.push(`add element ip ${table} ${set} { ${listed(fresh)} }\n`);
  }
  return [...removed, ...added].join('');
}

/** What all rules together put into the table. */
export function elementsOf(rules: Iterable<Rule>): Elements {
  const elements = Object.fromEntries(SETS.map(name => [name, new Map<string, string>()])) as Elements;
  for (const rule of rules) {
    if (isServiceRule(rule)) addService(elements, rule);
    else addHostPort(elements, rule);
  }
  return elements;
}

/** `key : value, key : value`, as nft reads it. */
export function listed(elements: Map<string, string>): string {
  return [...elements].map(([key, value]) => (value ? `${key} : ${value}` : key)).join(', ');
}

function addService(elements: Elements, rule: ServiceRule): void {
  const { addresses, externalAddresses = [], ports, internalPolicyLocal, externalPolicyLocal, affinitySeconds } = rule;
  addRestrictions(elements, rule);
  for (const { protocol, port, nodePort, endpoints, localEndpoints = [] } of ports) {
    const [all, local] = [ordered(endpoints), ordered(localEndpoints)];
    const target: Target = { all, chosen: all, seconds: affinitySeconds };
    const external: Target = externalPolicyLocal ? { ...target, local } : target;
    for (const address of addresses) {
      addTarget(elements, SERVICE, `${address} . ${protocol} . ${port}`, internalPolicyLocal ? { ...target, chosen: local } : target);
    }
    for (const address of externalAddresses) addTarget(elements, SERVICE, `${address} . ${protocol} . ${port}`, external);
    if (nodePort !== undefined) addTarget(elements, NODE_PORT, `${protocol} . ${nodePort}`, external);
  }
}

/** The sets of what is reached by an address, and of what is reached by a node's port; a prefix for the chains. */
const SERVICE = { chains: '', to: 'services', outside: 'outside-services', at: 'endpoints', none: 'unserved', kept: 'remembered' } as const;
const NODE_PORT = {
  chains: 'node-',
  to: 'node-ports',
  outside: 'outside-node-ports',
  at: 'node-endpoints',
  none: 'unserved-node-ports',
  kept: 'remembered-node-ports',
} as const;

interface Target {
  /** In the whole cluster: where there is none anywhere it is refused, where there is none to choose it is dropped. */
  all: readonly Endpoint[];
  chosen: readonly Endpoint[];
  /** For those outside, where they are led elsewhere. */
  local?: readonly Endpoint[];
  seconds: number | undefined;
}

function addTarget(elements: Elements, sets: typeof SERVICE | typeof NODE_PORT, key: string, target: Target): void {
  const { all, chosen, local, seconds } = target;
  const kind = seconds === undefined ? 'pick' : 'stick';
  if (all.length === 0) {
    elements[sets.none].set(key, '');
    return;
  }
  const lead = (set: SetName, chains: string, endpoints: readonly Endpoint[], first: number) => {
    elements[set].set(key, endpoints.length === 0 ? 'drop' : `goto ${sets.chains}${chains}${kind}-${endpoints.length}`);
    endpoints.forEach(({ address, port }, n) => void elements[sets.at].set(`${key} . ${first + n}`, `${address} . ${port}`));
  };
  lead(sets.to, '', chosen, 0);
  if (local) lead(sets.outside, 'local-', local, FIRST_LOCAL);
  if (seconds !== undefined) elements[sets.kept].set(key, `goto remember-${seconds}`);
}

function addRestrictions(elements: Elements, { ports, restricted }: ServiceRule): void {
  if (!restricted) return;
  const sources = widest(restricted.sources);
  for (const { protocol, port } of ports)
    for (const address of restricted.addresses) {
      const key = `${address} . ${protocol} . ${port}`;
      elements.restricted.set(key, '');
      for (const source of sources) elements['allowed-sources'].set(`${source} . ${key}`, '');
    }
}

function ordered(endpoints: readonly Endpoint[]): Endpoint[] {
  return endpoints.toSorted((a, b) => toNumber(a.address) - toNumber(b.address) || a.port - b.port);
}

/** The ranges that lie in no other: the kernel takes no overlapping ones. */
function widest(ranges: readonly string[]): string[] {
  const cidrs = [...new Set(ranges)].map(range => {
    const [address = '', bits = '32'] = range.split('/');
    const size = 2 ** (32 - Number(bits));
    const first = toNumber(address) - (toNumber(address) % size);
    return { range, first, last: first + size - 1 };
  });
  const lies = (a: (typeof cidrs)[number], b: (typeof cidrs)[number]) =>
    a !== b && a.first >= b.first && a.last <= b.last && (a.first !== b.first || a.last !== b.last || cidrs.indexOf(a) > cidrs.indexOf(b));
  return cidrs.filter(each => !cidrs.some(other => lies(each, other))).map(({ range }) => range);
}

function addHostPort(elements: Elements, { hostIp, protocol, hostPort, address, port }: HostPortRule): void {
  if (hostIp && hostIp !== '0.0.0.0') elements['host-ip-ports'].set(`${hostIp} . ${protocol} . ${hostPort}`, `${address} . ${port}`);
  else elements['host-ports'].set(`${protocol} . ${hostPort}`, `${address} . ${port}`);
}
