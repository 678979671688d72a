import { type IpNetwork, ipOfBytes, parseIpNetwork } from '#base/ip-address.ts';
import { attribute, attributes, hardware, linkHeader, maybeMtu, type Netlink, type NetlinkMessage, nest, number, text } from './netlink.ts';

const RTM_NEWLINK = 16;
const RTM_GETLINK = 18;
const RTM_DELROUTE = 25;
const RTM_GETROUTE = 26;
const NLM_F_EXCL = 0x200;
const NLM_F_CREATE = 0x400;

const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_LINK = 5;
const IFLA_MASTER = 10;
const IFLA_LINKINFO = 18;
const IFLA_IFALIAS = 20;
const IFLA_NET_NS_FD = 28;
const INFO_KIND = 1;
const INFO_DATA = 2;
const INFO_SLAVE_KIND = 4;
const INFO_SLAVE_DATA = 5;
const BRPORT_HAIRPIN = 4;
const BRPORT_LEARNING = 8;
const BRPORT_UNICAST_FLOOD = 9;
const BRPORT_FLUSH = 24;
const BRPORT_MCAST_FLOOD = 27;
const BRPORT_BCAST_FLOOD = 30;
const BRPORT_ISOLATED = 33;
const RT_TABLE_MAIN = 254;

const AF_INET = 2;
const AF_INET6 = 10;

/** Values of `SyscallError.errno` that callers tell apart. */
export const EOPNOTSUPP = 95;
export const ESRCH = 3;
export const ENOENT = 2;

/** A bridge has no place for another port. */
export const EXFULL = 54;

/** How many ports a bridge of the kernel holds (its port numbers have 10 bits, the first is nobody's). */
export const MOST_BRIDGE_PORTS = 1_023;

/** Makes a link a port of a bridge. */
export function joinBridge(index: number, bridge: number): NetlinkMessage {
  const body = [linkHeader({ index }), number(IFLA_MASTER, bridge)];
  return { what: `join link ${index} to bridge ${bridge}`, type: RTM_NEWLINK, flags: 0, body: Buffer.concat(body) };
}

export interface BridgePortModes {
  /** Frames may go back where they came from: what a rule led to the port's own container. */
  hairpin?: boolean;
  /** Isolated ports reach the bridge, and not each other. */
  isolated?: boolean;
}

/** Sets what a port of a bridge does. */
export function setBridgePort(index: number, { hairpin = false, isolated = false }: BridgePortModes): NetlinkMessage {
  const flag = (type: number, on: boolean) => attribute(type, Buffer.from([on ? 1 : 0]));
  const info = nest(
    IFLA_LINKINFO,
    text(INFO_SLAVE_KIND, 'bridge', false),
    nest(INFO_SLAVE_DATA, flag(BRPORT_HAIRPIN, hairpin), flag(BRPORT_ISOLATED, isolated)),
  );
  return { what: `set modes of port ${index}`, type: RTM_NEWLINK, flags: 0, body: Buffer.concat([linkHeader({ index }), info]) };
}

/** Nothing comes to a port of a bridge from now on, and the bridge forgets who was there; deleting it would wait for the kernel. */
export function silenceBridgePort(index: number): NetlinkMessage {
  const off = [BRPORT_LEARNING, BRPORT_UNICAST_FLOOD, BRPORT_MCAST_FLOOD, BRPORT_BCAST_FLOOD].map(type =>
    attribute(type, Buffer.from([0])),
  );
  const data = nest(INFO_SLAVE_DATA, ...off, attribute(BRPORT_FLUSH, Buffer.alloc(0)));
  const info = nest(IFLA_LINKINFO, text(INFO_SLAVE_KIND, 'bridge', false), data);
  return { what: `silence port ${index}`, type: RTM_NEWLINK, flags: 0, body: Buffer.concat([linkHeader({ index }), info]) };
}

/** The kernel's numbers of the ways in which several macvlans share their parent. */
export const MACVLAN_MODES = { private: 1, vepa: 2, bridge: 4, passthru: 8 } as const;
export type MacvlanMode = keyof typeof MACVLAN_MODES;

export interface MacvlanOptions {
  name: string;
  mac: string;
  /** Index of the link whose wire it shares. */
  parent: number;
  mode: MacvlanMode;
  /** An open descriptor of the network namespace in which it appears. */
  namespaceFd: number;
  mtu?: number;
}

