import { bytesOfIp } from '#base/ip-address.ts';
import { check, declare, SyscallError } from './libc.ts';

const socketCall = declare('int socket(int domain, int type, int protocol)');
const sendCall = declare('long send(int fd, const void *data, long length, int flags)');
const recvCall = declare('long recv(int fd, _Out_ void *data, long length, int flags)');
const closeCall = declare('int close(int fd)');
const ifNameToIndexCall = declare('unsigned int if_nametoindex(const char *name)');

const AF_INET = 2;
const AF_INET6 = 10;
const AF_NETLINK = 16;
const SOCK_RAW_CLOEXEC = 3 | 0o2000000;

const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLM_F_REQUEST = 0x1;
const NLM_F_ACK = 0x4;
const NLM_F_DUMP = 0x300;
const NLM_F_REPLACE = 0x100;
const NLM_F_EXCL = 0x200;
const NLM_F_CREATE = 0x400;

const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
const RTM_GETLINK = 18;
const RTM_NEWADDR = 20;
const RTM_NEWROUTE = 24;
const RTM_GETROUTE = 26;
const RTM_NEWNEIGH = 28;

const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_MASTER = 10;
const IFLA_LINKINFO = 18;
const IFLA_STATS64 = 23;
const IFLA_AF_SPEC = 26;
const IFLA_GROUP = 27;
const IFLA_NET_NS_FD = 28;
const IFF_UP = 1;

/** Values of `SyscallError.errno` that callers tell apart. */
export const ENODEV = 19;
export const EEXIST = 17;

/** One network interface, as a dump reports it. */
export interface Link {
  index: number;
  name: string;
  /** Index of the bridge it is a port of, 0 when none. */
  master: number;
  mtu: number;
  isUp: boolean;
}

/** What went over a link since it was made. */
export interface LinkCounters {
  name: string;
  rxPackets: number;
  txPackets: number;
  rxBytes: number;
  txBytes: number;
  rxErrors: number;
  txErrors: number;
  rxDropped: number;
  txDropped: number;
}

/** A request to rtnetlink with a name for error messages. */
export interface NetlinkMessage {
  what: string;
  type: number;
  flags: number;
  body: Buffer;
}

/** Netlink's families that are spoken here. */
const NETLINK_ROUTE = 0;
export const NETLINK_NETFILTER = 12;

/** A netlink socket of the network namespace that the calling thread is in when it is made. All calls are synchronous. */
export class Netlink {
  #fd: number;
  #sequence = 0;
  #buffer = Buffer.alloc(65536);

  constructor(family = NETLINK_ROUTE) {
    this.#fd = check(socketCall(AF_NETLINK, SOCK_RAW_CLOEXEC, family), 'netlink socket');
  }

