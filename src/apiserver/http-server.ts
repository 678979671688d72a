import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import http2, { type ServerHttp2Stream } from 'node:http2';
import net, { type AddressInfo, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import tls, { type SecureContextOptions, type TLSSocket } from 'node:tls';
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

export type HttpHandler = (request: ApiRequest, reply: Reply) => Promise<void>;

/** An upgrade (WebSocket, SPDY): the handler owns the socket from here. */
export type UpgradeHandler = (request: ApiRequest & { raw: IncomingMessage }, socket: Duplex, head: Buffer) => void;

export interface HttpServerOptions {
  tls: SecureContextOptions;
  handle: HttpHandler;
  upgrade: UpgradeHandler;
  maxConnections?: number;
}

/**
 * One TLS door for HTTP/1.1, HTTP/2 and upgrades, on as many addresses as are added: the handshake's ALPN decides which of two
 * plain servers gets the connection. Client certificates are asked for and not judged here.
 */
export class HttpServer implements AsyncDisposable {
  readonly #front: tls.Server;
  readonly #http1: http.Server;
  readonly #http2: http2.Http2Server;
  readonly #listeners: net.Server[] = [];
  readonly #sockets = new Set<Socket>();
  readonly #maxConnections: number;
  /** Answers under way; watches are not among them. */
  readonly #answering = new Set<Promise<void>>();
  #closing: Promise<void> | undefined;

  constructor({ tls: secure, handle, upgrade, maxConnections = 20_000 }: HttpServerOptions) {
    this.#maxConnections = maxConnections;
    this.#http1 = http.createServer({
      keepAliveTimeout: 300_000,
      headersTimeout: 30_000,
      requestTimeout: 120_000,
      maxHeaderSize: 64 << 10,
      noDelay: true,
    });
    this.#http1.on('request', (request: IncomingMessage, response: ServerResponse) => {
      this.#track(handle(new Http1Request(request), new Http1Reply(response)));
    });
    this.#http1.on('upgrade', (raw: IncomingMessage, socket: Duplex, head: Buffer) => {
      upgrade(Object.assign(new Http1Request(raw), { raw }), socket, head);
    });
    this.#http1.on('clientError', (_error, socket) => {
      if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n');
      else socket.destroy();
    });
    this.#http2 = http2.createServer({ settings: { maxConcurrentStreams: 1000, initialWindowSize: 1 << 20 }, maxSessionMemory: 64 });
    this.#http2.on('stream', (stream: ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => {
      stream.on('error', () => {});
      this.#track(handle(new Http2Request(stream, headers), new Http2Reply(stream)));
    });
    this.#http2.on('sessionError', () => {});
    this.#http2.on('session', session => session.setLocalWindowSize?.(4 << 20));
    this.#front = tls.createServer({
      ...secure,
      ALPNProtocols: ['h2', 'http/1.1'],
      requestCert: true,
      rejectUnauthorized: false,
      minVersion: 'TLSv1.2',
      handshakeTimeout: 10_000,
    });
    this.#front.on('secureConnection', socket => (socket.alpnProtocol === 'h2' ? this.#http2 : this.#http1).emit('connection', socket));
    this.#front.on('tlsClientError', (_error, socket) => socket.destroy());
  }

  /** Accepts connections there too. Port 0 takes a free one. */
  async listen(address: string, port: number): Promise<{ address: string; port: number }> {
    const listener = net.createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: 30_000 }, socket => {
      if (this.#sockets.size >= this.#maxConnections) return void socket.destroy();
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
      this.#front.emit('connection', socket);
    });
    await new Promise<void>((resolve, reject) => {
      listener.once('error', cause =>
        reject(
          new UmiakError('ServiceUnavailable', `cannot listen on ${address}:${port}: ${cause.message}`, {
            cause,
            hint: 'is another server running there?',
          }),
        ),
      );
      listener.listen({ host: address, port, backlog: 1024 }, resolve);
    });
    listener.on('error', () => {}); // a connection that could not be accepted (too many open files) is its client's loss alone
    this.#listeners.push(listener);
    const bound = listener.address() as AddressInfo;
    return { address: bound.address, port: bound.port };
  }

  /** New connections get the new certificate; present ones go on. */
  setCertificate(secure: SecureContextOptions): void {
    this.#front.setSecureContext(secure);
  }

  get connectionCount(): number {
    return this.#sockets.size;
  }

  /** Lets answers that are under way finish for a moment, then ends every connection, watches too. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const closed = this.#listeners.map(listener => promisify(listener.close.bind(listener))());
    this.#http1.closeIdleConnections();
    const late = Promise.withResolvers<void>();
    const deadline = setTimeout(late.resolve, MOST_FAREWELL_MS);
    await Promise.race([Promise.allSettled(this.#answering), late.promise]);
    clearTimeout(deadline);
    await new Promise(resolve => setImmediate(resolve)); // what was answered last is on its way
    this.#destroyAll();
    await Promise.allSettled(closed);
    this.#http1.close();
    this.#http2.close();
  }

  #track(answer: Promise<void>): void {
    this.#answering.add(answer);
    void answer.finally(() => this.#answering.delete(answer));
  }

  #destroyAll(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
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

class Http1Request implements ApiRequest {
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

class Http1Reply implements Reply {
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

class Http2Request implements ApiRequest {
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

class Http2Reply implements Reply {
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

/** How long the end waits for answers under way. */
const MOST_FAREWELL_MS = 1000;
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
