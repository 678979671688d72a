import type { Affinity } from './affinity.ts';
import { gatewayOf } from './ipv4.ts';
import { vethPrefix } from './names.ts';
import { elementsOf, FIRST_LOCAL, listed, SETS, type SetName } from './rule-elements.ts';
import { isServiceRule, type Rule } from './rules.ts';

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

/** Up to how many endpoints the table has chains, and for which timeouts; beyond, it is loaded anew with more. */
export interface Capacity {
  random: number;
  sticky: number;
  /** Of those on this node alone. */
  local: number;
  /** Seconds for which clients are kept. */
  timeouts: readonly number[];
}

const NO_CAPACITY: Capacity = { random: 16, sticky: 0, local: 0, timeouts: [] };

const SERVICE_KEY = 'ip daddr . ip protocol . th dport';
const PORT_KEY = 'ip protocol . th dport';
const TARGET = 'ip daddr . th dport';
const TRANSPORT = 'meta l4proto { tcp, udp, sctp }';

/** In an ICMP error: the destination port of the datagram it is about, behind ICMP's header, an IPv4 header and the source port (RFC 792). */
const UNREACHED_PORT = '@th,240,16';

const DECLARATIONS: Record<SetName, string> = {
  services: `map services { typeof ${SERVICE_KEY} : verdict;`,
  'outside-services': `map outside-services { typeof ${SERVICE_KEY} : verdict;`,
  endpoints: `map endpoints { typeof ${SERVICE_KEY} . numgen random mod 2 : ${TARGET};`,
  unserved: `set unserved { typeof ${SERVICE_KEY};`,
  'node-ports': `map node-ports { typeof ${PORT_KEY} : verdict;`,
  'outside-node-ports': `map outside-node-ports { typeof ${PORT_KEY} : verdict;`,
  'node-endpoints': `map node-endpoints { typeof ${PORT_KEY} . numgen random mod 2 : ${TARGET};`,
  'unserved-node-ports': `set unserved-node-ports { typeof ${PORT_KEY};`,
  remembered: `map remembered { typeof ${SERVICE_KEY} : verdict;`,
  'remembered-node-ports': `map remembered-node-ports { typeof ${PORT_KEY} : verdict;`,
  'host-ports': `map host-ports { typeof ${PORT_KEY} : ${TARGET};`,
  'host-ip-ports': `map host-ip-ports { typeof ${SERVICE_KEY} : ${TARGET};`,
  restricted: `set restricted { typeof ${SERVICE_KEY};`,
  'allowed-sources': `set allowed-sources { typeof ip saddr . ${SERVICE_KEY}; flags interval;`,
};

export interface TableContent {
  rules?: Iterable<Rule>;
  capacity?: Capacity;
  /** Clients that stay with their endpoints. */
  kept?: readonly Affinity[];
}

/**
 * The whole table, replacing the one there in the same transaction.
 *
 * Maps only: `services` and `node-ports` lead to `pick-N` by the number of endpoints, which takes one of them from `endpoints` by a random index
 * (`stick-N`: first the one that the client had; `local-…`: of this node's only).
 * Changing a Service therefore touches map elements alone, whatever the number of Services.
 */
