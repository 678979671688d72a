import { type Finding, findingsOf } from './finding.ts';
import { type Listener, readHolders, readListeners } from './listeners.ts';
import type { NetworkTrial } from './scratch-worker.ts';

/** An address that the instance listens on. */
export interface WantedPort {
  what: string;
  protocol: 'tcp' | 'udp';
  host: string;
  port: number;
  /** What to do when another has it. */
  remedy: string;
}

export interface NetworkFacts {
  /** What was tried out in a network of its own; absent: it was not, for lack of privileges. */
  trial?: NetworkTrial | undefined;
  /** Chains of others that drop what no rule of theirs accepts: `ip filter FORWARD`; absent: they could not be read. */
  foreignDrops?: string[] | undefined;
  /** Tables of the older iptables, whose rules can't be read here. */
  legacyTables: string[];
  /** Link with the gateway's address. */
  bridge: string;
  wanted: WantedPort[];
  nodePortRange: { first: number; last: number };
  listeners: Listener[];
  /** Who holds listeners that are in the way, by inode. */
  holders: ReadonlyMap<number, { pid: number; name: string }>;
  /** Processes of this very instance. */
  ownPids: number[];
}

const { ok, fallsBack, missing } = findingsOf('network');

/** Judges links, rules, others' rules and ports. Pure. */
export function planNetwork(facts: NetworkFacts): Finding[] {
  return [
    ...(facts.trial ? planTrial(facts.trial) : []),
    ...planForeignRules(facts),
    ...facts.wanted.map(wanted => planPort(wanted, facts)),
    planNodePorts(facts),
  ];
}

function planTrial({ namespace, bridge, veth, nftables }: NetworkTrial): Finding[] {
  if (namespace !== undefined) return [missing('network namespaces', `None could be made: ${namespace}.`, 'Run umiak as root.')];
  return [
    bridge === undefined
      ? ok('bridge', 'Bridges can be made.')
      : missing('bridge', `None could be made: ${bridge}.`, 'modprobe bridge, or boot a kernel with CONFIG_BRIDGE.'),
    veth === undefined
      ? ok('veth', 'Pairs of links can be made.')
      : missing('veth', `None could be made: ${veth}.`, 'modprobe veth, or boot a kernel with CONFIG_VETH.'),
    nftables === undefined
      ? ok('nftables', "The kernel takes the platform's whole table.")
      : missing(
          'nftables',
          `The platform's table was refused: ${nftables}.`,
          'Install libnftables1; modprobe nf_tables nft_chain_nat nft_masq nft_fib_ipv4 nft_numgen.',
        ),
  ];
}

function planForeignRules({ foreignDrops, legacyTables, bridge }: NetworkFacts): Finding[] {
  const findings = (foreignDrops ?? []).map(chain =>
    fallsBack(
      chain,
      "Another's chain drops what its own rules do not accept, and no rule of ours can accept that: pods may not reach the outside, or the outside pods.",
      `nft insert rule ${chain} iifname "${bridge}" accept; for a forward chain also: nft insert rule ${chain} oifname "${bridge}" accept`,
    ),
  );
  if (foreignDrops?.length === 0) findings.push(ok('firewall', "No chain of another's drops by default what pods send."));
  if (legacyTables.includes('filter')) {
    const says = 'Rules of the older iptables are loaded, which are not read here; a FORWARD policy of DROP keeps pods from the outside.';
    findings.push(
      fallsBack('iptables-legacy', says, `iptables-legacy -S FORWARD shows it; iptables-legacy -I FORWARD -i ${bridge} -j ACCEPT helps`),
    );
  }
  return findings;
}

function planPort(wanted: WantedPort, { listeners, holders, ownPids }: NetworkFacts): Finding {
  const place = `${wanted.host}:${wanted.port}/${wanted.protocol}`;
  const inTheWay = listenersAt(wanted, listeners);
  const taken = inTheWay.find(({ inode }) => !ownPids.includes(holders.get(inode)?.pid ?? 0));
  if (taken) return missing(wanted.what, `${place} is taken by ${describe(holders.get(taken.inode))}.`, wanted.remedy);
  return ok(wanted.what, inTheWay.length > 0 ? `${place} is this instance's.` : `${place} is free.`);
}

function planNodePorts({ listeners, nodePortRange: { first, last } }: NetworkFacts): Finding {
  const ports = [...new Set(listeners.filter(({ port }) => port >= first && port <= last).map(({ port }) => port))].sort((a, b) => a - b);
  if (ports.length === 0) return ok('node ports', `Nothing listens on ${first}-${last}.`);
  const shown = `${ports.slice(0, 5).join(', ')}${ports.length > 5 ? ` and ${ports.length - 5} more` : ''}`;
  const says = `Programs listen on ${shown}, which are of the range ${first}-${last}: a Service that gets such a port takes it from them.`;
  return fallsBack('node ports', says, 'Choose another --node-port-range, or let these programs listen elsewhere.');
}

function listenersAt({ protocol, host, port }: WantedPort, listeners: Listener[]): Listener[] {
  const address = host === 'localhost' ? '127.0.0.1' : host;
  const isEverywhere = ['0.0.0.0', '::'].includes(address);
  return listeners.filter(
    each => each.protocol === protocol && each.port === port && (isEverywhere || each.address === '*' || each.address === address),
  );
}

function describe(holder: { pid: number; name: string } | undefined): string {
  return holder ? `${holder.name} (process ${holder.pid})` : 'another program';
}

/** Reads who listens where, and who is in the way. */
export function readListening(wanted: WantedPort[]): Pick<NetworkFacts, 'listeners' | 'holders'> {
  const listeners = readListeners();
  const inTheWay = wanted.flatMap(each => listenersAt(each, listeners)).map(({ inode }) => inode);
  return { listeners, holders: readHolders(new Set(inTheWay)) };
}
