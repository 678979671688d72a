import { gatewayOf, toNumber } from './ipv4.ts';
import { vethPrefix } from './names.ts';

export type Protocol = 'tcp' | 'udp' | 'sctp';

export interface Endpoint {
  address: string;
  port: number;
  /** Runs on this node; matters with `externalPolicyLocal`. */
  isLocal?: boolean;
}

export interface ServicePort {
  protocol: Protocol;
  port: number;
  nodePort?: number;
  endpoints: readonly Endpoint[];
}

/** What one Service means to this node's kernel. A headless one has no addresses, and no rules. */
export interface ServiceRule {
  /** Unique among all rules, e.g. `default/web`. */
  id: string;
  /** ClusterIPs and external addresses. */
  addresses: readonly string[];
  ports: readonly ServicePort[];
  /** Of its addresses, those to which only some may come: `loadBalancerSourceRanges`. */
  restricted?: { addresses: readonly string[]; sources: readonly string[] };
  /** `externalTrafficPolicy: Local`: node ports lead to local endpoints only. */
  externalPolicyLocal?: boolean;
  /** `sessionAffinity: ClientIP`: the endpoint follows from the client's address, as long as the endpoints stay the same; `timeoutSeconds` has no effect. */
  isSticky?: boolean;
}

/** One port of the node that leads to a pod: a container's `hostPort`, or what docker calls a published port. */
export interface HostPortRule {
  /** Unique among all rules, e.g. `hostport/<sandbox>/8080/tcp`. */
  id: string;
  /** All addresses of the node when absent. */
  hostIp?: string;
  protocol: Protocol;
  hostPort: number;
  address: string;
  port: number;
}

export type Rule = ServiceRule | HostPortRule;

/** Where an instance's rules live and what its networks are. */
export interface TableConfig {
  /** Names the table and the pods' links. */
  instance: string;
  /** This node's pods; its first address is their gateway's. */
  podCidr: string;
  /** All nodes' pods. */
  clusterCidr: string;
  serviceCidr: string;
  /** Addresses or networks of other nodes, which may reach the gateway's address too. */
  nodes?: readonly string[];
}

/** Up to how many endpoints the table has chains; beyond, it is loaded anew with more. */
export interface Capacity {
  random: number;
  sticky: number;
}

const SETS = [
  'services',
  'endpoints',
  'unserved',
  'node-ports',
  'node-endpoints',
  'unserved-node-ports',
  'host-ports',
  'host-ip-ports',
  'restricted',
  'allowed-sources',
] as const;
type SetName = (typeof SETS)[number];

/** What rules put into the table's sets and maps: value by key, an empty value in a set. */
type Elements = Record<SetName, Map<string, string>>;

const SERVICE_KEY = 'ip daddr . ip protocol . th dport';
const PORT_KEY = 'ip protocol . th dport';
const TARGET = 'ip daddr . th dport';
const TRANSPORT = 'meta l4proto { tcp, udp, sctp }';

/** In an ICMP error: the destination port of the datagram it is about, behind ICMP's header, an IPv4 header and the source port (RFC 792). */
const UNREACHED_PORT = '@th,240,16';

const DECLARATIONS: Record<SetName, string> = {
  services: `map services { typeof ${SERVICE_KEY} : verdict;`,
  endpoints: `map endpoints { typeof ${SERVICE_KEY} . numgen random mod 2 : ${TARGET};`,
  unserved: `set unserved { typeof ${SERVICE_KEY};`,
  'node-ports': `map node-ports { typeof ${PORT_KEY} : verdict;`,
  'node-endpoints': `map node-endpoints { typeof ${PORT_KEY} . numgen random mod 2 : ${TARGET};`,
  'unserved-node-ports': `set unserved-node-ports { typeof ${PORT_KEY};`,
  'host-ports': `map host-ports { typeof ${PORT_KEY} : ${TARGET};`,
  'host-ip-ports': `map host-ip-ports { typeof ${SERVICE_KEY} : ${TARGET};`,
  restricted: `set restricted { typeof ${SERVICE_KEY};`,
  'allowed-sources': `set allowed-sources { typeof ip saddr . ${SERVICE_KEY}; flags interval;`,
};