export function renderTable(config: TableConfig, { rules = [], capacity = NO_CAPACITY, kept = [] }: TableContent = {}): string {
  const { instance: table, podCidr, clusterCidr, serviceCidr, nodes = [] } = config;
  const gateway = gatewayOf(podCidr);
  const pods = `"${vethPrefix(table)}*"`;
  const elements = elementsOf(rules);
  const sets = SETS.map(name => `${DECLARATIONS[name]}${elements[name].size > 0 ? ` elements = { ${listed(elements[name])} };` : ''} }`);
  const affinities =
    kept.length > 0 ? ` elements = { ${kept.map(({ key, lifetime, endpoint }) => `${key} ${lifetime} : ${endpoint}`).join(', ')} };` : '';
  const fromNodes = nodes.length > 0 ? `ip saddr { ${nodes.join(', ')} } ip daddr ${gateway} accept;` : '';
  return `add table ip ${table}
delete table ip ${table}
table ip ${table} {
${sets.join('\n')}
# pods that just used a service: should it lead back to the same pod, the reply must pass here
set hairpins { typeof ip saddr . ip daddr; size 65536; flags dynamic,timeout; timeout 1m; }
# clients of sticky services, and where they were led
map affinity { typeof ip saddr . ${SERVICE_KEY} : ${TARGET}; size 65536; flags dynamic,timeout;${affinities} }
${[...pickChains(pods, capacity), ...rememberChains(capacity.timeouts)].join('\n')}
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
# who is outside sees only this node's endpoints of Services whose policy says so
chain from-outside {
  ${SERVICE_KEY} vmap @outside-services
  fib daddr type local ${PORT_KEY} vmap @outside-node-ports
}
chain nat-prerouting { type nat hook prerouting priority -100; ip saddr != ${clusterCidr} jump from-outside; jump destinations; }
chain nat-output { type nat hook output priority -100; jump destinations; }
chain nat-postrouting {
  type nat hook postrouting priority 100;
  ct status dnat jump remember
  oifname ${pods} ip saddr 127.0.0.0/8 snat to ${gateway}
  ip saddr . ip daddr @hairpins ct status dnat snat to ${gateway}
  ip saddr ${podCidr} ip daddr != ${clusterCidr} masquerade
  ip saddr != ${clusterCidr} ip daddr ${clusterCidr} oifname != ${pods} ct status dnat masquerade
}
chain nat-input { type nat hook input priority 100; ct status dnat jump remember; }
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

/** What the rules need of `renderTable`: powers of two, so that growing Services seldom ask for more. */
export function capacityFor(rules: Iterable<Rule>, atLeast: Capacity = NO_CAPACITY): Capacity {
  const capacity = { ...atLeast };
  const timeouts = new Set(atLeast.timeouts);
  const need = (kind: 'random' | 'sticky' | 'local', count: number) => {
    while (capacity[kind] < count) capacity[kind] = Math.max(16, capacity[kind] * 2);
  };
  for (const rule of rules) {
    if (!isServiceRule(rule)) continue;
    const kind = rule.affinitySeconds === undefined ? 'random' : 'sticky';
    if (rule.affinitySeconds !== undefined) timeouts.add(rule.affinitySeconds);
    for (const { endpoints, localEndpoints = [] } of rule.ports) {
      need(kind, Math.max(endpoints.length, localEndpoints.length));
      if (rule.externalPolicyLocal) need('local', localEndpoints.length);
    }
  }
  return { ...capacity, timeouts: [...timeouts] };
}

/** True when a table made for `capacity` has all that is needed. */
export function suffices(capacity: Capacity, { random, sticky, local, timeouts }: Capacity): boolean {
  const { timeouts: known } = capacity;
  return capacity.random >= random && capacity.sticky >= sticky && capacity.local >= local && timeouts.every(each => known.includes(each));
}

function pickChains(pods: string, { random, sticky, local }: Capacity): string[] {
  const hairpin = `iifname ${pods} update @hairpins { ip saddr . ip saddr };`;
  const pick = (name: string, key: string, map: string, first: number, count: number, isSticky: boolean) => {
    const kept = isSticky ? `${TRANSPORT} dnat ip to ip saddr . ${SERVICE_KEY} map @affinity; ` : '';
    const index = `numgen random mod ${count}${first > 0 ? ` offset ${first}` : ''}`;
    return `chain ${name}-${count} { ${hairpin} ${kept}${TRANSPORT} dnat ip to ${key} . ${index} map @${map}; }`;
  };
  const chains = (prefix: string, most: number, first: number, isSticky: boolean) =>
    Array.from({ length: most }, (_, i) => [
      pick(prefix, SERVICE_KEY, 'endpoints', first, i + 1, isSticky),
      pick(`node-${prefix}`, PORT_KEY, 'node-endpoints', first, i + 1, isSticky),
    ]).flat();
  return [
    ...chains('pick', random, 0, false),
    ...chains('stick', sticky, 0, true),
    ...chains('local-pick', local, FIRST_LOCAL, false),
    ...(sticky > 0 ? chains('local-stick', local, FIRST_LOCAL, true) : []),
  ];
}

/** What keeps the endpoint that a client got, once it is known where the packet goes. nftables knows ports of a flow by protocol only. */
function rememberChains(timeouts: readonly number[]): string[] {
  if (timeouts.length === 0) return ['chain remember { }'];
  const each = (rule: (protocol: string) => string) =>
    ['tcp', 'udp', 'sctp'].map(protocol => `  ip protocol ${protocol} ${rule(protocol)}`).join('\n');
  const port = 'ip protocol . ct original proto-dst';
  return [
    ...timeouts.map(seconds => {
      const kept = `ip saddr . ct original ip daddr . ${port} timeout ${seconds}s`;
      return `chain remember-${seconds} {\n${each(() => `update @affinity { ${kept} : ip daddr . th dport }`)}\n}`;
    }),
    `chain remember {\n${each(() => `ct original ip daddr . ${port} vmap @remembered`)}\n${each(() => `${port} vmap @remembered-node-ports`)}\n}`,
  ];
}
