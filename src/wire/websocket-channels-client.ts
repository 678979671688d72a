import type { Readable, Writable } from 'node:stream';
import type { ConnectionOptions } from 'node:tls';
import { WebSocket } from 'ws';
import { type Clock, systemClock } from '#base/clock.ts';
import { UmiakError } from '#base/errors.ts';
import { reasonOf } from '#base/reason-codes.ts';
import { CHANNEL, ChannelMux, MAX_MESSAGE_BYTES } from './channel-mux.ts';
import { CHANNEL_PROTOCOLS, type ChannelProtocol, type StreamStatus, type TerminalSize } from './websocket-channels.ts';

export interface DialOptions {
  /** Certificates, keys and authorities, or nothing for `ws:`. */
  tls?: Pick<ConnectionOptions, 'ca' | 'cert' | 'key' | 'checkServerIdentity' | 'servername'>;
  headers?: Record<string, string>;
  protocols?: readonly ChannelProtocol[];
  clock?: Clock;
  signal?: AbortSignal;
}

/** One exec or attach session, the client's side. */
export interface ClientChannels {
  protocol: string;
  /** Its end reaches the command as end of file (v5 alone can say so). */
  stdin: Writable;
  stdout: Readable;
  stderr: Readable;
  resize(size: TerminalSize): void;
  /** How it went; undefined when the connection ended without a word. */
  status: Promise<StreamStatus | undefined>;
  closed: Promise<void>;
  close(): void;
}

/** Opens a session at `url` (`https:` or `wss:`). @throws the server's refusal, with its message; `ServiceUnavailable` if it can't be reached. */
export async function dialChannels(url: string | URL, options: DialOptions = {}): Promise<ClientChannels> {
  const { tls = {}, headers = {}, protocols = CHANNEL_PROTOCOLS, clock = systemClock, signal } = options;
  const target = new URL(url);
  target.protocol = target.protocol.replace('http', 'ws');
  const webSocket = new WebSocket(target, [...protocols], { ...tls, headers, perMessageDeflate: false, maxPayload: MAX_MESSAGE_BYTES });
  const abort = () => webSocket.terminate();
  signal?.addEventListener('abort', abort, { once: true });
  webSocket.once('close', () => signal?.removeEventListener('abort', abort));

  let status: StreamStatus | undefined;
  const mux = new ChannelMux(webSocket, {
    clock,
    readable: [CHANNEL.stdout, CHANNEL.stderr],
    onMessage(channel, payload) {
      if (channel === CHANNEL.error && payload.length) status = JSON.parse(payload.toString()) as StreamStatus;
    },
  });
  await opened(webSocket, target);
  const endStdin = async () => {
    if (webSocket.protocol === 'v5.channel.k8s.io') await mux.send(CHANNEL.close, Buffer.of(CHANNEL.stdin));
  };
  return {
    protocol: webSocket.protocol,
    stdin: mux.writable(CHANNEL.stdin, endStdin),
    stdout: mux.readable(CHANNEL.stdout),
    stderr: mux.readable(CHANNEL.stderr),
    resize: ({ width, height }) => void mux.send(CHANNEL.resize, JSON.stringify({ Width: width, Height: height })).catch(() => {}),
    status: mux.closed.then(() => status),
    closed: mux.closed,
    close: () => mux.close(),
  };
}

function opened(webSocket: WebSocket, target: URL): Promise<void> {
  return new Promise((resolve, reject) => {
    webSocket.once('open', resolve);
    webSocket.once('error', error =>
      reject(new UmiakError('ServiceUnavailable', `can't reach ${target.host}: ${error.message}`, { cause: error })),
    );
    webSocket.once('unexpected-response', async (_request, response) => {
      const text = Buffer.concat(await response.toArray().catch(() => [])).toString();
      const status = response.statusCode ?? 0;
      reject(new UmiakError(reasonOf(status), messageIn(text) ?? `the server answered ${status}`));
      webSocket.terminate();
    });
  });
}

/** The message of a `Status`, or the text itself. */
function messageIn(body: string): string | undefined {
  try {
    return (JSON.parse(body) as { message?: string }).message ?? body;
  } catch {
    return body.trim() || undefined;
  }
}