/**
 * The whole table, replacing the one there in the same transaction.
 *
 * Maps only: `services` and `node-ports` lead to `pick-N` by the number of endpoints, which takes one of them from `endpoints` by a random index.
 * Changing a Service therefore touches map elements alone, whatever the number of Services.
 */
export function renderTable(config: TableConfig, rules: Iterable<Rule> = [], capacity: Capacity = { random: 16, sticky: 0 }): string {
  const { instance: table, podCidr, clusterCidr, serviceCidr, nodes = [] } = config;
  const gateway = gatewayOf(podCidr);
  const pods = `"${vethPrefix(table)}*"`;
  const elements = elementsOf(rules);
  const sets = SETS.map(name => `${DECLARATIONS[name]}${elements[name].size > 0 ? ` elements = { ${listed(elements[name])} };` : ''} }`);
  const fromNodes = nodes.length > 0 ? `ip saddr { ${nodes.join(', ')} } ip daddr ${gateway} accept;` : '';
  return `add table ip ${table}
delete table ip ${table}
table ip ${table} {
${sets.join('\n')}
# pods that just used a service: should it lead back to the same pod, the reply must pass here
set hairpins { typeof ip saddr . ip daddr; size 65536; flags dynamic,timeout; timeout 1m; }
${pickChains(pods, capacity).join('\n')}
chain local-ports {
  ${PORT_KEY} vmap @node-ports
  iifname ${pods} update @hairpins { ip saddr . ip saddr }
  ${TRANSPORT} dnat ip to ${SERVICE_KEY} map @host-ip-ports
  ${TRANSPORT} dnat ip to ${PORT_KEY} map @host-ports
}
chain destinations {
  ${SERVICE_KEY} vmap @services
  fib daddr type local goto local-ports
}
chain nat-prerouting { type nat hook prerouting priority -100; jump destinations; }
chain nat-output { type nat hook output priority -100; jump destinations; }
chain nat-postrouting {
  type nat hook postrouting priority 100;
  oifname ${pods} ip saddr 127.0.0.0/8 snat to ${gateway}
  ip saddr . ip daddr @hairpins ct status dnat snat to ${gateway}
  ip saddr ${podCidr} ip daddr != ${clusterCidr} masquerade
  ip saddr != ${clusterCidr} ip daddr ${clusterCidr} oifname != ${pods} ct status dnat masquerade
}
# before anything leads elsewhere: addresses to which only some may come
chain restrict { type filter hook prerouting priority -150; ${SERVICE_KEY} @restricted ip saddr . ${SERVICE_KEY} != @allowed-sources drop; }
chain refuse { meta l4proto tcp reject with tcp reset; reject; }
chain refuse-unserved { ${SERVICE_KEY} @unserved goto refuse; ip daddr ${serviceCidr} goto refuse; }
# the pods' links let loopback addresses through (for node ports on 127.0.0.1): never as a pod's destination
chain guard { type filter hook prerouting priority -300; iifname ${pods} ip daddr 127.0.0.0/8 drop; }
# while nobody serves DNS its askers ask again, as for a lost packet: a refusal would be their answer
chain keep-asking {
  type filter hook output priority -300;
  ip saddr ${gateway} icmp type destination-unreachable icmp code port-unreachable ${UNREACHED_PORT} 53 drop
}
chain filter-input {
  type filter hook input priority 0;
  ${fromNodes}
  ip daddr ${gateway} iifname != ${pods} iifname != "lo" drop
  ${SERVICE_KEY} @unserved goto refuse
  ct status ! dnat ${PORT_KEY} @unserved-node-ports goto refuse
}
chain filter-forward { type filter hook forward priority 0; jump refuse-unserved; }
chain filter-output { type filter hook output priority 0; jump refuse-unserved; }
}
`;
}

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

/** A port that led somewhere over UDP and no longer does: flows tracked before the change still would. */
export interface StaleTarget {
  port: number;
  address: string;
  targetPort: number;
}

/** Where datagrams were led before and are not any more; the kernel must forget these flows after the change. */
export function planStaleFlows(before: Iterable<Rule>, after: Iterable<Rule>): StaleTarget[] {
  const [old, now] = [udpTargets(before), udpTargets(after)];
  return [...old].filter(([key]) => !now.has(key)).map(([, target]) => target);
}

