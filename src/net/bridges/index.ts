/**
 * Networks of people's own: bridges whose containers share a wire, containers on the wire of one of the machine's links (macvlan), ports of
 * the machine that lead to containers, and the DNS that each of their namespaces has of its own.
 *
 * - `bridges.ts` (`bridges-worker.ts`) makes links by netlink and rules by one nftables transaction; `embedded-dns.ts` (`embedded-dns-worker.ts`) answers.
 * - `planSubnet`, `planAddress`, `renderBridgeTable`, `NetworkNames` decide, and are pure.
 * - Bridges bear a note whose they are (`ip link show`: alias), endpoints a prefix, the table the instance's name: `removeBridges` finds all of them.
 * - What the kernel has outlives the process; `restore` makes what is missing and deletes what nobody knows.
 * - Not here: which container is in which network, and docker's words for it (`src/docker/networks`).
 */

export { macOfAddress, parseMac } from '../hardware.ts';
export * from './address-plan.ts';
export type * from './bridge-network.ts';
export { type PublishedRule, renderBridgeTable } from './bridge-rules.ts';
export * from './bridges.ts';
export * from './embedded-dns.ts';
export { bridgeLinkName, endpointLinkName, isLinkName } from './link-names.ts';
export type { NamedEndpoint } from './network-names.ts';
export { DEFAULT_POOLS, overlapWith, planIpv6Subnet, planSubnet } from './subnets.ts';
