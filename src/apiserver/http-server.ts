import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import http2, { type ServerHttp2Stream } from 'node:http2';
import net, { type AddressInfo, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import tls, { type SecureContextOptions } from 'node:tls';
import { promisify } from 'node:util';
import { UmiakError } from '#base/errors.ts';
import { createServer } from '#wire/http.ts';
import { Http1Reply, Http1Request, Http2Reply, Http2Request, type Reply } from './http-messages.ts';
import type { ApiRequest } from './request.ts';

/** How long the end waits for answers under way. */
const MOST_FAREWELL_MS = 1000;

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
  readonly #http1: Server;
  readonly #http2: http2.Http2Server;
  readonly #listeners: net.Server[] = [];
  readonly #sockets = new Set<Socket>();
  readonly #maxConnections: number;
  /** Answers under way; watches are not among them. */
  readonly #answering = new Set<Promise<void>>();
  #closing: Promise<void> | undefined;

  constructor({ tls: secure, handle, upgrade, maxConnections = 20_000 }: HttpServerOptions) {
    this.#maxConnections = maxConnections;
    this.#http1 = createServer({
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