function udpTargets(rules: Iterable<Rule>): Map<string, StaleTarget> {
  const targets = new Map<string, StaleTarget>();
  const add = (id: string, port: number, address: string, targetPort: number) =>
    void targets.set(`${id} ${port} ${address} ${targetPort}`, { port, address, targetPort });
  for (const rule of rules) {
    if (!('ports' in rule)) {
      if (rule.protocol === 'udp') add(rule.id, rule.hostPort, rule.address, rule.port);
      continue;
    }
    for (const { protocol, port, nodePort, endpoints } of rule.ports) {
      if (protocol !== 'udp') continue;
      for (const endpoint of endpoints) {
        add(rule.id, port, endpoint.address, endpoint.port);
        if (nodePort !== undefined) add(rule.id, nodePort, endpoint.address, endpoint.port);
      }
    }
  }
  return targets;
}

/** What the rules need of `renderTable`: powers of two, so that growing Services seldom ask for more. */
export function capacityFor(rules: Iterable<Rule>, atLeast: Capacity = { random: 16, sticky: 0 }): Capacity {
  const capacity = { ...atLeast };
  for (const rule of rules) {
    if (!('ports' in rule)) continue;
    const kind = rule.isSticky ? 'sticky' : 'random';
    for (const { endpoints } of rule.ports) while (capacity[kind] < endpoints.length) capacity[kind] = Math.max(16, capacity[kind] * 2);
  }
  return capacity;
}

function pickChains(pods: string, { random, sticky }: Capacity): string[] {
  const hairpin = `iifname ${pods} update @hairpins { ip saddr . ip saddr };`;
  const pick = (name: string, key: string, map: string, index: string) =>
    `chain ${name} { ${hairpin} ${TRANSPORT} dnat ip to ${key} . ${index} map @${map}; }`;
  const both = (kind: string, count: number, index: (n: number) => string) =>
    Array.from({ length: count }, (_, i) => [
      pick(`${kind}-${i + 1}`, SERVICE_KEY, 'endpoints', index(i + 1)),
      pick(`node-${kind}-${i + 1}`, PORT_KEY, 'node-endpoints', index(i + 1)),
    ]).flat();
  return [...both('pick', random, n => `numgen random mod ${n}`), ...both('stick', sticky, n => `jhash ip saddr mod ${n}`)];
}

function elementsOf(rules: Iterable<Rule>): Elements {
  const elements = Object.fromEntries(SETS.map(name => [name, new Map<string, string>()])) as Elements;
  for (const rule of rules) {
    if ('ports' in rule) addService(elements, rule);
    else addHostPort(elements, rule);
  }
  return elements;
}

function addService(elements: Elements, { addresses, ports, externalPolicyLocal, isSticky, restricted }: ServiceRule): void {
  const kind = isSticky ? 'stick' : 'pick';
  for (const { protocol, port } of ports)
    for (const address of restricted?.addresses ?? []) {
      const key = `${address} . ${protocol} . ${port}`;
      elements.restricted.set(key, '');
      for (const source of widest(restricted?.sources ?? [])) elements['allowed-sources'].set(`${source} . ${key}`, '');
    }
  for (const { protocol, port, nodePort, endpoints } of ports) {
    const ordered = endpoints.toSorted((a, b) => toNumber(a.address) - toNumber(b.address) || a.port - b.port);
    for (const address of addresses) {
      const key = `${address} . ${protocol} . ${port}`;
      if (ordered.length === 0) elements.unserved.set(key, '');
      else elements.services.set(key, `goto ${kind}-${ordered.length}`);
      ordered.forEach((endpoint, n) => void elements.endpoints.set(`${key} . ${n}`, `${endpoint.address} . ${endpoint.port}`));
    }
    if (nodePort === undefined) continue;
    const reachable = externalPolicyLocal ? ordered.filter(endpoint => endpoint.isLocal) : ordered;
    const key = `${protocol} . ${nodePort}`;
    if (reachable.length === 0) elements['unserved-node-ports'].set(key, '');
    else elements['node-ports'].set(key, `goto node-${kind}-${reachable.length}`);
    reachable.forEach((endpoint, n) => void elements['node-endpoints'].set(`${key} . ${n}`, `${endpoint.address} . ${endpoint.port}`));
  }
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

function listed(elements: Map<string, string>): string {
  return [...elements].map(([key, value]) => (value ? `${key} : ${value}` : key)).join(', ');
}
