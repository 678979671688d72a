import { closeSync, constants, mkdirSync, openSync, readdirSync, writeFileSync } from 'node:fs';
import { workerData } from 'node:worker_threads';
import { serveCalls } from '#base/worker-calls.ts';
import { inNamespace, type NamespaceKind, pinNamespaces, setHostname, unpinNamespace } from '#linux/namespaces.ts';
import { addAddress, addNeighbour, addRoute, createVeth, linkIndex, linkUp, Netlink, setLinkModes } from '#linux/netlink.ts';
import { type IdRanges, pinUserNamespace } from '#linux/user-namespace.ts';
import { deleteTogether } from './bridge.ts';
import { macOf } from './hardware.ts';
import type { PoolWorkerData } from './network-pool.ts';
import { pinId, pinPath } from './pins.ts';

/** Everything here is synchronous: this thread visits other namespaces, and must be back before anything else runs on it. */
const { pinDir, bridge, vethPrefix } = workerData as PoolWorkerData;
mkdirSync(pinDir, { recursive: true, mode: 0o711 });
const host = new Netlink();

const handlers = {
  /** A namespace with `eth0`, address and default route, the host's route to it, and empty IPC and UTS namespaces beside it. */
  create(id: string, address: string): void {
    const pins = { net: pinPath(pinDir, id, 'net'), ipc: pinPath(pinDir, id, 'ipc'), uts: pinPath(pinDir, id, 'uts') };
    using inside = pinNamespaces(pins, prepare)!;
    try {
      connect(`${vethPrefix}${id}`, pins.net, address, inside);
    } catch (error) {
      handlers.destroy([id]);
      throw error;
    }
  },

  /** The same for a user namespace of its own, whose root owns them. */
  createOwned(id: string, address: string, ids: IdRanges): void {
    handlers.pinOwned(id, ['net', 'ipc', 'uts'], undefined, ids);
    try {
      const path = pinPath(pinDir, id, 'net');
      using inside = inNamespace(path, 'net', () => new Netlink());
      connect(`${vethPrefix}${id}`, path, address, inside);
    } catch (error) {
      handlers.destroy([id]);
      throw error;
    }
  },

  /** A link with address and default route into a namespace of somebody else's. */
  lend(id: string, path: string, ifName: string, address: string): void {
    try {
      using inside = inNamespace(path, 'net', () => new Netlink());
      connect(`${vethPrefix}${id}`, path, address, inside, ifName);
    } catch (error) {
      handlers.destroy([id]);
      throw error;
    }
  },

  /** Which of its parts a lent link lacks. */
  findMissing(id: string, path: string, ifName: string): string[] {
    using inside = inNamespace(path, 'net', () => new Netlink());
    return [
      ...(host.link(`${vethPrefix}${id}`)?.isUp ? [] : [`the machine's link ${vethPrefix}${id}`]),
      ...(inside.link(ifName)?.isUp ? [] : [`the sandbox's link ${ifName}`]),
      ...(inside.uplink()?.name === ifName ? [] : [`the sandbox's default route by ${ifName}`]),
    ];
  },

  /** Only pins, for a pod without a network of its own; a network namespace gets its loopback. */
  pin(id: string, kinds: NamespaceKind[], hostname: string | undefined): void {
    const pins = Object.fromEntries(kinds.map(kind => [kind, pinPath(pinDir, id, kind)]));
    pinNamespaces(pins, () => {
      if (!kinds.includes('net')) return;
      using inside = prepare();
      inside.send(linkUp(1));
    });
    if (hostname !== undefined && pins.uts) setHostname(pins.uts, hostname);
  },

  /** The same with the user namespace that owns them. */
  pinOwned(id: string, kinds: NamespaceKind[], hostname: string | undefined, ids: IdRanges): void {
    const pins = Object.fromEntries(kinds.map(kind => [kind, pinPath(pinDir, id, kind)]));
    pinUserNamespace({ user: pinPath(pinDir, id, 'user'), ...pins }, ids);
    try {
      if (pins.net)
        inNamespace(pins.net, 'net', () => {
          using inside = prepare();
          inside.send(linkUp(1));
        });
      if (hostname !== undefined && pins.uts) setHostname(pins.uts, hostname);
    } catch (error) {
      handlers.unpin([id]);
      throw error;
    }
  },

  /** Lets go of the namespaces; the kernel ends them, and their links, in its own time once nobody is in them. */
  unpin(ids: string[]): void {
    for (const id of ids) for (const kind of ['net', 'ipc', 'uts', 'user'] as const) unpinNamespace(pinPath(pinDir, id, kind));
  },

  /** Lets go, and deletes those links that still stand. */
  destroy(ids: string[]): void {
    handlers.unpin(ids);
    const names = new Set(ids.map(id => `${vethPrefix}${id}`));
    deleteTogether(
      host,
      host.links().filter(link => names.has(link.name)),
    );
  },

  /** What stands: ids of pins, and ids of links. */
  survey(): { pins: string[]; links: string[] } {
    const links = host.links().filter(link => link.name.startsWith(vethPrefix));
    return { pins: [...new Set(readdirSync(pinDir).map(pinId))], links: links.map(link => link.name.slice(vethPrefix.length)) };
  },
};

export type PoolHandlers = typeof handlers;

/** In the new network namespace: what docker and containerd allow there to users other than root, ports below 1024 and ping. */
function prepare(): Netlink {
  writeFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', '0');
  writeFileSync('/proc/sys/net/ipv4/ping_group_range', '0 2147483647');
  return new Netlink();
}

function connect(name: string, path: string, address: string, inside: Netlink, ifName = 'eth0'): void {
  const { gateway, mtu } = bridge;
  const namespaceFd = openSync(path, constants.O_RDONLY);
  try {
    host.send(createVeth({ name, mac: macOf(gateway), mtu, peer: { name: ifName, mac: macOf(address), namespaceFd } }));
  } finally {
    closeSync(namespaceFd);
  }
  const veth = linkIndex(name);
  host.send(
    setLinkModes(veth, { withoutLinkLocal: true, routesLoopback: true }), // loopback: for node ports on 127.0.0.1; the rules guard it
    addRoute({ to: { address, prefixLength: 32 }, source: gateway, index: veth }),
    addNeighbour({ index: veth, address, mac: macOf(address) }),
  );
  const eth0 = inside.link(ifName)!.index;
  // A single address (/32), and everything goes by the gateway: a reply that went another way would miss the host's NAT.
  inside.send(
    linkUp(1),
    setLinkModes(eth0, { withoutLinkLocal: true }),
    linkUp(eth0),
    addAddress({ index: eth0, address, prefixLength: 32 }),
    addRoute({ gateway, index: eth0 }),
    addNeighbour({ index: eth0, address: gateway, mac: macOf(gateway) }),
  );
}

serveCalls(handlers);
