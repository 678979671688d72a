import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { createServer } from 'node:net';
import { workerData } from 'node:worker_threads';
import { UmiakError } from '#base/errors.ts';
import { serveCalls } from '#base/worker-calls.ts';
import { DnsForwarder } from './dns-forwarder.ts';
import { respond } from './dns-responder.ts';
import type { DnsServerOptions } from './dns-server.ts';
import { type Responder, serveDnsTcp, serveDnsUdp } from './dns-sockets.ts';
import { type DnsDelta, DnsZones } from './dns-zones.ts';

const MAX_CONNECTIONS = 256;
/** Who asks before the first records have come is answered then, if that is before he asks again (5 s with glibc). */
const PATIENCE_MS = 4_000;
const MAX_WAITING = 1_000;

const { address, zones: names, upstreams, upstreamTimeoutMs } = workerData as DnsServerOptions;
const zones = new DnsZones(names);
const forwarder = new DnsForwarder({ upstreams, ...(upstreamTimeoutMs !== undefined && { timeoutMs: upstreamTimeoutMs }) });

const filled = Promise.withResolvers<void>();
setTimeout(filled.resolve, PATIENCE_MS).unref();
let waiting = 0;
async function untilFilled(): Promise<void> {
  if (waiting >= MAX_WAITING) return;
  waiting++;
  await filled.promise;
  waiting--;
}

const responder: Responder = (message, { isTcp }) => respond(message, { zones, forwarder, isTcp, untilFilled });

const handlers = {
  /** Binds UDP and TCP to the same port and returns it. */
  async listen(port: number): Promise<number> {
    const bound = await listenTcp(port);
    await listenUdp(bound);
    return bound;
  },
  update(delta: DnsDelta): void {
    zones.update(delta);
    filled.resolve();
  },
};

export type DnsHandlers = typeof handlers;

function listenUdp(port: number): Promise<UdpSocket> {
  const socket = createSocket('udp4');
  serveDnsUdp(socket, responder);
  return new Promise((resolve, reject) => {
    socket.on('error', error => reject(cantListen(port, 'udp', error)));
    socket.bind({ address, port }, () => resolve(socket));
  });
}

function listenTcp(port: number): Promise<number> {
  const server = createServer(connection => serveDnsTcp(connection, responder));
  server.maxConnections = MAX_CONNECTIONS;
  return new Promise((resolve, reject) => {
    server.on('error', error => reject(cantListen(port, 'tcp', error)));
    server.listen({ host: address, port }, () => resolve((server.address() as { port: number }).port));
  });
}

function cantListen(port: number, protocol: string, error: Error): UmiakError {
  return new UmiakError('AlreadyExists', `DNS can't listen on ${address}:${port}/${protocol}: ${error.message}`, { cause: error });
}

serveCalls(handlers);
