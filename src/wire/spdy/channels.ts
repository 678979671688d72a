import type { Duplex, Readable, Writable } from 'node:stream';
import { Readable as ReadableStream, Writable as WritableStream } from 'node:stream';
import { type Clock, systemClock } from '#base/clock.ts';
import { type Channels, Latest, parseSize, type StreamStatus, type TerminalSize } from '../websocket-channels.ts';
import { SpdyConnection, type SpdyStream } from './connection.ts';

/** Spoken over SPDY: the error stream carries a `Status`, a stream of its own the terminal's sizes. */
export const SPDY_CHANNEL_PROTOCOLS = ['v4.channel.k8s.io'] as const;

/** The streams that a session has; clients open one for each. */
export type StreamType = 'error' | 'stdin' | 'stdout' | 'stderr' | 'resize';

/** A client opens all its streams right after the upgrade. */
const OPEN_MS = 30_000;
const MOST_SIZE_TEXT = 1 << 10;

/** The server's side of an exec or attach over SPDY: resolves when the client has opened all streams. @throws `Timeout` */
export async function openSpdyChannels(
  socket: Duplex,
  head: Buffer,
  wanted: readonly StreamType[],
  clock: Clock = systemClock,
): Promise<Channels> {
  const streams = new Map<string, SpdyStream>();
  const { promise: complete, resolve } = Promise.withResolvers<void>();
  const connection = new SpdyConnection({
    socket,
    head,
    role: 'server',
    onStream(stream) {
      const type = stream.headers.streamtype ?? '';
      if (!wanted.includes(type as StreamType) || streams.has(type)) return void stream.destroy();
      streams.set(type, stream);
      if (streams.size === wanted.length) resolve();
    },
  });
  using _late = clock.after(OPEN_MS, () => connection.terminate());
  await Promise.race([complete, connection.closed]);
  return toChannels(connection, streams);
}

function toChannels(connection: SpdyConnection, streams: ReadonlyMap<string, SpdyStream>): Channels {
  const sizes = new Latest<TerminalSize>();
  const resize = streams.get('resize');
  if (resize) void readSizes(resize, sizes);
  void connection.closed.then(() => sizes.end());
  const [stdout, stderr] = [outOf(streams.get('stdout')), outOf(streams.get('stderr'))];
  return {
    protocol: 'v4.channel.k8s.io (SPDY/3.1)',
    stdin: streams.get('stdin') ?? endOfFile(),
    stdout,
    stderr,
    resize: sizes,
    closed: connection.closed,
    terminate: () => connection.terminate(),
    async sendStatus(status: StreamStatus) {
      const end = (stream: Writable) => new Promise<void>(resolve => (stream.destroyed ? resolve() : void stream.end(() => resolve())));
      await Promise.race([Promise.all([end(stdout), end(stderr)]), connection.closed]);
      const error = streams.get('error');
      if (error && !error.destroyed) {
        const told = new Promise<void>(resolve => error.end(JSON.stringify(status), () => resolve()));
        await Promise.race([told, connection.closed]);
      }
      connection.close();
      await connection.closed;
    },
  };
}

/** Sizes come as JSON values one after another, with or without line breaks between. */
async function readSizes(stream: SpdyStream, sizes: Latest<TerminalSize>): Promise<void> {
  let text = '';
  try {
    for await (const chunk of stream) {
      text = (text + String(chunk)).slice(-MOST_SIZE_TEXT);
      for (let end = text.indexOf('}'); end >= 0; end = text.indexOf('}')) {
        sizes.put(parseSize(text.slice(0, end + 1)));
        text = text.slice(end + 1);
      }
    }
  } catch {
    // The client has gone, which ends the sizes elsewhere.
  }
}

function outOf(stream: SpdyStream | undefined): Writable {
  // What nobody wants to see is let go.
  return stream ?? new WritableStream({ write: (_chunk, _encoding, done) => done() });
}

function endOfFile(): Readable {
  return ReadableStream.from([]);
}
