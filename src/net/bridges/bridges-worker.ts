import { closeSync, constants, existsSync, openSync } from 'node:fs';
import { workerData } from 'node:worker_threads';
import { UmiakError } from '#base/errors.ts';
import { formatIp, formatIpNetwork, parseIpNetwork } from '#base/ip-address.ts';
import { serveCalls } from '#base/worker-calls.ts';
import { SyscallError } from '#linux/libc.ts';
import { inNamespace } from '#linux/namespaces.ts';
import {
  addAddress,
  addNeighbour,
  addRoute,
  createBridge,
  createVeth,
  deleteLink,
  ENODEV,
  linkIndex,
  linkUp,
  Netlink,
  setLinkModes,
} from '#linux/netlink.ts';
import {
  createMacvlan,
  createVlan,
  deleteDefaultRoute,
  ENOENT,
  EOPNOTSUPP,
  ESRCH,
  EXFULL,
  joinBridge,
  MOST_BRIDGE_PORTS,
  readHardware,
  readLinkAliases,
  readPeerIndex,
  readRoutes,
  setBridgePort,
  setHardware,
  setLinkAlias,
  silenceBridgePort,
} from '#linux/netlink-bridge.ts';
import { deleteTogether } from '../bridge.ts';
import { linkLocalOf, macOfId } from '../hardware.ts';
import type { BridgedNetwork, DefaultRoutes, EndpointLink, KernelNetwork, SharedNetwork } from './bridge-network.ts';
import { bridgeAlias, endpointPrefix } from './link-names.ts';

/** Everything here is synchronous: this thread visits other namespaces, and must be back before anything else runs on it. */
const { instance } = workerData as { instance: string };
const host = new Netlink();

const handlers = {
  /** Makes a bridge with its addresses, or sees to it that the one there has them. @throws AlreadyExists when the name is another's */
  createBridge(network: BridgedNetwork): void {
    const there = host.link(network.link);
    if (there && readLinkAliases(host).get(network.link) !== bridgeAlias(instance, network.id))
      throw new UmiakError('AlreadyExists', `cannot create network ${network.id} (${network.link}): a link of that name is there`);
    if (!there) host.send(createBridge({ name: network.link, mac: macOfId(network.id), mtu: network.mtu ?? 1500 }));
    const { index } = host.link(network.link)!;
    const isIpv6 = network.subnets.some(({ subnet }) => subnet.includes(':'));
    host.send(
      setLinkAlias(index, bridgeAlias(instance, network.id)),
      setLinkModes(index, { withoutLinkLocal: true, routesLoopback: true }), // loopback: for ports on 127.0.0.1; the rules guard it
      linkUp(index),
      ...network.subnets.flatMap(({ subnet, gateway }) =>
        gateway ? [addAddress({ index, address: gateway, prefixLength: parseIpNetwork(subnet)!.prefixLength })] : [],
      ),
      ...(isIpv6 ? [addAddress({ index, address: 'fe80::1', prefixLength: 64 })] : []), // a router asks for neighbours by it
    );
  },

  /** Finds the wire that a macvlan shares, makes an 802.1Q link where the name says so. */
  createShared({ parent, id }: SharedNetwork): void {
    if (host.link(parent)) return;
    const tagged = /^(.+)\.(\d{1,4})$/.exec(parent);
    const below = tagged && host.link(tagged[1]!);
    if (!tagged || !below) throw new UmiakError('Invalid', `invalid subinterface vlan name ${parent}, example formatting is eth0.10`);
    try {
      host.send(createVlan({ name: parent, parent: below.index, id: Number(tagged[2]) }));
    } catch (error) {
      if (!(error instanceof SyscallError) || error.errno !== EOPNOTSUPP) throw error;
      throw new UmiakError('NotImplemented', `network ${id}: this machine's kernel has no 802.1Q links (${parent})`);
    }
    const { index } = host.link(parent)!;
    host.send(setLinkAlias(index, bridgeAlias(instance, id)), linkUp(index));
  },

  /** Deletes what was made for a network: its link, if it is ours. Without it, nothing happens. */
  deleteLink(name: string, id: string): void {
    if (readLinkAliases(host).get(name) !== bridgeAlias(instance, id)) return;
    const link = host.link(name);
    if (link) tolerate([ENODEV], () => host.send(deleteLink(link.index)));
  },

  /** A link into a namespace, all or nothing, and then its default routes. */
  attach(network: KernelNetwork, endpoint: EndpointLink, routes: DefaultRoutes): void {
    const namespaceFd = openSync(endpoint.netns, constants.O_RDONLY);
    try {
      if (network.driver === 'bridge') plugIn(network, endpoint, namespaceFd);
      else share(network, endpoint, namespaceFd);
    } finally {
      closeSync(namespaceFd);
    }
    try {
      inNamespace(endpoint.netns, 'net', () => {
        using inside = new Netlink();
        furnish(inside, endpoint);
        setRoutes(inside, routes);
      });
    } catch (error) {
      handlers.detach([{ ...endpoint, isShared: network.driver === 'macvlan' }]);
      throw error;
    }
  },

  /** Deletes links at once, in one grace period of the kernel, and their ends in namespaces with them. */
  detach(endpoints: (Pick<EndpointLink, 'hostLink' | 'netns' | 'ifName'> & { isShared: boolean })[]): void {
    const names = new Set(endpoints.map(({ hostLink }) => hostLink));
    deleteTogether(
      host,
      host.links().filter(link => names.has(link.name)),
    );
    for (const { netns, ifName, isShared } of endpoints) {
      if (!isShared || !existsSync(netns)) continue;
      inNamespace(netns, 'net', () => {
        using inside = new Netlink();
        const link = inside.link(ifName);
        if (link) tolerate([ENODEV], () => inside.send(deleteLink(link.index)));
      });
    }
  },

  /** Ends at once what goes over links whose namespaces are ending. */
  silence(hostLinks: string[]): void {
    for (const name of hostLinks) {
      const index = linkIndex(name);
      if (index > 0) tolerate([ENODEV, EOPNOTSUPP], () => host.send(silenceBridgePort(index)));
    }
  },

  /** Another way out for a namespace. */
  setRoutes(netns: string, routes: DefaultRoutes): void {
    inNamespace(netns, 'net', () => {
      using inside = new Netlink();
      setRoutes(inside, routes);
    });
  },

  /** Another hardware address for a link of the pods' network, whose neighbours are told and never ask. */
  setHardware(netns: string, ifName: string, mac: string, address: string): void {
    const peer = inNamespace(netns, 'net', () => {
      using inside = new Netlink();
      inside.send(setHardware(inside.link(ifName)!.index, mac));
      return readPeerIndex(inside, ifName)!;
    });
    host.send(addNeighbour({ index: peer, address, mac }));
  },

  /** Names by hardware addresses. */
  linksIn(netns: string): Record<string, string> {
    return inNamespace(netns, 'net', () => {
      using inside = new Netlink();
      return readHardware(inside);
    });
  },

  /** Deletes the machine's ends of endpoints that nobody knows; returns those that stand. */
  keepOnly(known: string[]): string[] {
    const prefix = endpointPrefix(instance);
    const links = host.links().filter(({ name }) => name.startsWith(prefix));
    const keep = new Set(known);
    deleteTogether(
      host,
      links.filter(({ name }) => !keep.has(name)),
    );
    return links.flatMap(({ name }) => (keep.has(name) ? [name] : []));
  },

  /** The networks to which this machine has routes, and what its links are called. */
  survey(): { routes: string[]; links: string[] } {
    return {
      routes: ([4, 6] as const).flatMap(family => readRoutes(host, family).map(formatIpNetwork)),
      links: host.links().map(({ name }) => name),
    };
  },
};

