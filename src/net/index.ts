/**
 * The node's network, free of Kubernetes: links, addresses, ready pod networks, nftables rules, port reservations, DNS.
 *
 * - A pod has one address (/32) on a veth that leads straight to the host, which routes to it. Pods have no common wire, so everything they say
 *   passes the host's rules, whether or not br_netfilter is on. The gateway address (first of the node's pod network) is on the link `<instance>0`;
 *   the API and cluster DNS listen there.
 * - Namespaces are pinned by bind mounts below `<runDir>/netns`, without a process; `NetworkPool` makes them ahead and adopts them after a restart.
 * - `RuleTable` holds Services and published ports in one nftables table named after the instance; one change is one small transaction.
 * - What the kernel holds outlives the process on purpose. `removeNetwork` deletes all of an instance by name.
 * - Networks of users' own, with IPv6, and docker's published ports are in `bridges/`, CNI in `cni/`.
 * - Not here: who gets a Service's address, which endpoints are ready, policies.
 */
export * from './bridge.ts';
export * from './dns-server.ts';
export type { DnsDelta, DnsEntry, DnsRecords } from './dns-zones.ts';
export { gatewayOf } from './ipv4.ts';
export * from './network-pool.ts';
export * from './nft-rules.ts';
export * from './nft-transactions.ts';
export * from './port-reservations.ts';
export * from './remove-network.ts';
export { parseResolvConf } from './resolv-conf.ts';
export * from './rule-table.ts';
export * from './rules.ts';
