import type { IncomingMessage, ServerResponse } from 'node:http';
import http2, { type ServerHttp2Stream } from 'node:http2';
import type { TLSSocket } from 'node:tls';
import { promisify } from 'node:util';
import zlib from 'node:zlib';
import { UmiakError } from '#base/errors.ts';
import { MOST_BODY_BYTES } from './body.ts';
import type { ApiRequest } from './request.ts';

/** What an answer writes to, whichever HTTP carries it. */
export interface Reply {
  /** Starts the answer. A length of undefined streams. */
  head(status: number, headers: Record<string, string | string[] | number>): void;
  /** False when the reader should be waited for. */
  write(bytes: Buffer): boolean;
  end(bytes?: Buffer): void;
  drained(): Promise<void>;
  readonly backlogBytes: number;
  readonly closed: boolean;
  onClose(run: () => void): void;
  destroy(): void;
}

/** Collects a body up to the bound. */
function readAll(stream: NodeJS.ReadableStream, announced: string | undefined): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const tooLarge = () => new UmiakError('RequestEntityTooLarge', `Request entity too large: limit is ${MOST_BODY_BYTES}`);
    if (Number(announced) > MOST_BODY_BYTES) reject(tooLarge());
    let first: Buffer | undefined;
    let parts: Buffer[] | undefined;
    let length = 0;
    stream.on('data', (part: Buffer) => {
      length += part.length;
      if (length > MOST_BODY_BYTES) {
        // What follows is thrown away, so that the sender gets to read the answer.
        first = parts = undefined;
        reject(tooLarge());
      } else if (!first) first = part;
      else if (parts) parts.push(part);
      else parts = [first, part];
    });
    let whole = false;
    stream.on('end', () => {
      whole = true;
      resolve(parts ? Buffer.concat(parts) : (first ?? EMPTY));
    });
    const broken = (cause?: Error) => {
      if (!whole) reject(new UmiakError('BadRequest', 'the request ended before its body did', { cause }));
    };
    stream.on('error', broken);
    stream.on('close', () => broken());
  });
}

const gunzip = promisify(zlib.gunzip);

async function decoded(body: Promise<Buffer>, encoding: string | undefined): Promise<Buffer> {
  const bytes = await body;
  if (encoding === undefined || encoding === 'identity' || bytes.length === 0) return bytes;
  if (encoding !== 'gzip') throw new UmiakError('UnsupportedMediaType', `content encoding ${encoding.slice(0, 40)} is not supported`);
  try {
    return await gunzip(bytes, { maxOutputLength: MOST_BODY_BYTES });
  } catch (cause) {
    throw new UmiakError('BadRequest', "couldn't unpack the gzipped body, or it is larger than 3 MiB", { cause });
  }
}

const EMPTY = Buffer.alloc(0);

/** A request of HTTP/1.1. */
export class Http1Request implements ApiRequest {
  readonly #message: IncomingMessage;
  #abort: AbortController | undefined;
  #body: Promise<Buffer> | undefined;

  constructor(message: IncomingMessage) {
    this.#message = message;
    const { method } = message;
    // Reading starts at once: a body that nobody asked for would hold up the connection.
    if (method !== 'GET' && method !== 'HEAD' && !message.headers.upgrade) {
      this.#body = readAll(message, message.headers['content-length']);
      this.#body.catch(() => {});
    }
  }

