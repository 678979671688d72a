import type { ClientRequest, IncomingMessage } from 'node:http';
import { Agent, request as httpsRequest, type RequestOptions } from 'node:https';
import { messageOf, UmiakError } from '#base/errors.ts';
import { fromStatus } from './status-error.ts';
import type { Transport, TransportRequest, TransportResponse, WatchFrame } from './transport.ts';

export interface HttpsTransportOptions {
  /** `https://127.0.0.1:6443`. */
  server: string;
  /** PEM of the authority that signed the server's certificate. */
  ca: string | Buffer;
  cert?: string | Buffer;
  key?: string | Buffer;
  token?: string;
  /** A request that isn't a watch fails with `Timeout` after this; default 30 s. */
  timeoutMs?: number;
  userAgent?: string;
  /** Requests on their way at the same time, each on its connection; more wait. A handshake costs more than waiting. Watches don't count. */
  connections?: number;
}

/** A watch's frame may be as long as the largest object twice over, not longer. */
const MAX_FRAME_BYTES = 16 * 1024 * 1024;
/** The server sends a bookmark every minute: a watch that is silent for longer has lost its server. */
const WATCH_SILENCE_MS = 150_000;
/** May be sent again when a kept-alive connection turns out to be closed. */
const IDEMPOTENT = new Set(['GET', 'PUT', 'DELETE']);
const CLOSED = new Set(['ECONNRESET', 'EPIPE', 'ECONNABORTED']);

/** The transport over TLS with kept-alive connections. Disposing ends all connections, watches too. */
export class HttpsTransport implements Transport, AsyncDisposable {
  readonly #requests: Agent;
  readonly #watches: Agent;
  readonly #base: RequestOptions;
  readonly #peer: string;
  readonly #timeoutMs: number;

