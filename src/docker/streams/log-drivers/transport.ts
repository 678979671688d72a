import { connect, isIPv6, type Socket } from 'node:net';
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import { UnixDatagramSocket } from '#linux/unix-datagram.ts';
import type { SyslogAddress } from './syslog-options.ts';

/** Where messages go, once. Broken, a new one is made. */
export interface Transport extends Disposable {
  /** Resolves when all are on their way. @throws when nobody takes them */
  send(messages: readonly Buffer[]): Promise<void>;
}

const LOCAL_SOCKETS = ['/dev/log', '/var/run/syslog', '/var/run/log'];
const CONNECT_MS = 10_000;
/** While a local receiver has no room. */
const NO_ROOM_MS = 20;
/** Datagrams between two looks at anything else. */
const DATAGRAMS_A_TURN = 256;

/** @throws when nobody listens */
export async function openTransport(address: SyslogAddress): Promise<Transport> {
  switch (address.network) {
    case 'udp':
      return openUdp(address);
    case 'tcp':
    case 'tcp+tls':
      return openStream(await connected(connect({ host: address.host, port: address.port })));
    case 'unix':
      return openStream(await connected(connect(address.path)));
    case 'unixgram':
      return openDatagrams(address.path);
    case 'local':
      return openLocal();
  }
}

function openLocal(): Transport {
  let last: unknown;
  for (const path of LOCAL_SOCKETS)
    try {
      return openDatagrams(path);
    } catch (error) {
      last = error;
    }
  throw last;
}

/** Datagrams to a unix socket, as syslog's and the journal's own are. */
export function openDatagrams(path: string): Transport {
  const socket = new UnixDatagramSocket(path);
  return {
    async send(messages) {
      for (const [i, message] of messages.entries()) {
        while (!socket.send(message)) await sleep(NO_ROOM_MS, undefined, { ref: false });
        if (i % DATAGRAMS_A_TURN === DATAGRAMS_A_TURN - 1) await setImmediate();
      }
    },
    [Symbol.dispose]: () => socket[Symbol.dispose](),
  };
}

async function openUdp({ host, port }: { host: string; port: number }): Promise<Transport> {
  const { createSocket } = await import('node:dgram');
  const socket = createSocket(isIPv6(host) ? 'udp6' : 'udp4');
  socket.on('error', () => {});
  socket.unref();
  return {
    async send(messages) {
      for (const message of messages) {
        const { promise, resolve, reject } = Promise.withResolvers<void>();
        socket.send(message, port, host, error => (error ? reject(error) : resolve()));
        await promise;
      }
    },
    [Symbol.dispose]: () => socket.close(),
  };
}

async function connected(socket: Socket): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  socket.setTimeout(CONNECT_MS, () => socket.destroy(new Error('nobody answered')));
  socket.once('connect', () => resolve(socket));
  socket.once('error', reject);
  socket.once('close', () => reject(new Error('the connection was closed')));
  return await promise.finally(() => socket.setTimeout(0));
}

function openStream(socket: Socket): Transport {
  socket.on('error', () => socket.destroy());
  socket.resume();
  socket.unref();
  return {
    async send(messages) {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const closed = () => reject(new Error('the connection was closed'));
      if (socket.destroyed || socket.readableEnded) closed();
      else socket.once('close', closed).write(Buffer.concat(messages), error => (error ? reject(error) : resolve()));
      await promise.finally(() => socket.off('close', closed));
    },
    [Symbol.dispose]: () => socket.destroySoon(),
  };
}