  get method(): string {
    return this.#message.method ?? 'GET';
  }
  get url(): string {
    return this.#message.url ?? '/';
  }
  get headers() {
    return this.#message.headers;
  }
  get socket(): TLSSocket {
    return this.#message.socket as TLSSocket;
  }
  get remoteAddress(): string | undefined {
    return this.#message.socket.remoteAddress;
  }
  get signal(): AbortSignal {
    if (!this.#abort) {
      const abort = new AbortController();
      this.#abort = abort;
      this.#message.socket.once('close', () => abort.abort());
    }
    return this.#abort.signal;
  }
  readBody(): Promise<Buffer> {
    if (!this.#body) return Promise.resolve(EMPTY);
    const encoding = this.#message.headers['content-encoding'];
    return encoding === undefined ? this.#body : decoded(this.#body, encoding);
  }
}

/** Its answer. */
export class Http1Reply implements Reply {
  readonly #response: ServerResponse;
  constructor(response: ServerResponse) {
    this.#response = response;
  }
  head(status: number, headers: Record<string, string | string[] | number>): void {
    this.#response.writeHead(status, headers);
    if (headers['content-length'] === undefined) this.#response.flushHeaders();
  }
  write(bytes: Buffer): boolean {
    return this.#response.write(bytes);
  }
  end(bytes?: Buffer): void {
    this.#response.end(bytes);
  }
  drained(): Promise<void> {
    return drainOf(this.#response);
  }
  get backlogBytes(): number {
    return this.#response.writableLength;
  }
  get closed(): boolean {
    return this.#response.destroyed || this.#response.closed;
  }
  onClose(run: () => void): void {
    this.#response.once('close', run);
  }
  destroy(): void {
    this.#response.destroy();
  }
}

/** A request of HTTP/2. */
export class Http2Request implements ApiRequest {
  readonly #stream: ServerHttp2Stream;
  readonly headers: http2.IncomingHttpHeaders;
  #abort: AbortController | undefined;
  #body: Promise<Buffer> | undefined;

  constructor(stream: ServerHttp2Stream, headers: http2.IncomingHttpHeaders) {
    this.#stream = stream;
    this.headers = headers;
    if (this.method !== 'GET' && this.method !== 'HEAD') {
      const late = setTimeout(() => stream.close(http2.constants.NGHTTP2_CANCEL), MOST_BODY_MS).unref();
      this.#body = readAll(stream, headers['content-length']);
      this.#body.catch(() => {}).finally(() => clearTimeout(late));
    }
  }
  get method(): string {
    return this.headers[':method'] ?? 'GET';
  }
  get url(): string {
    return this.headers[':path'] ?? '/';
  }
  get socket(): TLSSocket | undefined {
    return this.#stream.session?.socket as TLSSocket | undefined;
  }
  get remoteAddress(): string | undefined {
    return this.socket?.remoteAddress;
  }
  get signal(): AbortSignal {
    if (!this.#abort) {
      const abort = new AbortController();
      this.#abort = abort;
      this.#stream.once('close', () => abort.abort());
    }
    return this.#abort.signal;
  }
  readBody(): Promise<Buffer> {
    return this.#body ? decoded(this.#body, this.headers['content-encoding'] as string | undefined) : Promise.resolve(EMPTY);
  }
}

/** What HTTP/2 has no place for. */
const CONNECTION_HEADERS = new Set(['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade']);

/** Its answer. */
export class Http2Reply implements Reply {
  readonly #stream: ServerHttp2Stream;
  constructor(stream: ServerHttp2Stream) {
    this.#stream = stream;
  }
  head(status: number, headers: Record<string, string | string[] | number>): void {
    if (this.closed) return;
    const own = Object.entries(headers).filter(([name]) => !CONNECTION_HEADERS.has(name));
    this.#stream.respond({ ':status': status, ...Object.fromEntries(own) });
  }
  write(bytes: Buffer): boolean {
    return this.closed ? false : this.#stream.write(bytes);
  }
  end(bytes?: Buffer): void {
    if (!this.closed) this.#stream.end(bytes);
  }
  drained(): Promise<void> {
    return drainOf(this.#stream);
  }
  get backlogBytes(): number {
    return this.#stream.writableLength;
  }
  get closed(): boolean {
    return this.#stream.destroyed || this.#stream.closed;
  }
  onClose(run: () => void): void {
    this.#stream.once('close', run);
  }
  destroy(): void {
    this.#stream.destroy();
  }
}

/** A reader that takes nothing for so long is gone. */
const MOST_STALL_MS = 60_000;
/** A body has to arrive within this. */
const MOST_BODY_MS = 120_000;

/** Resolves when the stream takes more, or is no more. */
function drainOf(stream: NodeJS.WritableStream & { writableNeedDrain: boolean; destroyed: boolean; destroy(): unknown }): Promise<void> {
  if (!stream.writableNeedDrain || stream.destroyed) return Promise.resolve();
  return new Promise(resolve => {
    const stalled = setTimeout(() => stream.destroy(), MOST_STALL_MS).unref();
    const done = () => {
      clearTimeout(stalled);
      stream.removeListener('drain', done);
      stream.removeListener('close', done);
      resolve();
    };
    stream.on('drain', done);
    stream.on('close', done);
  });
}
