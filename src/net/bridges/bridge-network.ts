/** What one network is to the kernel, free of docker's words. */

export interface Subnet {
  /** `172.18.0.0/16` or an IPv6 one. */
  subnet: string;
  /** The router's address in it: a bridge bears it itself. Absent on another machine's wire without a way out. */
  gateway?: string;
}

interface Common {
  id: string;
  subnets: readonly Subnet[];
  /** Nothing goes out of it and nothing comes in. */
  isInternal: boolean;
  mtu?: number;
}

/** A wire of the machine's own. */
export interface BridgedNetwork extends Common {
  driver: 'bridge';
  /** The bridge's link. */
  link: string;
  /** What leaves it bears the machine's address. */
  isMasqueraded: boolean;
  /** Its containers may talk to each other. */
  isTalking: boolean;
}

/** The wire of one of the machine's own links. */
export interface SharedNetwork extends Common {
  driver: 'macvlan';
  /** The machine's link, or `<link>.<id>` of an 802.1Q network on it. */
  parent: string;
  mode: 'private' | 'vepa' | 'bridge' | 'passthru';
}

export type KernelNetwork = BridgedNetwork | SharedNetwork;

/** One link into a namespace. */
export interface EndpointLink {
  /** The machine's end; of a macvlan there is none, and it is a name only. */
  hostLink: string;
  /** Path of the namespace. */
  netns: string;
  /** Its name in there. */
  ifName: string;
  mac: string;
  addresses: readonly { address: string; prefixLength: number }[];
}

/** Where a namespace sends what it has no route for, by family. */
export interface DefaultRoutes {
  ipv4?: { gateway: string; ifName: string };
  ipv6?: { gateway: string; ifName: string };
  /** Networks behind a gateway that is not the way out. */
  beside?: readonly { to: string; gateway: string; ifName: string }[];
}