/** A link with a hardware address of its own on another link's wire, inside a namespace. */
export function createMacvlan({ name, mac, parent, mode, namespaceFd, mtu }: MacvlanOptions): NetlinkMessage {
  const body = [
    linkHeader({}),
    text(IFLA_IFNAME, name),
    hardware(mac),
    number(IFLA_LINK, parent),
    number(IFLA_NET_NS_FD, namespaceFd),
    ...maybeMtu(mtu),
    nest(IFLA_LINKINFO, text(INFO_KIND, 'macvlan', false), nest(INFO_DATA, number(1, MACVLAN_MODES[mode]))),
  ];
  return { what: `create macvlan ${name}`, type: RTM_NEWLINK, flags: NLM_F_CREATE | NLM_F_EXCL, body: Buffer.concat(body) };
}

/** An 802.1Q link on another one, as docker makes for a parent `eth0.10`. */
export function createVlan({ name, parent, id }: { name: string; parent: number; id: number }): NetlinkMessage {
  const tag = Buffer.alloc(2);
  tag.writeUInt16LE(id);
  const info = nest(IFLA_LINKINFO, text(INFO_KIND, 'vlan', false), nest(INFO_DATA, attribute(1, tag)));
  const body = [linkHeader({}), text(IFLA_IFNAME, name), number(IFLA_LINK, parent), info];
  return { what: `create vlan ${name}`, type: RTM_NEWLINK, flags: NLM_F_CREATE | NLM_F_EXCL, body: Buffer.concat(body) };
}

/** Notes on a link whose it is. */
export function setLinkAlias(index: number, alias: string): NetlinkMessage {
  const body = [linkHeader({ index }), text(IFLA_IFALIAS, alias, false)];
  return { what: `note on link ${index}`, type: RTM_NEWLINK, flags: 0, body: Buffer.concat(body) };
}

/** The notes on this namespace's links, by their names. */
export function readLinkAliases(netlink: Netlink): Map<string, string> {
  const links = netlink.dump({ what: 'list links', type: RTM_GETLINK, flags: 0, body: linkHeader({}) });
  return new Map(
    links.flatMap(link => {
      const parts = attributes(link.subarray(16));
      const [name, alias] = [IFLA_IFNAME, IFLA_IFALIAS].map(type => parts.get(type)?.toString().replaceAll('\0', ''));
      return name && alias ? [[name, alias]] : [];
    }),
  );
}

/** The names of this namespace's links by their hardware addresses. */
export function readHardware(netlink: Netlink): Record<string, string> {
  const links = netlink.dump({ what: 'list links', type: RTM_GETLINK, flags: 0, body: linkHeader({}) });
  return Object.fromEntries(
    links.flatMap(link => {
      const parts = attributes(link.subarray(16));
      const [mac, name] = [parts.get(IFLA_ADDRESS), parts.get(IFLA_IFNAME)?.toString().replaceAll('\0', '')];
      return mac && name ? [[[...mac].map(byte => byte.toString(16).padStart(2, '0')).join(':'), name]] : [];
    }),
  );
}

/** The number of a veth's other end, in the namespace that has it; undefined when there is no such link. */
export function readPeerIndex(netlink: Netlink, name: string): number | undefined {
  const links = netlink
    .dump({ what: 'list links', type: RTM_GETLINK, flags: 0, body: linkHeader({}) })
    .map(link => attributes(link.subarray(16)));
  return links
    .find(parts => parts.get(IFLA_IFNAME)?.toString().replaceAll('\0', '') === name)
    ?.get(IFLA_LINK)
    ?.readUInt32LE(0);
}

/** Gives a link another hardware address; addresses and routes stay. */
export function setHardware(index: number, mac: string): NetlinkMessage {
  return { what: `set address of link ${index}`, type: RTM_NEWLINK, flags: 0, body: Buffer.concat([linkHeader({ index }), hardware(mac)]) };
}

/** Removes the default route by a link, of one family. */
export function deleteDefaultRoute(index: number, family: 4 | 6): NetlinkMessage {
  const header = Buffer.alloc(12);
  header.set([family === 4 ? AF_INET : AF_INET6, 0, 0, 0, RT_TABLE_MAIN, 0, 255 /* of any scope */, 0]);
  return { what: 'delete default route', type: RTM_DELROUTE, flags: 0, body: Buffer.concat([header, number(4, index)]) };
}

/** The networks that the main table leads to, default routes left out. */
export function readRoutes(netlink: Netlink, family: 4 | 6): IpNetwork[] {
  const header = Buffer.alloc(12);
  header[0] = family === 4 ? AF_INET : AF_INET6;
  return netlink.dump({ what: 'list routes', type: RTM_GETROUTE, flags: 0, body: header }).flatMap(route => {
    const [prefixLength = 0, table] = [route[1], route[4]];
    const to = attributes(route.subarray(12)).get(1);
    if (!to || prefixLength === 0 || table !== RT_TABLE_MAIN) return [];
    return parseIpNetwork(`${ipOfBytes(to)}/${prefixLength}`) ?? [];
  });
}
