import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { createServer, type Socket } from 'node:net';
import { workerData } from 'node:worker_threads';
import { UmiakError } from '#base/errors.ts';
import { serveCalls } from '#base/worker-calls.ts';
import { DnsForwarder } from './dns-forwarder.ts';
import { respond } from './dns-responder.ts';
import type { DnsServerOptions } from './dns-server.ts';
import { type DnsDelta, DnsZones } from './dns-zones.ts';

const IDLE_MS = 10_000;
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
  socket.on('message', async (message, from) => {
    const response = await respond(message, { zones, forwarder, isTcp: false, untilFilled });
    if (response) socket.send(response, from.port, from.address, () => {}); // an asker that has gone
  });
  return new Promise((resolve, reject) => {
    socket.once('error', error => reject(cantListen(port, 'udp', error)));
    socket.bind({ address, port }, () => resolve(socket));
  });
}

function listenTcp(port: number): Promise<number> {
  const server = createServer(serveTcp);
  server.maxConnections = MAX_CONNECTIONS;
  return new Promise((resolve, reject) => {
    server.once('error', error => reject(cantListen(port, 'tcp', error)));
    server.listen({ host: address, port }, () => resolve((server.address() as { port: number }).port));
  });
}

/** One message after another, each after its length in two bytes (RFC 7766). */
function serveTcp(socket: Socket): void {
  let received = Buffer.alloc(0);
  let isBusy = false;
  const serve = async () => {
    if (isBusy) return;
    isBusy = true;
    while (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
      const end = 2 + received.readUInt16BE(0);
      const message = Buffer.from(received.subarray(2, end));
      received = received.subarray(end);
      const response = await respond(message, { zones, forwarder, isTcp: true, untilFilled });
      if (!response) return void socket.destroy();
      const length = Buffer.alloc(2);
      length.writeUInt16BE(response.length);
      socket.write(Buffer.concat([length, response]));
    }
    isBusy = false;
    if (socket.isPaused()) socket.resume();
  };
  socket.setTimeout(IDLE_MS, () => socket.destroy());
  socket.on('error', () => socket.destroy()); // an asker that has gone
  socket.on('data', (data: Buffer) => {
    received = Buffer.concat([received, data]);
    if (received.length > 65537) socket.pause();
    void serve();
  });
}

function cantListen(port: number, protocol: string, error: Error): UmiakError {
  return new UmiakError('AlreadyExists', `DNS can't listen on ${address}:${port}/${protocol}: ${error.message}`, { cause: error });
}

serveCalls(handlers);
