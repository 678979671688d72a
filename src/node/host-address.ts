import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os';
import { attributes, Netlink } from '#linux/netlink.ts';

/** An IPv4 default route. */
export interface DefaultRoute {
  /** The address that packets by this route bear, if it says one. */
  source?: string | undefined;
  /** Index of its link; names are of no use to tell aliases apart. */
  link: string | undefined;
  metric: number;
}

export interface HostAddressFacts {
  routes: readonly DefaultRoute[];
  interfaces: NodeJS.Dict<NetworkInterfaceInfo[]>;
  /** The bridge's gateway: what serves where the machine has no address of its own. */
  gateway: string;
}

/** Links that lead to containers and virtual machines here, not to the machine from elsewhere. */
const INNER_LINK = /^(docker|br-|veth|virbr|cni|flannel|podman|lxc|umiak)/;

/** The address by which others reach this machine: the default route's, else the first that is not loopback. Pure. */
export function planHostAddress({ routes, interfaces, gateway }: HostAddressFacts): string {
  const addressesOf = (link: string) =>
    (interfaces[link] ?? []).filter(({ family, internal, address }) => family === 'IPv4' && !internal && address !== gateway);
  for (const { source, link } of routes.toSorted((a, b) => a.metric - b.metric)) {
    const address = source ?? (link && addressesOf(link)[0]?.address);
    if (address) return address;
  }
  const outer = Object.keys(interfaces).filter(link => !INNER_LINK.test(link));
  return outer.flatMap(addressesOf)[0]?.address ?? gateway;
}

/** This machine's own address; `gateway`, the bridge's, where it has none. */
export function hostAddressOf(gateway: string): string {
  return planHostAddress({ routes: readDefaultRoutes(), interfaces: networkInterfaces(), gateway });
}

const RTM_GETROUTE = 26;
const AF_INET = 2;
const MAIN_TABLE = 254;
/** `rtmsg`'s length; its attributes follow. */
const ROUTE_HEADER_BYTES = 12;
const RTA_OIF = 4;
const RTA_PRIORITY = 6;
const RTA_PREFSRC = 7;

function readDefaultRoutes(): DefaultRoute[] {
  using netlink = new Netlink();
  const names = new Map(netlink.links().map(({ index, name }) => [index, name]));
  const header = Buffer.alloc(ROUTE_HEADER_BYTES);
  header[0] = AF_INET;
  return netlink
    .dump({ what: 'list routes', type: RTM_GETROUTE, flags: 0, body: header })
    .filter(route => route[0] === AF_INET && route[1] === 0 && route[4] === MAIN_TABLE)
    .map(route => {
      const found = attributes(route.subarray(ROUTE_HEADER_BYTES));
      return {
        source: found.get(RTA_PREFSRC)?.join('.'),
        link: names.get(found.get(RTA_OIF)?.readUInt32LE(0) ?? 0),
        metric: found.get(RTA_PRIORITY)?.readUInt32LE(0) ?? 0,
      };
    });
}