  /**
   * Sends all messages at once and waits for each one's answer.
   * @throws SyscallError naming the first message that the kernel refused; later ones were tried nevertheless
   */
  send(...messages: NetlinkMessage[]): void {
    const first = this.#sequence + 1;
    const packet = Buffer.concat(messages.map(message => this.#encode(message, NLM_F_ACK)));
    check(Number(sendCall(this.#fd, packet, packet.length, 0)), 'netlink send');
    let failure: SyscallError | undefined;
    for (let answered = 0; answered < messages.length; )
      for (const { type, sequence, payload } of this.#receive()) {
        if (type !== NLMSG_ERROR || sequence < first) continue;
        answered++;
        const errno = -payload.readInt32LE(0);
        if (errno) failure ??= new SyscallError(messages[sequence - first]!.what, errno);
      }
    if (failure) throw failure;
  }

  /** The link of that name, or undefined. */
  link(name: string): Link | undefined {
    const index = this.#ask({
      what: `find link ${name}`,
      type: RTM_GETLINK,
      flags: 0,
      body: Buffer.concat([linkHeader({}), text(IFLA_IFNAME, name)]),
    });
    return index && toLink(index);
  }

  /** All links of this network namespace. */
  links(): Link[] {
    return this.dump({ what: 'list links', type: RTM_GETLINK, flags: 0, body: linkHeader({}) }).map(toLink);
  }

  /** The same links' counters. */
  counters(): LinkCounters[] {
    return this.dump({ what: 'list links', type: RTM_GETLINK, flags: 0, body: linkHeader({}) }).map(toCounters);
  }

  /** The link that the IPv4 default route leads to, or undefined without one. */
  uplink(): Link | undefined {
    const header = Buffer.alloc(12);
    header[0] = AF_INET;
    const routes = this.dump({ what: 'list routes', type: RTM_GETROUTE, flags: 0, body: header });
    const isDefault = (route: Buffer) => route[0] === AF_INET && route[1] === 0 && route[4] === 254;
    const index = routes.find(isDefault)?.subarray(12);
    const device = index && attributes(index).get(4)?.readUInt32LE(0);
    return this.links().find(link => link.index === device);
  }

  [Symbol.dispose](): void {
    if (this.#fd >= 0) closeCall(this.#fd);
    this.#fd = -1;
  }

  #encode({ type, flags, body }: NetlinkMessage, moreFlags: number): Buffer {
    const header = Buffer.alloc(16);
    header.writeUInt32LE(16 + body.length, 0);
    header.writeUInt16LE(type, 4);
    header.writeUInt16LE(flags | moreFlags | NLM_F_REQUEST, 6);
    header.writeUInt32LE(++this.#sequence, 8);
    return Buffer.concat([header, body]);
  }

  #ask(message: NetlinkMessage): Buffer | undefined {
    const packet = this.#encode(message, 0);
    check(Number(sendCall(this.#fd, packet, packet.length, 0)), message.what);
    for (const { type, payload } of this.#receive()) {
      if (type !== NLMSG_ERROR) return Buffer.from(payload);
      const errno = -payload.readInt32LE(0);
      if (errno === ENODEV) return undefined;
      throw new SyscallError(message.what, errno);
    }
    return undefined;
  }

  /** Everything that a question for lists is answered with, without the messages' headers. */
  dump(message: NetlinkMessage): Buffer[] {
    const packet = this.#encode(message, NLM_F_DUMP);
    check(Number(sendCall(this.#fd, packet, packet.length, 0)), message.what);
    const found: Buffer[] = [];
    for (;;)
      for (const { type, payload } of this.#receive()) {
        if (type === NLMSG_DONE) return found;
        if (type === NLMSG_ERROR) throw new SyscallError(message.what, -payload.readInt32LE(0));
        found.push(Buffer.from(payload));
      }
  }

  *#receive(): Generator<{ type: number; sequence: number; payload: Buffer }> {
    const length = check(Number(recvCall(this.#fd, this.#buffer, this.#buffer.length, 0)), 'netlink receive');
    for (let at = 0; at + 16 <= length; ) {
      const size = this.#buffer.readUInt32LE(at);
      yield {
        type: this.#buffer.readUInt16LE(at + 4),
        sequence: this.#buffer.readUInt32LE(at + 8),
        payload: this.#buffer.subarray(at + 16, at + size),
      };
      at += align(size);
    }
  }
}

/** Index of a link in the calling thread's network namespace, 0 when there is none. */
export function linkIndex(name: string): number {
  return ifNameToIndexCall(name);
}

/** A bridge with a fixed hardware address (else it changes with its ports). */
export function createBridge({ name, mac, mtu }: { name: string; mac: string; mtu?: number }): NetlinkMessage {
  const body = [linkHeader({}), text(IFLA_IFNAME, name), hardware(mac), ...maybeMtu(mtu), nest(IFLA_LINKINFO, text(1, 'bridge', false))];
  return { what: `create bridge ${name}`, type: RTM_NEWLINK, flags: NLM_F_CREATE | NLM_F_EXCL, body: Buffer.concat(body) };
}

export interface VethOptions {
  name: string;
  mac: string;
  peer: { name: string; mac: string /** An open descriptor of its network namespace. */; namespaceFd: number };
  mtu?: number;
}

/** A pair of links: one end UP here, the other DOWN in a namespace (an end that comes up twice costs milliseconds). */
export function createVeth({ name, mac, peer, mtu }: VethOptions): NetlinkMessage {
  const peerLink = [
    linkHeader({}),
    text(IFLA_IFNAME, peer.name),
    hardware(peer.mac),
    number(IFLA_NET_NS_FD, peer.namespaceFd),
    ...maybeMtu(mtu),
  ];
  const info = nest(IFLA_LINKINFO, text(1, 'veth', false), nest(2, nest(1, ...peerLink)));
  const body = [linkHeader({ flags: IFF_UP, change: IFF_UP }), text(IFLA_IFNAME, name), hardware(mac), ...maybeMtu(mtu), info];
  return { what: `create veth ${name}`, type: RTM_NEWLINK, flags: NLM_F_CREATE | NLM_F_EXCL, body: Buffer.concat(body) };
}

export interface LinkModes {
  /** No link-local IPv6 address, hence no duplicate address detection, when the link comes up. */
  withoutLinkLocal?: boolean;
  /** It tells its neighbours of its IPv4 addresses when it comes up (IPV4_DEVCONF_ARP_NOTIFY). */
  announcesItself?: boolean;
  /** Loopback addresses may be routed over it (IPV4_DEVCONF_ROUTE_LOCALNET): whoever sets it must filter what comes in. */
  routesLoopback?: boolean;
}

/** Sets what is otherwise written to the link's files below `/proc/sys/net`. */
export function setLinkModes(
  index: number,
  { withoutLinkLocal = false, announcesItself = false, routesLoopback = false }: LinkModes,
): NetlinkMessage {
  const families: Buffer[] = [];
  if (withoutLinkLocal) families.push(nest(AF_INET6, attribute(8, Buffer.from([1]))));
  if (announcesItself) families.push(nest(AF_INET, nest(1, number(22, 1))));
  if (routesLoopback) families.push(nest(AF_INET, nest(1, number(26, 1))));
  const body = [linkHeader({ index }), nest(IFLA_AF_SPEC, ...families)];
  return { what: `set modes of link ${index}`, type: RTM_NEWLINK, flags: 0, body: Buffer.concat(body) };
}

export function linkUp(index: number): NetlinkMessage {
  return { what: `bring up link ${index}`, type: RTM_NEWLINK, flags: 0, body: linkHeader({ index, flags: IFF_UP, change: IFF_UP }) };
}

/** Puts a link into a group, by which many can be deleted at once. */
export function joinGroup(index: number, group: number): NetlinkMessage {
  return {
    what: `group link ${index}`,
    type: RTM_NEWLINK,
    flags: 0,
    body: Buffer.concat([linkHeader({ index }), number(IFLA_GROUP, group)]),
  };
}

/** Deletes all links of a group in one grace period of the kernel. */
export function deleteGroup(group: number): NetlinkMessage {
  return {
    what: `delete link group ${group}`,
    type: RTM_DELLINK,
    flags: 0,
    body: Buffer.concat([linkHeader({}), number(IFLA_GROUP, group)]),
  };
}

export function deleteLink(index: number): NetlinkMessage {
  return { what: `delete link ${index}`, type: RTM_DELLINK, flags: 0, body: linkHeader({ index }) };
}

/** An address on a link; adding the same again changes nothing. IPv6 ones get IFA_F_NODAD: detection costs 1 to 2 s. */
export function addAddress({ index, address, prefixLength }: { index: number; address: string; prefixLength: number }): NetlinkMessage {
  const header = Buffer.alloc(8);
  header.set([familyOf(address), prefixLength, 0x02 /* IFA_F_NODAD */, 0]);
  header.writeUInt32LE(index, 4);
  const body = [header, attribute(2, bytesOfIp(address)), attribute(1, bytesOfIp(address))];
  return {
    what: `add address ${address}/${prefixLength}`,
    type: RTM_NEWADDR,
    flags: NLM_F_CREATE | NLM_F_REPLACE,
    body: Buffer.concat(body),
  };
}

export interface RouteOptions {
  /** Absent: the default route. */
  to?: { address: string; prefixLength: number };
  /** Need not be on a known network (onlink). Absent: straight to the link. */
  gateway?: string;
  /** The address that this host's own packets bear. */
  source?: string;
  index: number;
}

/** A route in the main table, replacing the one there; IPv4 unless an address in it says otherwise. */
export function addRoute({ to, gateway, source, index }: RouteOptions): NetlinkMessage {
  const header = Buffer.alloc(12);
  header.set([
    familyOf(to?.address ?? gateway ?? source),
    to?.prefixLength ?? 0,
    0,
    0,
    254 /* main */,
    3 /* boot */,
    gateway ? 0 : 253 /* link */,
    1 /* unicast */,
  ]);
  header.writeUInt32LE(gateway ? 4 /* RTNH_F_ONLINK */ : 0, 8);
  const body = [header, number(4, index)];
  if (to) body.push(attribute(1, bytesOfIp(to.address)));
  if (gateway) body.push(attribute(5, bytesOfIp(gateway)));
  if (source) body.push(attribute(7, bytesOfIp(source)));
  const what = `add route to ${to ? `${to.address}/${to.prefixLength}` : 'anywhere'}`;
  return { what, type: RTM_NEWROUTE, flags: NLM_F_CREATE | NLM_F_REPLACE, body: Buffer.concat(body) };
}

/** A neighbour known for good: nobody asks for its hardware address. */
export function addNeighbour({ index, address, mac }: { index: number; address: string; mac: string }): NetlinkMessage {
  const header = Buffer.alloc(12);
  header[0] = familyOf(address);
  header.writeInt32LE(index, 4);
  header.writeUInt16LE(0x80 /* NUD_PERMANENT */, 8);
  const body = [header, attribute(1, bytesOfIp(address)), attribute(2, Buffer.from(mac.replaceAll(':', ''), 'hex'))];
  return { what: `add neighbour ${address}`, type: RTM_NEWNEIGH, flags: NLM_F_CREATE | NLM_F_REPLACE, body: Buffer.concat(body) };
}

function align(length: number): number {
  return (length + 3) & ~3;
}

/** One attribute in netlink's encoding: length, type, data, padding. */
export function attribute(type: number, data: Buffer): Buffer {
  const encoded = Buffer.alloc(align(4 + data.length));
  encoded.writeUInt16LE(4 + data.length, 0);
  encoded.writeUInt16LE(type, 2);
  data.copy(encoded, 4);
  return encoded;
}

/** Attributes inside one. */
export function nest(type: number, ...inner: Buffer[]): Buffer {
  return attribute(type, Buffer.concat(inner));
}

/** An attribute that is text. */
export function text(type: number, value: string, isTerminated = true): Buffer {
  return attribute(type, Buffer.from(isTerminated ? `${value}\0` : value));
}

/** An attribute of 32 bits. */
export function number(type: number, value: number): Buffer {
  const data = Buffer.alloc(4);
  data.writeUInt32LE(value >>> 0);
  return attribute(type, data);
}

/** A link's hardware address. */
export function hardware(mac: string): Buffer {
  return attribute(IFLA_ADDRESS, Buffer.from(mac.replaceAll(':', ''), 'hex'));
}

/** A link's largest packet, if it is said. */
export function maybeMtu(mtu: number | undefined): Buffer[] {
  return mtu === undefined ? [] : [number(IFLA_MTU, mtu)];
}

function familyOf(address: string | undefined): number {
  return address?.includes(':') ? AF_INET6 : AF_INET;
}

/** `ifinfomsg`. */
export function linkHeader({ index = 0, flags = 0, change = 0 }: { index?: number; flags?: number; change?: number }): Buffer {
  const header = Buffer.alloc(16);
  header.writeInt32LE(index, 4);
  header.writeUInt32LE(flags, 8);
  header.writeUInt32LE(change, 12);
  return header;
}

/** Reads a series of attributes, by type. */
export function attributes(data: Buffer): Map<number, Buffer> {
  const found = new Map<number, Buffer>();
  for (let at = 0; at + 4 <= data.length; ) {
    const size = data.readUInt16LE(at);
    if (size < 4) break;
    found.set(data.readUInt16LE(at + 2) & 0x3fff, data.subarray(at + 4, at + size));
    at += align(size);
  }
  return found;
}

/** `rtnl_link_stats64`. */
function toCounters(payload: Buffer): LinkCounters {
  const stats = attributes(payload.subarray(16)).get(IFLA_STATS64);
  const [rxPackets, txPackets, rxBytes, txBytes, rxErrors, txErrors, rxDropped, txDropped] = Array.from({ length: 8 }, (_, i) =>
    stats ? Number(stats.readBigUInt64LE(8 * i)) : 0,
  ) as [number, number, number, number, number, number, number, number];
  return { name: toLink(payload).name, rxPackets, txPackets, rxBytes, txBytes, rxErrors, txErrors, rxDropped, txDropped };
}

function toLink(payload: Buffer): Link {
  const found = attributes(payload.subarray(16));
  const name = found.get(IFLA_IFNAME) ?? Buffer.from('\0');
  return {
    index: payload.readInt32LE(4),
    name: name.toString('utf8', 0, name.length - 1),
    master: found.get(IFLA_MASTER)?.readUInt32LE(0) ?? 0,
    mtu: found.get(IFLA_MTU)?.readUInt32LE(0) ?? 0,
    isUp: (payload.readUInt32LE(8) & IFF_UP) !== 0,
  };
}
