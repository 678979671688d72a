import { Readable, Writable } from 'node:stream';
import type { WebSocket } from 'ws';
import type { Clock } from '#base/clock.ts';

/** Channels of `v4.channel.k8s.io`; `close` came with v5: its message names the channel that ends. */
export const CHANNEL = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4, close: 255 } as const;

/** Longer messages end the connection. */
export const MAX_MESSAGE_BYTES = 4 << 20;
/** Longer writes are cut. */
const CHUNK_BYTES = 1 << 20;
const PING_MS = 30_000;

export interface ChannelMuxOptions {
  clock: Clock;
  /** Channels the other side writes to as byte streams. */
  readable: number[];
  /** Gets messages of all other channels, whole. */
  onMessage?: (channel: number, payload: Buffer) => void;
  /** Between pings; a peer that does not answer one before the next is taken for dead. */
  pingMs?: number | undefined;
}

/** Several byte streams in one WebSocket: the first byte of each message names its channel. A reader that is slow holds up the whole connection, and so its peer. */
export class ChannelMux {
  /** Resolves when the connection is over, however it ended. */
  readonly closed: Promise<void>;
  readonly #socket: WebSocket;
  readonly #readables = new Map<number, Readable>();
  readonly #writables: Writable[] = [];
  /** Readables that are full. */
  readonly #full = new Set<number>();
  #ping: Disposable | undefined;

  constructor(socket: WebSocket, { clock, readable, onMessage, pingMs = PING_MS }: ChannelMuxOptions) {
    this.#socket = socket;
    for (const channel of readable) this.#readables.set(channel, this.#makeReadable(channel));
    const { promise, resolve } = Promise.withResolvers<void>();
    this.closed = promise;
    const end = () => {
      this.#ping?.[Symbol.dispose]();
      for (const stream of this.#readables.values()) if (!stream.readableEnded) stream.push(null);
      for (const stream of this.#writables) stream.destroy();
      resolve();
    };
    socket.on('message', data => this.#receive(toBuffer(data), onMessage));
    // Errors are followed by close, which says enough.
    socket.on('error', () => socket.terminate());
    socket.once('close', end);
    this.#watchPeer(clock, pingMs);
  }

  /** The stream of what arrives in `channel`, one of those named at the start. */
  readable(channel: number): Readable {
    return this.#readables.get(channel)!;
  }

  /** A stream into `channel`. `onEnd` runs before it finishes. */
  writable(channel: number, onEnd?: () => Promise<void>): Writable {
    const stream = new Writable({
      write: (chunk: Buffer, _encoding, done) => void this.#sendAll(channel, chunk).then(() => done(), done),
      final: done => void (onEnd ? onEnd() : Promise.resolve()).then(() => done(), done),
    });
    // Whoever pipes into it learns of the end by its close; without a pipe there is nobody to tell.
    stream.on('error', () => {});
    this.#writables.push(stream);
    return stream;
  }

  /** One whole message. Resolves when the operating system took it. */
  send(channel: number, payload: Buffer | string): Promise<void> {
    const message = Buffer.concat([Buffer.of(channel), typeof payload === 'string' ? Buffer.from(payload) : payload]);
    return new Promise((resolve, reject) => this.#socket.send(message, { binary: true }, error => (error ? reject(error) : resolve())));
  }

  /** Ends the stream of `channel`, as the peer asked for. */
  endReadable(channel: number): void {
    const stream = this.#readables.get(channel);
    if (!stream || stream.readableEnded) return;
    this.#readables.delete(channel);
    this.#full.delete(channel);
    stream.push(null);
    if (!this.#full.size) this.#socket.resume();
  }

  /** Says good-bye; ends hard if the peer does not answer. */
  close(code = 1000, reason = ''): void {
    this.#socket.resume();
    for (const stream of this.#readables.values()) stream.resume();
    this.#socket.close(code, reason);
  }

  /** Ends the connection at once. */
  terminate(): void {
    this.#socket.resume();
    this.#socket.terminate();
  }

  async #sendAll(channel: number, chunk: Buffer): Promise<void> {
    for (let at = 0; at < chunk.length; at += CHUNK_BYTES) await this.send(channel, chunk.subarray(at, at + CHUNK_BYTES));
  }

  #receive(message: Buffer, onMessage: ChannelMuxOptions['onMessage']): void {
    const [channel] = message;
    if (channel === undefined) return;
    const stream = this.#readables.get(channel);
    if (!stream) onMessage?.(channel, message.subarray(1));
    if (!stream || message.length === 1 || stream.destroyed || stream.push(message.subarray(1))) return;
    this.#full.add(channel);
    this.#socket.pause();
  }

  #makeReadable(channel: number): Readable {
    const emptied = () => {
      if (this.#full.delete(channel) && !this.#full.size) this.#socket.resume();
    };
    return new Readable({
      read: emptied,
      destroy(error, done) {
        emptied();
        done(error);
      },
    });
  }

  #watchPeer(clock: Clock, pingMs: number): void {
    let heard = true;
    this.#socket.on('pong', () => (heard = true));
    const ask = () => {
      this.#ping = undefined;
      if (this.#socket.readyState !== this.#socket.OPEN) return;
      // While we don't read we can't hear: a dead peer then shows by the ping that can't be written.
      if (!heard && !this.#socket.isPaused) return this.terminate();
      heard = false;
      this.#socket.ping();
      this.#ping = clock.after(pingMs, ask);
    };
    this.#ping = clock.after(pingMs, ask);
  }
}

function toBuffer(data: Buffer | ArrayBuffer | Buffer[]): Buffer {
  if (Buffer.isBuffer(data)) return data;
  return Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data);
}
