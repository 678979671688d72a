import { closeSync, writeSync } from 'node:fs';
import { Duplex } from 'node:stream';
import { Worker } from 'node:worker_threads';
import { toEpollEvent } from './epoll-event.ts';
import { check, declare, errno, SyscallError } from './libc.ts';
import { pipe } from './process.ts';
import { AF_UNIX, withUnixAddress } from './unix-address.ts';

const SOCK_SEQPACKET_CLOEXEC = 5 | 0o2000000;
const EPOLL_CLOEXEC = 0o2000000;
const EPOLLIN = 1;
const EPOLLOUT = 4;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_MOD = 3;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const SHUT_RD = 0;
const SHUT_WR = 1;
const EAGAIN = 11;
/** What conmon takes in one packet. */
const MAX_SEND_BYTES = 8192;

const socketCall = declare('int socket(int family, int type, int protocol)');
const connectCall = declare('int connect(int fd, const void *address, uint32_t length)');
const sendCall = declare('long send(int fd, const void *buffer, size_t length, int flags)');
const shutdownCall = declare('int shutdown(int fd, int how)');
const epollCreate = declare('int epoll_create1(int flags)');
const epollCtl = declare('int epoll_ctl(int epoll, int operation, int fd, const void *event)');

export interface SeqpacketWorkerData {
  epoll: number;
  orders: number;
  unread: Int32Array<SharedArrayBuffer>;
}

export interface SeqpacketBatch {
  bytes: ArrayBuffer;
  packets: { id: number; start: number; end: number }[];
  ended: number[];
  writable: number[];
}

interface Poller {
  worker: Worker;
  epoll: number;
  orders: readonly [read: number, write: number];
  unread: Int32Array<SharedArrayBuffer>;
}

