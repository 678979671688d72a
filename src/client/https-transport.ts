import type { IncomingMessage } from 'node:http';
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
}

/** A watch's frame may be as long as the largest object twice over, not longer. */
const MAX_FRAME_BYTES = 16 * 1024 * 1024;

/** The transport over TLS with kept-alive connections. Disposing ends all connections, watches too. */
export class HttpsTransport implements Transport, AsyncDisposable {
  readonly #agent: Agent;
  readonly #base: RequestOptions;
  readonly #timeoutMs: number;

  constructor({ server, ca, cert, key, token, timeoutMs = 30_000, userAgent = 'umiak' }: HttpsTransportOptions) {
    const url = new URL(server);
    this.#timeoutMs = timeoutMs;
    this.#agent = new Agent({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY, maxFreeSockets: 16 });
    this.#base = {
      host: url.hostname.replace(/^\[|\]$/g, ''),
      port: url.port || 443,
      ca,
      agent: this.#agent,
      headers: { accept: 'application/json', 'user-agent': userAgent, ...(token ? { authorization: `Bearer ${token}` } : {}) },
      ...(cert && key ? { cert, key } : {}),
    };
  }

  async request({ method, path, body, contentType = 'application/json', signal }: TransportRequest): Promise<TransportResponse> {
    const bytes = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    const deadline = AbortSignal.timeout(this.#timeoutMs);
    const response = await this.#send({
      method,
      path,
      bytes,
      contentType,
      signal: signal ? AbortSignal.any([signal, deadline]) : deadline,
    });
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk);
    return { status: response.statusCode ?? 0, body: parseBody(Buffer.concat(chunks)) };
  }

  async watch({ path, signal, receive }: { path: string; signal: AbortSignal; receive: (frame: WatchFrame) => void }): Promise<void> {
    try {
      const response = await this.#send({ method: 'GET', path, signal });
      if (response.statusCode !== 200) {
        const chunks: Buffer[] = [];
        for await (const chunk of response) chunks.push(chunk);
        throw fromStatus(parseBody(Buffer.concat(chunks)), response.statusCode ?? 0);
      }
      await readLines(response, line => receive(JSON.parse(line)));
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  #send({ method, path, bytes, contentType, signal }: SendOptions): Promise<IncomingMessage> {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const headers = {
      ...(this.#base.headers as Record<string, string>),
      ...(bytes ? { 'content-type': contentType ?? '', 'content-length': String(bytes.length) } : {}),
    };
    const request = httpsRequest({ ...this.#base, method, path, headers, signal }, resolve);
    request.on('error', error => reject(toTransportError(error, `${this.#base.host}:${this.#base.port}`)));
    request.end(bytes);
    return promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#agent.destroy();
  }
}

interface SendOptions {
  method: string;
  path: string;
  bytes?: Buffer | undefined;
  contentType?: string;
  signal: AbortSignal;
}

function toTransportError(error: Error, peer: string): UmiakError {
  if (error.name === 'TimeoutError') return new UmiakError('Timeout', `the API at ${peer} did not answer in time`, { cause: error });
  return new UmiakError('ServiceUnavailable', `the API at ${peer} can't be reached: ${messageOf(error)}`, {
    cause: error,
    hint: 'Is it running? `umiak status` tells.',
  });
}

function parseBody(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString());
  } catch {
    return { message: bytes.toString().slice(0, 512) };
  }
}

/** Calls `line` for each newline-ended piece; the bytes of an unfinished one are joined once, when it is complete. */
async function readLines(stream: AsyncIterable<Buffer>, line: (text: string) => void): Promise<void> {
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
      if (text) line(text);
    }
    if (from < chunk.length) {
      parts.push(chunk.subarray(from));
      length += chunk.length - from;
      if (length > MAX_FRAME_BYTES) throw new UmiakError('RequestEntityTooLarge', `a watch frame is longer than ${MAX_FRAME_BYTES} bytes`);
    }
  }
}
