import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { createServer, type Server, type Socket } from 'node:net';
import { UmiakError } from '#base/errors.ts';
import { serveCalls } from '#base/worker-calls.ts';
import { bindSocket } from '#linux/bound-socket.ts';
import { inNamespace } from '#linux/namespaces.ts';
import { DnsForwarder } from '../dns-forwarder.ts';
import { respond } from '../dns-responder.ts';
import { type Responder, serveDnsTcp, serveDnsUdp } from '../dns-sockets.ts';
import { Nftables } from '../libnftables.ts';
import type { DnsAsker } from './embedded-dns.ts';
import { type NamedEndpoint, NetworkNames } from './network-names.ts';

const ADDRESS = '127.0.0.11';
/** Above the ports that connections get by themselves; the same one after a restart, so that what is under way finds it again. */
const PREFERRED_PORT = 61_053;
const MAX_CONNECTIONS = 64;
/** Of one namespace at a time, so that one container does not keep others from being answered. */
const MAX_UNDER_WAY = 512;

interface Served {
  asker: DnsAsker;
  udp: UdpSocket;
  tcp: Server;
  connections: Set<Socket>;
}

const names = new NetworkNames();
const served = new Map<string, Served>();
const forwarders = new Map<string, DnsForwarder>();

const handlers = {
  /** Listens inside the asker's namespace, or, where that is so, takes note of what has changed. */
  async open(asker: DnsAsker): Promise<void> {
    const there = served.get(asker.key);
    if (there?.asker.netns === asker.netns) {
      there.asker = asker;
      return;
    }
    if (there) close(asker.key);
    const [udpFd, tcpFd] = inNamespace(asker.netns, 'net', () => [
      bindSocket('udp', ADDRESS, PREFERRED_PORT),
      bindSocket('tcp', ADDRESS, PREFERRED_PORT),
    ]);
    const udp = createSocket('udp4');
    const tcp = createServer();
    const entry: Served = { asker, udp, tcp, connections: new Set() };
    served.set(asker.key, entry);
    const responder = responderOf(entry);
    serveDnsUdp(udp, responder);
    tcp.maxConnections = MAX_CONNECTIONS;
    tcp.on('connection', socket => {
      entry.connections.add(socket);
      socket.on('close', () => entry.connections.delete(socket));
      serveDnsTcp(socket, responder);
    });
    try {
      await Promise.all([
        new Promise<void>((resolve, reject) => udp.on('error', reject).bind({ fd: udpFd! }, resolve)), // later ones: what was lost is asked again
        new Promise<void>((resolve, reject) => tcp.on('error', reject).listen({ fd: tcpFd! }, resolve)),
      ]);
      lead(asker.netns, udp.address().port, (tcp.address() as { port: number }).port);
    } catch (error) {
      close(asker.key);
      throw error;
    }
  },

  /** Lets go of a namespace. Twice is as good as once. */
  close(key: string): void {
    close(key);
  },

  put(networkId: string, endpoint: NamedEndpoint): void {
    names.put(networkId, endpoint);
  },

  drop(networkId: string, endpointId: string): void {
    names.drop(networkId, endpointId);
  },
};

export type EmbeddedDnsHandlers = typeof handlers;

function close(key: string): void {
  const entry = served.get(key);
  if (!entry) return;
  served.delete(key);
  entry.udp.close();
  entry.tcp.close();
  for (const socket of entry.connections) socket.destroy();
  const asked = new Set([...served.values()].map(({ asker }) => serversOf(asker)));
  for (const servers of forwarders.keys()) if (!asked.has(servers)) forwarders.delete(servers);
}

/**
 * Leads port 53 of the address to where we listen: a container's own server may take port 53 of all addresses. While nobody listens its askers
 * ask again, as for a lost packet: a refusal would be their answer.
 */
function lead(netns: string, udpPort: number, tcpPort: number): void {
  // Without deleting the table that may be there from before, which would wait for the kernel.
  const rules = `table ip umiak-dns {
chain lead { type nat hook output priority -100; }
chain keep-asking { type filter hook output priority -300; }
}
flush chain ip umiak-dns lead
flush chain ip umiak-dns keep-asking
add rule ip umiak-dns lead ip daddr ${ADDRESS} udp dport 53 dnat to ${ADDRESS}:${udpPort}
add rule ip umiak-dns lead ip daddr ${ADDRESS} tcp dport 53 dnat to ${ADDRESS}:${tcpPort}
add rule ip umiak-dns keep-asking ip saddr ${ADDRESS} icmp type destination-unreachable drop
`;
  const { error } = inNamespace(netns, 'net', () => {
    using nftables = new Nftables();
    return nftables.run(rules);
  });
  if (error) throw new UmiakError('InternalError', `DNS could not be led to its port in ${netns}: ${error.trim()}`);
}

function responderOf(entry: Served): Responder {
  let underWay = 0;
  return async (message, { isTcp }) => {
    if (underWay >= MAX_UNDER_WAY) return undefined; // as if it were lost
    underWay++;
    try {
      return await respond(message, {
        zones: { answer: question => names.answer(entry.asker.networks, question) },
        forwarder: forwarderOf(entry.asker),
        isTcp,
        untilFilled: async () => {},
      });
    } finally {
      underWay--;
    }
  };
}

/** One for each list of servers, with its memory of answers. */
function forwarderOf(asker: DnsAsker): DnsForwarder {
  const servers = serversOf(asker);
  const known = forwarders.get(servers) ?? new DnsForwarder({ upstreams: servers ? servers.split(' ') : [] });
  forwarders.set(servers, known);
  return known;
}

function serversOf({ upstreams, isIsolated }: DnsAsker): string {
  return isIsolated ? '' : upstreams.join(' ');
}

serveCalls(handlers);