/** Connects to a SOCK_SEQPACKET unix socket. */
function connectSeqpacket(path: string): number {
  const fd = check(socketCall(AF_UNIX, SOCK_SEQPACKET_CLOEXEC, 0), 'seqpacket socket');
  try {
    withUnixAddress(path, address => check(connectCall(fd, address, address.length), `connect ${path}`));
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** A worker takes some 30 ms to start: one that has nothing to do waits this long for the next socket. */
const LINGER_MS = 2_000;

/**
 * SOCK_SEQPACKET sockets as streams of packets, which Node's `net` can't do: one worker thread waits for all of them. The worker starts
 * with the first socket, or a little before, and ends some time after the last.
 */
export class SeqpacketSockets implements AsyncDisposable {
  readonly #sockets = new Map<number, SeqpacketSocket>();
  /** Nobody hears them any more, and their peers are not to know. */
  readonly #abandoned = new Map<number, number>();
  #poller: Poller | undefined;
  #nextId = 1;
  #stopping: Promise<unknown> = Promise.resolve();
  #lingering: NodeJS.Timeout | undefined;

  /** A socket is about to be connected: the worker starts meanwhile. */
  prepare(): void {
    this.#poller ??= this.#start();
    if (this.#sockets.size + this.#abandoned.size === 0) this.#linger();
  }

  /**
   * Connects; packets come out whole and in order, and what is written goes in as packets. Ending it shuts our side down only. One that goes
   * `quietly` is closed with its peer's end: until then that one learns of nothing but that what it sends is not taken.
   */
  connect(path: string, { quietly = false }: { quietly?: boolean } = {}): SeqpacketSocket {
    const fd = connectSeqpacket(path);
    const id = this.#nextId++;
    clearTimeout(this.#lingering);
    this.#poller ??= this.#start();
    const { epoll } = this.#poller;
    const socket = new SeqpacketSocket(fd, {
      watch: events => void epollCtl(epoll, EPOLL_CTL_MOD, fd, toEpollEvent(events, fd, id)),
      closed: () => (quietly ? this.#abandon(id, fd) : this.#close(id, fd)),
    });
    this.#sockets.set(id, socket);
    check(epollCtl(epoll, EPOLL_CTL_ADD, fd, toEpollEvent(EPOLLIN, fd, id)), 'watch the socket');
    return socket;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets.values()) socket.destroy();
    for (const id of this.#abandoned.keys()) this.#forget(id);
    this.#stop();
    await this.#stopping;
  }

  #start(): Poller {
    const epoll = check(epollCreate(EPOLL_CLOEXEC), 'epoll_create1');
    const orders = pipe();
    check(epollCtl(epoll, EPOLL_CTL_ADD, orders[0], toEpollEvent(EPOLLIN, orders[0], 0)), 'watch the orders');
    const unread = new Int32Array(new SharedArrayBuffer(4));
    const data: SeqpacketWorkerData = { epoll, orders: orders[0], unread };
    const worker = new Worker(new URL('./seqpacket-worker.ts', import.meta.url), { name: 'seqpacket', workerData: data });
    worker.on('message', (batch: SeqpacketBatch) => this.#deliver(batch, unread));
    worker.on('error', failure => {
      const error = failure instanceof Error ? failure : new Error(String(failure));
      for (const socket of this.#sockets.values()) socket.destroy(error);
    });
    return { worker, epoll, orders, unread };
  }

  #deliver({ bytes, packets, ended, writable }: SeqpacketBatch, unread: Int32Array): void {
    for (const { id, start, end } of packets) this.#sockets.get(id)?.receive(Buffer.from(bytes, start, end - start));
    for (const id of ended) {
      this.#sockets.get(id)?.receive(null);
      this.#forget(id);
    }
    for (const id of writable) this.#sockets.get(id)?.writableAgain();
    Atomics.sub(unread, 0, bytes.byteLength);
    Atomics.notify(unread, 0);
  }

  #close(id: number, fd: number): void {
    if (this.#sockets.delete(id)) this.#order(fd);
  }

  #abandon(id: number, fd: number): void {
    const socket = this.#sockets.get(id);
    if (!socket || !this.#poller) return;
    if (socket.readableEnded) {
      this.#close(id, fd);
      return;
    }
    this.#sockets.delete(id);
    this.#abandoned.set(id, fd);
    // Its peer's end is told all the same; our own, which comes next, is not to look like one.
    epollCtl(this.#poller.epoll, EPOLL_CTL_MOD, fd, toEpollEvent(0, fd, id));
    shutdownCall(fd, SHUT_RD);
  }

  #forget(id: number): void {
    const fd = this.#abandoned.get(id);
    if (fd !== undefined && this.#abandoned.delete(id)) this.#order(fd);
  }

  /** The worker closes, since only it knows when it does not read from that number any more. */
  #order(fd: number): void {
    if (!this.#poller) return;
    const order = Buffer.alloc(8);
    order.writeInt32LE(fd, 0);
    writeSync(this.#poller.orders[1], order);
    if (this.#sockets.size + this.#abandoned.size === 0) this.#linger();
  }

  #linger(): void {
    clearTimeout(this.#lingering);
    this.#lingering = setTimeout(() => this.#stop(), LINGER_MS).unref();
  }

  #stop(): void {
    clearTimeout(this.#lingering);
    const poller = this.#poller;
    if (!poller) return;
    this.#poller = undefined;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#stopping = Promise.all([this.#stopping, promise]);
    poller.worker.once('exit', () => {
      closeSync(poller.epoll);
      closeSync(poller.orders[0]);
      resolve();
    });
    closeSync(poller.orders[1]);
    Atomics.store(poller.unread, 0, 0);
    Atomics.notify(poller.unread, 0);
  }
}

interface SocketHooks {
  watch(events: number): void;
  closed(): void;
}

/** One connection; readable side in object mode, a packet an object. */
export class SeqpacketSocket extends Duplex {
  readonly #fd: number;
  readonly #hooks: SocketHooks;
  #isPaused = false;
  #retry: (() => void) | undefined;

  constructor(fd: number, hooks: SocketHooks) {
    super({ readableObjectMode: true, readableHighWaterMark: 64, allowHalfOpen: true });
    this.#fd = fd;
    this.#hooks = hooks;
  }

  /** A packet from the worker; null at the end. */
  receive(packet: Buffer | null): void {
    if (this.destroyed) return;
    if (!this.push(packet) && packet && !this.#isPaused) {
      this.#isPaused = true;
      this.#hooks.watch(this.#retry ? EPOLLOUT : 0);
    }
  }

  writableAgain(): void {
    const retry = this.#retry;
    this.#retry = undefined;
    if (this.#isPaused) this.#hooks.watch(0);
    retry?.();
  }

  override _read(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#hooks.watch(this.#retry ? EPOLLIN | EPOLLOUT : EPOLLIN);
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    for (let at = 0; at < chunk.length; ) {
      const part = chunk.subarray(at, at + MAX_SEND_BYTES);
      const sent = Number(sendCall(this.#fd, part, part.length, MSG_DONTWAIT | MSG_NOSIGNAL));
      if (sent >= 0) {
        at += sent;
        continue;
      }
      const code = errno();
      if (code !== EAGAIN) {
        done(new SyscallError('send', code));
        return;
      }
      const rest = chunk.subarray(at);
      this.#retry = () => this._write(rest, 'buffer' as BufferEncoding, done);
      this.#hooks.watch(this.#isPaused ? EPOLLOUT : EPOLLIN | EPOLLOUT);
      return;
    }
    done();
  }

  override _final(done: (error?: Error | null) => void): void {
    shutdownCall(this.#fd, SHUT_WR);
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#hooks.closed();
    done(error);
  }
}
