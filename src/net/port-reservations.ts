import { createSocket } from 'node:dgram';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { messageOf, UmiakError } from '#base/errors.ts';
import type { Protocol } from './rules.ts';

/** A port of the node that rules lead elsewhere. */
export interface ReservedPort {
  protocol: Protocol;
  port: number;
  /** All of the node's IPv4 addresses when absent or `0.0.0.0`; `::`: all of IPv6. */
  hostIp?: string | undefined;
  /** No more than that: without it `[::1]` is passed on to `127.0.0.1` where that is reserved. */
  isAlone?: boolean;
  /** Whom connections are passed on to that no rule led elsewhere. */
  passOnTo?: { address: string; port: number };
}

/** Holds the listening sockets of one reservation. */
interface Holder {
  /** For whom, in words. */
  owner: string;
  sockets: AsyncDisposable[];
}

/**
 * Keeps other programs from listening on the node's ports that nftables leads to pods: a packet never reaches the sockets held here, but a
 * second bind fails as it should, there and here. Over `[::1]`, which such rules don't know, connections are passed on to `127.0.0.1`.
 * SCTP ports are only kept apart among themselves.
 */
export class PortReservations implements AsyncDisposable {
  readonly #held = new Map<string, Holder & ReservedPort>();

  /**
   * Reserves a port for `owner`, who is named to the next one that wants it.
   * @throws UmiakError `AlreadyExists` when somebody has it (`details.name`: for whom it is reserved here), `Invalid` when `hostIp` is none of this machine's addresses
   */
  async reserve(wanted: ReservedPort, owner: string): Promise<void> {
    const { protocol, port } = wanted;
    const other = [...this.#held.values()].find(
      held => held.protocol === protocol && held.port === port && overlaps(held.hostIp, wanted.hostIp),
    );
    if (other) throw taken(wanted, `it is reserved for ${other.owner}`, other.owner);
    const holder = { ...wanted, owner, sockets: [] as AsyncDisposable[] };
    this.#held.set(keyOf(wanted), holder);
    try {
      for (const open of openers(wanted)) holder.sockets.push(await open());
    } catch (error) {
      await this.release(wanted);
      const code = (error as NodeJS.ErrnoException).code;
      if (code === 'EADDRINUSE') throw taken(wanted, 'another program on this machine listens there');
      if (code === 'EADDRNOTAVAIL')
        throw new UmiakError('Invalid', `can't reserve ${nameOf(wanted)}: cannot assign requested address, it is not this machine's`, {
          cause: error,
        });
      throw new UmiakError('InternalError', `can't reserve ${nameOf(wanted)}: ${messageOf(error)}`, { cause: error });
    }
  }

  /** Frees a port. One that is not reserved is ignored. */
  async release(port: ReservedPort): Promise<void> {
    const holder = this.#held.get(keyOf(port));
    this.#held.delete(keyOf(port));
    await Promise.all((holder?.sockets ?? []).map(socket => socket[Symbol.asyncDispose]()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#held.values()].map(held => this.release(held)));
  }
}

function openers({ protocol, port, hostIp, isAlone = false, passOnTo }: ReservedPort): (() => Promise<AsyncDisposable>)[] {
  const isEverywhere = isWildcard(hostIp);
  const address = isEverywhere ? '0.0.0.0' : hostIp!;
  if (protocol === 'udp') return [() => holdUdp(address, port)];
  if (protocol === 'sctp') return [];
  const accept = (socket: Socket) => (passOnTo ? relay(socket, passOnTo) : socket.destroy());
  const isOnLoopback = !isAlone && (isEverywhere || address === '127.0.0.1');
  const passOn = (socket: Socket) => relay(socket, { address: '127.0.0.1', port });
  return [() => listen(address, port, accept), ...(isOnLoopback ? [() => listenIfPossible('::1', port, passOn)] : [])];
}

/** Passes a connection on; both ends' errors end both, as a broken connection does. */
function relay(socket: Socket, { address, port }: { address: string; port: number }): void {
  const target = connect({ port, host: address, allowHalfOpen: true });
  for (const [from, to] of [
    [socket, target],
    [target, socket],
  ] as const) {
    from.on('error', () => to.destroy());
    from.on('close', () => to.destroySoon());
    from.pipe(to);
  }
}

function listen(host: string, port: number, onConnection: (socket: Socket) => void): Promise<AsyncDisposable> {
  const open = new Set<Socket>();
  const server: Server = createServer({ allowHalfOpen: true }, socket => {
    open.add(socket);
    socket.on('close', () => open.delete(socket));
    onConnection(socket);
  });
  const close = () =>
    new Promise<void>(resolve => {
      server.close(() => resolve());
      for (const socket of open) socket.destroy();
    });
  return new Promise((resolve, reject) => {
    server.on('error', reject); // later ones: a connection that could not be taken is lost, no more
    server.listen({ host, port, exclusive: true, ipv6Only: host.includes(':') }, () => resolve({ [Symbol.asyncDispose]: close }));
  });
}

/** Machines without IPv6 have no `::1`. */
async function listenIfPossible(host: string, port: number, onConnection: (socket: Socket) => void): Promise<AsyncDisposable> {
  try {
    return await listen(host, port, onConnection);
  } catch (error) {
    if (!['EADDRNOTAVAIL', 'EAFNOSUPPORT'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    return { [Symbol.asyncDispose]: async () => {} };
  }
}

function holdUdp(address: string, port: number): Promise<AsyncDisposable> {
  const socket = address.includes(':') ? createSocket({ type: 'udp6', ipv6Only: true }) : createSocket('udp4');
  return new Promise((resolve, reject) => {
    socket.on('error', reject);
    socket.bind({ address, port, exclusive: true }, () =>
      resolve({ [Symbol.asyncDispose]: () => new Promise(closed => void socket.close(() => closed())) }),
    );
  });
}

function isWildcard(hostIp: string | undefined): boolean {
  return !hostIp || hostIp === '0.0.0.0';
}

function overlaps(one: string | undefined, other: string | undefined): boolean {
  if (isIpv6(one) !== isIpv6(other)) return false;
  return one === '::' || other === '::' || isWildcard(one) || isWildcard(other) || one === other;
}

function isIpv6(address = ''): boolean {
  return address.includes(':');
}

function keyOf({ protocol, port, hostIp }: ReservedPort): string {
  return `${protocol}/${isWildcard(hostIp) ? '0.0.0.0' : hostIp}/${port}`;
}

function nameOf({ protocol, port, hostIp }: ReservedPort): string {
  return `port ${isWildcard(hostIp) ? '' : `${hostIp}:`}${port}/${protocol}`;
}

function taken(port: ReservedPort, why: string, owner?: string): UmiakError {
  const hint = 'Choose another port, or stop what uses it.';
  const details = owner === undefined ? {} : { kind: 'port', name: owner };
  return new UmiakError('AlreadyExists', `can't reserve ${nameOf(port)}: ${why}`, { hint, details });
}
