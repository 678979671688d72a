import type { BridgedNetwork, KernelNetwork } from './bridge-network.ts';

/** A port of the machine that leads to a container. */
export interface PublishedRule {
  protocol: 'tcp' | 'udp' | 'sctp';
  /** All of the machine's addresses of the target's family when absent. */
  hostIp?: string;
  hostPort: number;
  /** Where it leads: the container's address, of either family. */
  address: string;
  port: number;
}

/** What the table is made of. */
export interface BridgeTableContent {
  /** The table's name. */
  table: string;
  /** What the links of the machine's pods and of containers on its default network begin with: a network of its own among the others. */
  podLinks: string;
  networks: readonly KernelNetwork[];
  published: readonly PublishedRule[];
}

const MAPS = {
  published4: 'type inet_proto . inet_service : ipv4_addr . inet_service',
  'published-at4': 'type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service',
  published6: 'type inet_proto . inet_service : ipv6_addr . inet_service',
  'published-at6': 'type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service',
} as const;
type MapName = keyof typeof MAPS;

const PORT_KEY = 'meta l4proto . th dport';
const TRANSPORT = 'meta l4proto { tcp, udp, sctp }';

/**
 * The whole table, replacing the one there in the same transaction; connections go on.
 *
 * - Networks are apart: what one of them begins ends at the other's bridge, unless it goes by a published port or a Service (`ct status dnat`).
 * - Nobody outside begins anything with a container's own address; an internal network begins nothing with anybody, nor anybody with it.
 * - Published ports come after the instance's own table (Services, node ports): its chains stand before these.
 */
export function renderBridgeTable({ table, podLinks, networks, published }: BridgeTableContent): string {
  const bridges = networks.filter(network => network.driver === 'bridge');
  const links = (chosen: readonly BridgedNetwork[]) => setOf(chosen.map(({ link }) => `"${link}"`));
  const pods = `"${podLinks}*"`;
  return `add table inet ${table}
delete table inet ${table}
table inet ${table} {
set bridges { type ifname; ${links(bridges)} }
set internal { type ifname; ${links(bridges.filter(({ isInternal }) => isInternal))} }
set talking { type ifname . ifname; ${setOf(bridges.filter(({ isTalking }) => isTalking).map(({ link }) => `"${link}" . "${link}"`))} }
${mapsOf(published)
  .map(([name, elements]) => `map ${name} { ${MAPS[name]}; ${setOf([...elements].map(([key, value]) => `${key} : ${value}`))} }`)
  .join('\n')}
# bridges let loopback addresses through (for published ports on 127.0.0.1): never as a container's destination
chain guard { type filter hook prerouting priority -300; iifname @bridges ip daddr 127.0.0.0/8 drop; }
chain lead {
  ip6 daddr ::1 return
  ${TRANSPORT} dnat ip to ip daddr . ${PORT_KEY} map @published-at4
  ${TRANSPORT} dnat ip to ${PORT_KEY} map @published4
  ${TRANSPORT} dnat ip6 to ip6 daddr . ${PORT_KEY} map @published-at6
  ${TRANSPORT} dnat ip6 to ${PORT_KEY} map @published6
}
chain nat-prerouting { type nat hook prerouting priority -95; fib daddr type local jump lead; }
chain nat-output { type nat hook output priority -95; fib daddr type local jump lead; }
chain nat-postrouting {
  type nat hook postrouting priority 105;
${bridges.flatMap(network => translations(network)).join('\n')}
}
chain forward {
  type filter hook forward priority 0;
  iifname . oifname @talking accept
  iifname @internal drop
  oifname @internal drop
  ct state established,related accept
  ct status dnat accept
  iifname @bridges oifname @bridges drop
  iifname @bridges oifname ${pods} drop
  oifname @bridges drop
}
}
`;
}

/** The commands by which published ports change: one small transaction, empty when nothing does. Pure. */
export function planPublishing(table: string, removed: readonly PublishedRule[], added: readonly PublishedRule[]): string {
  const lines = (command: 'add' | 'delete', rules: readonly PublishedRule[]) =>
    mapsOf(rules).flatMap(([name, elements]) => {
      const list = [...elements].map(([key, value]) => (command === 'add' ? `${key} : ${value}` : key));
      return list.length > 0 ? [`${command} element inet ${table} ${name} { ${list.join(', ')} }\n`] : [];
    });
  return [...lines('delete', removed), ...lines('add', added)].join('');
}

function mapsOf(rules: readonly PublishedRule[]): [MapName, Map<string, string>][] {
  const maps = new Map((Object.keys(MAPS) as MapName[]).map(name => [name, new Map<string, string>()]));
  for (const { protocol, hostIp, hostPort, address, port } of rules) {
    const family = address.includes(':') ? 6 : 4;
    if (hostIp) maps.get(`published-at${family}`)!.set(`${hostIp} . ${protocol} . ${hostPort}`, `${address} . ${port}`);
    else maps.get(`published${family}`)!.set(`${protocol} . ${hostPort}`, `${address} . ${port}`);
  }
  return [...maps];
}

/** Who leaves a network, and who comes back to it by a published port, bears the machine's address. */
function translations({ link, subnets, isMasqueraded, isInternal }: BridgedNetwork): string[] {
  const each = subnets.flatMap(({ subnet }) => {
    const family = subnet.includes(':') ? 'ip6' : 'ip';
    return [
      `  oifname "${link}" ${family} saddr ${subnet} ct status dnat masquerade`,
      ...(isMasqueraded && !isInternal ? [`  oifname != "${link}" ${family} saddr ${subnet} masquerade`] : []),
    ];
  });
  return [`  oifname "${link}" ip saddr 127.0.0.0/8 masquerade`, ...each];
}

function setOf(elements: readonly string[]): string {
  return elements.length > 0 ? `elements = { ${elements.join(', ')} };` : '';
}