export type BridgesHandlers = typeof handlers;

function plugIn(network: BridgedNetwork, { hostLink, ifName, mac }: EndpointLink, namespaceFd: number): void {
  const bridge = host.link(network.link);
  if (!bridge) throw new UmiakError('NotFound', `network ${network.id} has lost its bridge ${network.link}`);
  host.send(
    createVeth({ name: hostLink, mac: macOfId(hostLink), mtu: network.mtu ?? bridge.mtu, peer: { name: ifName, mac, namespaceFd } }),
  );
  const index = linkIndex(hostLink);
  try {
    host.send(setLinkModes(index, { withoutLinkLocal: true }), joinBridge(index, bridge.index));
    host.send(setBridgePort(index, { hairpin: true, isolated: !network.isTalking }));
  } catch (error) {
    host.send(deleteLink(index));
    if (!(error instanceof SyscallError) || error.errno !== EXFULL) throw error;
    throw new UmiakError('ServiceUnavailable', `network ${network.id} is full: a bridge holds ${MOST_BRIDGE_PORTS} containers`, {
      hint: 'Put some of them into another network.',
    });
  }
}

function share(network: SharedNetwork, { ifName, mac }: EndpointLink, namespaceFd: number): void {
  const parent = host.link(network.parent);
  if (!parent) throw new UmiakError('NotFound', `network ${network.id}: the machine's link ${network.parent} is gone`);
  try {
    host.send(createMacvlan({ name: ifName, mac, parent: parent.index, mode: network.mode, namespaceFd, mtu: network.mtu ?? parent.mtu }));
  } catch (error) {
    if (!(error instanceof SyscallError) || error.errno !== EOPNOTSUPP) throw error;
    throw new UmiakError('NotImplemented', `network ${network.id}: this machine's kernel has no macvlan links`);
  }
}

function furnish(inside: Netlink, { ifName, mac, addresses }: EndpointLink): void {
  const { index } = inside.link(ifName)!;
  const add = (isWanted: (address: string) => boolean) =>
    addresses.flatMap(({ address, prefixLength }) => (isWanted(address) ? [addAddress({ index, address, prefixLength })] : []));
  const isIpv6 = addresses.some(({ address }) => address.includes(':'));
  inside.send(
    setLinkModes(index, { withoutLinkLocal: true, announcesItself: true }),
    ...add(address => !address.includes(':')), // announced as it comes up
    linkUp(index),
    ...add(address => address.includes(':')),
    ...(isIpv6 ? [addAddress({ index, address: linkLocalOf(mac), prefixLength: 64 })] : []),
  );
}

function setRoutes(inside: Netlink, { ipv4, ipv6, beside = [] }: DefaultRoutes): void {
  const links = inside.links();
  for (const { to, gateway, ifName } of beside) {
    const link = links.find(({ name }) => name === ifName);
    const { base, family, prefixLength } = parseIpNetwork(to)!;
    if (link) inside.send(addRoute({ to: { address: formatIp({ family, value: base }), prefixLength }, gateway, index: link.index }));
  }
  for (const [family, way] of [
    [4, ipv4],
    [6, ipv6],
  ] as const) {
    const chosen = way && links.find(({ name }) => name === way.ifName);
    for (const { index } of links)
      if (index !== chosen?.index) tolerate([ESRCH, ENOENT, ENODEV], () => inside.send(deleteDefaultRoute(index, family)));
    if (way && chosen) inside.send(addRoute({ gateway: way.gateway, index: chosen.index }));
  }
}

function tolerate(errnos: readonly number[], work: () => void): void {
  try {
    work();
  } catch (error) {
    if (!(error instanceof SyscallError) || !errnos.includes(error.errno)) throw error;
  }
}

serveCalls(handlers);
