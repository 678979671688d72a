import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Clock, messageOf, systemClock } from '#base/index.ts';
import { SpdyConnection, type SpdyStream } from '#wire/spdy/connection.ts';

export const PORT_FORWARD_PROTOCOLS = ['portforward.k8s.io'] as const;

/** Connects to a port inside the pod. @throws with a sentence for the client */
export type DialPod = (port: number) => Promise<Duplex>;

/** A client opens both streams of a pair at once; half a pair is let go. */
const PAIR_MS = 30_000;

interface Pair {
  error?: SpdyStream;
  data?: SpdyStream;
  late: Disposable;
}

/**
 * Serves one port-forward: for each connection that its user takes, the client opens a pair of streams, `data` and `error`, that name a
 * port and belong together by their `requestID`. Resolves when the client has gone.
 */
export async function servePortForward(dial: DialPod, socket: Duplex, head: Buffer, clock: Clock = systemClock): Promise<void> {
  const pairs = new Map<string, Pair>();
  const connection = new SpdyConnection({
    socket,
    head,
    role: 'server',
    onStream(stream) {
      const { streamtype: type, port, requestid: id = port ?? '' } = stream.headers;
      if ((type !== 'data' && type !== 'error') || !isPort(port)) return void stream.destroy();
      const pair = pairs.get(id) ?? { late: clock.after(PAIR_MS, () => drop(id)) };
      pairs.set(id, pair);
      if (pair[type]) return void stream.destroy();
      pair[type] = stream;
      const { error, data, late } = pair;
      if (!error || !data) return;
      late[Symbol.dispose]();
      pairs.delete(id);
      void forward(dial, Number(port), data, error);
    },
  });
  const drop = (id: string) => {
    const { error, data } = pairs.get(id) ?? {};
    pairs.delete(id);
    error?.destroy();
    data?.destroy();
  };
  await connection.closed;
  for (const { late } of pairs.values()) late[Symbol.dispose]();
}

/** Joins a pair with a connection of its own; what goes wrong is told on the error stream. */
async function forward(dial: DialPod, port: number, data: SpdyStream, error: SpdyStream): Promise<void> {
  error.resume();
  try {
    const target = await dial(port);
    // Either side may end first and still hear the other out.
    await Promise.all([pipeline(data, target), pipeline(target, data)]);
    error.end();
  } catch (cause) {
    if (!error.destroyed) error.end(`error forwarding port ${port} to pod: ${messageOf(cause)}`);
    data.destroy();
  }
}

function isPort(text: string | undefined): boolean {
  return text !== undefined && /^\d{1,5}$/.test(text) && Number(text) > 0 && Number(text) < 65_536;
}