  constructor({ server, ca, cert, key, token, timeoutMs = 30_000, userAgent = 'umiak', connections = 16 }: HttpsTransportOptions) {
    const url = new URL(server);
    this.#timeoutMs = timeoutMs;
    this.#peer = url.host;
    this.#requests = new Agent({ keepAlive: true, maxSockets: connections, maxFreeSockets: connections });
    this.#watches = new Agent({ keepAlive: true });
    this.#base = {
      host: url.hostname.replace(/^\[|\]$/g, ''),
      port: url.port || 443,
      ca,
      headers: { accept: 'application/json', 'user-agent': userAgent, ...(token ? { authorization: `Bearer ${token}` } : {}) },
      ...(cert && key ? { cert, key } : {}),
    };
  }

  /** New connections show this certificate; those under way end with what they carry. */
  setClientCertificate({ cert, key }: { cert: string; key: string }): void {
    Object.assign(this.#base, { cert, key });
    for (const sockets of Object.values(this.#requests.freeSockets)) for (const socket of sockets ?? []) socket.destroy();
  }

  /** @throws `Timeout`, `ServiceUnavailable`, and what `signal` was aborted with. */
  async request({ method, path, body, contentType = 'application/json', signal }: TransportRequest): Promise<TransportResponse> {
    const bytes = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    const deadline = AbortSignal.timeout(this.#timeoutMs);
    const either = signal ? AbortSignal.any([signal, deadline]) : deadline;
    try {
      const response = await this.#sendAgainIfStale({ method, path, bytes, contentType, signal: either });
      const chunks: Buffer[] = [];
      for await (const chunk of response) chunks.push(chunk);
      return { status: response.statusCode ?? 0, body: parseBody(Buffer.concat(chunks)) };
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      if (deadline.aborted) throw new UmiakError('Timeout', `the API at ${this.#peer} did not answer in time`, { cause: error });
      throw this.#unreachable(error);
    }
  }

  async watch({ path, signal, receive }: Parameters<Transport['watch']>[0]): Promise<void> {
    if (signal.aborted) return;
    try {
      const response = await this.#sendAgainIfStale({ method: 'GET', path, signal, silenceMs: WATCH_SILENCE_MS });
      if (response.statusCode !== 200) {
        const chunks: Buffer[] = [];
        for await (const chunk of response) chunks.push(chunk);
        throw fromStatus(parseBody(Buffer.concat(chunks)), response.statusCode ?? 0);
      }
      await readLines(response, line => receive(parseFrame(line)));
    } catch (error) {
      if (!signal.aborted) throw this.#unreachable(error);
    }
  }

  /** A server may close a kept-alive connection just as it is used: what may be repeated goes once more, over a new one. */
  async #sendAgainIfStale(call: SendOptions): Promise<IncomingMessage> {
    const { request, response } = this.#send(call);
    try {
      return await response;
    } catch (error) {
      const isStale = request.reusedSocket && CLOSED.has((error as NodeJS.ErrnoException).code ?? '');
      if (!isStale || call.signal.aborted || !IDEMPOTENT.has(call.method)) throw error;
      return await this.#send({ ...call, fresh: true }).response;
    }
  }

  #send({ method, path, bytes, contentType, signal, silenceMs, fresh }: SendOptions): {
    request: ClientRequest;
    response: Promise<IncomingMessage>;
  } {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const headers = {
      ...(this.#base.headers as Record<string, string>),
      ...(bytes ? { 'content-type': contentType ?? '', 'content-length': String(bytes.length) } : {}),
    };
    const agent = fresh ? false : silenceMs ? this.#watches : this.#requests;
    const request = httpsRequest({ ...this.#base, method, path, headers, signal, agent }, resolve);
    if (silenceMs)
      request.setTimeout(silenceMs, () => request.destroy(new Error(`nothing came for ${silenceMs / 1000} s, not even a bookmark`)));
    request.on('error', reject);
    request.end(bytes);
    return { request, response: promise };
  }

  #unreachable(error: unknown): UmiakError {
    if (error instanceof UmiakError) return error;
    return new UmiakError('ServiceUnavailable', `the API at ${this.#peer} can't be reached: ${messageOf(error)}`, {
      cause: error,
      hint: 'Is it running? `umiak status` tells.',
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#requests.destroy();
    this.#watches.destroy();
  }
}

interface SendOptions {
  method: string;
  path: string;
  bytes?: Buffer | undefined;
  contentType?: string;
  signal: AbortSignal;
  /** Ends the call when nothing comes for so long. */
  silenceMs?: number;
  /** Over a connection of its own. */
  fresh?: boolean;
}

function parseFrame(line: string): WatchFrame {
  try {
    return JSON.parse(line);
  } catch (cause) {
    throw new UmiakError('InternalError', `the API sent a watch event that is no JSON: ${line.slice(0, 100)}`, { cause });
  }
}

function parseBody(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString());
  } catch {
    return { message: bytes.toString().slice(0, 512) };
  }
}

/**
 * Calls `line` for each newline-ended piece; the bytes of an unfinished one are joined once, when it is complete. Reads on when what
 * `line` returned has resolved: a slow reader holds back the sender.
 */
async function readLines(stream: AsyncIterable<Buffer>, line: (text: string) => Promise<void> | undefined): Promise<void> {
  let parts: Buffer[] = [];
  let length = 0;
  for await (const chunk of stream) {
    let from = 0;
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, from)) {
      parts.push(chunk.subarray(from, at));
      const text = parts.length === 1 ? parts[0]?.toString() : Buffer.concat(parts).toString();
      parts = [];
      length = 0;
      from = at + 1;
      const behind = text ? line(text) : undefined;
      if (behind) await behind;
    }
    if (from < chunk.length) {
      parts.push(chunk.subarray(from));
      length += chunk.length - from;
      if (length > MAX_FRAME_BYTES) throw new UmiakError('RequestEntityTooLarge', `a watch frame is longer than ${MAX_FRAME_BYTES} bytes`);
    }
  }
}
