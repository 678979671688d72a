import type { IncomingMessage } from 'node:http';
import type { Duplex, Readable, Writable } from 'node:stream';
import { type Clock, systemClock } from '#base/clock.ts';
import { UmiakError } from '#base/errors.ts';
import { CHANNEL, ChannelMux, MAX_MESSAGE_BYTES } from './channel-mux.ts';
import { acceptWebSocket } from './websocket-accept.ts';

/** Spoken here, best first. The oldest has no status: what fails is told in words, an exit code not at all. */
export const CHANNEL_PROTOCOLS = ['v5.channel.k8s.io', 'v4.channel.k8s.io', 'channel.k8s.io'] as const;
export type ChannelProtocol = (typeof CHANNEL_PROTOCOLS)[number];

/** The same session as streams of a SPDY connection. */
export type SpdyProtocol = 'v4.channel.k8s.io (SPDY/3.1)';

export interface TerminalSize {
  width: number;
  height: number;
}

/** `metav1.Status` as the error channel carries it. */
export interface StreamStatus {
  metadata?: object;
  status: 'Success' | 'Failure';
  message?: string;
  reason?: string;
  details?: { causes?: { reason: string; message: string }[] };
  code?: number;
}

/** One exec or attach session, the server's side. */
export interface Channels {
  protocol: ChannelProtocol | SpdyProtocol;
  /** Ends when the client says so (v5) or is gone. */
  stdin: Readable;
  stdout: Writable;
  stderr: Writable;
  /** The terminal's sizes as they change; one that is overtaken by the next is left out. Ends with the connection. */
  resize: AsyncIterable<TerminalSize>;
  /** Ends stdout and stderr, tells how it went, and closes. Does nothing if the client is gone. */
  sendStatus(status: StreamStatus): Promise<void>;
  /** Resolves when the connection is over. */
  closed: Promise<void>;
  /** Ends the connection at once. */
  terminate(): void;
}

export interface AcceptOptions {
  protocols?: readonly ChannelProtocol[];
  clock?: Clock;
  pingMs?: number;
}

/** The status of a command that ended with `exitCode`. */
export function toExitStatus(exitCode: number): StreamStatus {
  if (exitCode === 0) return { metadata: {}, status: 'Success' };
  return {
    metadata: {},
    status: 'Failure',
    message: `command terminated with non-zero exit code: command terminated with exit code ${exitCode}`,
    reason: 'NonZeroExitCode',
    details: { causes: [{ reason: 'ExitCode', message: String(exitCode) }] },
  };
}

/** The status of a session that failed otherwise. */
export function toFailureStatus(message: string): StreamStatus {
  return { metadata: {}, status: 'Failure', message, reason: 'InternalError', code: 500 };
}

/** Takes an upgrade request's connection over. @throws `BadRequest` before anything is written, if it is no WebSocket or speaks no protocol of ours. */
export async function acceptChannels(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  options: AcceptOptions = {},
): Promise<Channels> {
  const { protocols = CHANNEL_PROTOCOLS, clock = systemClock, pingMs } = options;
  if (request.headers.upgrade?.toLowerCase() !== 'websocket')
    throw new UmiakError('BadRequest', 'unable to upgrade: this server speaks WebSocket, not SPDY', { hint: 'Use kubectl 1.30 or newer.' });
  return await acceptWebSocket(request.headers, socket, head, { protocols, maxMessageBytes: MAX_MESSAGE_BYTES }, (webSocket, chosen) => {
    const protocol = chosen as ChannelProtocol;
    const sizes = new Latest<TerminalSize>();
    const mux: ChannelMux = new ChannelMux(webSocket, {
      clock,
      pingMs,
      readable: [CHANNEL.stdin],
      onMessage(channel, payload) {
        if (channel === CHANNEL.resize) sizes.put(parseSize(payload));
        if (channel === CHANNEL.close && protocol === 'v5.channel.k8s.io') mux.endReadable(payload[0] ?? CHANNEL.close);
      },
    });
    void mux.closed.then(() => sizes.end());
    // When reading is paused the WebSocket does not see its connection end.
    socket.once('close', () => mux.terminate());
    // As the kubelet does: tells the client that the session stands.
    void mux.send(CHANNEL.stdout, '').catch(() => {});
    return toChannels(protocol, mux, sizes);
  });
}

function toChannels(protocol: ChannelProtocol, mux: ChannelMux, sizes: Latest<TerminalSize>): Channels {
  const [stdout, stderr] = [mux.writable(CHANNEL.stdout), mux.writable(CHANNEL.stderr)];
  return {
    protocol,
    stdin: mux.readable(CHANNEL.stdin),
    stdout,
    stderr,
    resize: sizes,
    closed: mux.closed,
    terminate: () => mux.terminate(),
    async sendStatus(status) {
      const open = [stdout, stderr].filter(stream => !stream.destroyed);
      const ended = open.map(stream => new Promise<void>(resolve => void stream.end(() => resolve())));
      await Promise.race([Promise.all(ended), mux.closed]);
      const told = protocol === 'channel.k8s.io' ? (status.status === 'Success' ? '' : (status.message ?? '')) : JSON.stringify(status);
      if (told) await mux.send(CHANNEL.error, told).catch(() => {});
      mux.close();
    },
  };
}

/** A size as clients write it; undefined for nonsense. */
export function parseSize(payload: Buffer | string): TerminalSize | undefined {
  try {
    const { Width, Height } = JSON.parse(payload.toString()) as { Width?: unknown; Height?: unknown };
    const sides = [Width, Height].every(side => Number.isInteger(side) && (side as number) > 0 && (side as number) < 65_536);
    return sides ? { width: Width as number, height: Height as number } : undefined;
  } catch {
    return undefined;
  }
}

/** Hands on the newest value to one reader at a time. */
export class Latest<T> implements AsyncIterable<T> {
  #value: T | undefined;
  #ended = false;
  #wake: () => void = () => {};

  put(value: T | undefined): void {
    if (value === undefined) return;
    this.#value = value;
    this.#wake();
  }

  end(): void {
    this.#ended = true;
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    for (;;) {
      const value = this.#value;
      this.#value = undefined;
      if (value !== undefined) yield value;
      else if (this.#ended) return;
      else await new Promise<void>(resolve => (this.#wake = resolve));
    }
  }
}
