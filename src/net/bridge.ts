import { SyscallError } from '#linux/libc.ts';
import {
  addAddress,
  addRoute,
  createBridge,
  deleteGroup,
  deleteLink,
  EEXIST,
  ENODEV,
  joinGroup,
  type Link,
  linkUp,
  Netlink,
} from '#linux/netlink.ts';
import { macOf } from './hardware.ts';
import { gatewayOf, parseCidr, toAddress } from './ipv4.ts';
import { bridgeName, vethPrefix } from './names.ts';

/** Records a change of kernel state and makes it; whoever injects it undoes them all with the last `down`. */
export interface KernelChanges {
  /** Writes a sysctl by its path below `/proc/sys`, e.g. `net/ipv4/ip_forward`, after recording its old value. */
  sysctl(path: string, value: string): Promise<void>;
}

export interface BridgeOptions {
  /** Prefix of all names that this instance gives: bridge `<instance>0`. */
  instance: string;
  /** The node's pod network; its first address is the bridge's. */
  podCidr: string;
  /** Services' network: routed to the bridge, so that the host itself reaches ClusterIPs. */
  serviceCidr: string;
  kernel: KernelChanges;
  /** That of the default route's link when absent. */
  mtu?: number;
}

/**
 * The link that bears the gateway address of an instance's pods. The pods' own links lead to the host one by one and are no ports of it: where
 * br_netfilter is on, a bridge delivers what a Service's rule redirected behind the router's back.
 */
export interface Bridge {
  name: string;
  /** Its address: the pods' gateway, and where the API and cluster DNS listen for them. */
  gateway: string;
  mtu: number;
}

/** Makes the instance's bridge, or takes over the one that is there: address, route to Services, forwarding. May be called again at any time. */
export async function ensureBridge({ instance, podCidr, serviceCidr, kernel, mtu }: BridgeOptions): Promise<Bridge> {
  const name = bridgeName(instance);
  const gateway = gatewayOf(podCidr);
  using netlink = new Netlink();
  const size = mtu ?? netlink.uplink()?.mtu ?? 1500;
  tolerate(EEXIST, () => netlink.send(createBridge({ name, mac: macOf(gateway), mtu: size })));
  const index = netlink.link(name)!.index;
  const services = parseCidr(serviceCidr);
  netlink.send(
    linkUp(index),
    addAddress({ index, address: gateway, prefixLength: 32 }),
    addRoute({ to: { address: toAddress(services.base), prefixLength: services.prefixLength }, source: gateway, index }),
  );
  await kernel.sysctl('net/ipv4/ip_forward', '1');
  return { name, gateway, mtu: size };
}

/** Deletes the instance's bridge and all links of its pods, at once and in one grace period of the kernel. Without any, nothing happens. */
export function deleteLinks(instance: string): void {
  using netlink = new Netlink();
  const bridge = netlink.link(bridgeName(instance));
  const isOurs = (link: Link) => link.name.startsWith(vethPrefix(instance)) || (bridge !== undefined && link.master === bridge.index);
  deleteTogether(netlink, netlink.links().filter(isOurs));
  if (bridge) tolerate(ENODEV, () => netlink.send(deleteLink(bridge.index)));
}

/** Deletes links in one grace period (tens of milliseconds) instead of one each; those that have gone meanwhile are fine. */
export function deleteTogether(netlink: Netlink, links: readonly Link[]): void {
  if (links.length === 0) return;
  const group = 1 + Math.floor(Math.random() * 0x7ffffffe);
  tolerate(ENODEV, () => netlink.send(...links.map(link => joinGroup(link.index, group))));
  tolerate(ENODEV, () => netlink.send(deleteGroup(group)));
}

function tolerate(errno: number, work: () => void): void {
  try {
    work();
  } catch (error) {
    if (!(error instanceof SyscallError) || error.errno !== errno) throw error;
  }
}
