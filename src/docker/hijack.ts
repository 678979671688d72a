import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { UmiakError } from '#base/errors.ts';

/** No call that takes its connection over has a longer body. */
const MAX_BODY_BYTES = 1 << 20;

interface Behind {
  /** How the request begins. */
  firstLine: string;
  bodyBytes: number;
  chunks: Buffer[];
}

/** What arrived right behind a request, and was taken for the next one. */
const behind = new WeakMap<Duplex, Behind>();

export interface TakeOptions {
  incoming: IncomingMessage;
  response: ServerResponse;
  /** Of a request that asked for an upgrade: its connection and what came with it. */
  upgrade?: { socket: Duplex; head: Buffer } | undefined;
}

/**
 * A connection that its request takes over: bytes both ways from then on, no HTTP. Docker has two forms of that, `101 UPGRADED` for who
 * asked for it, and `200 OK` for older clients, who just know. Until `open` an answer of the usual form can still be given.
 */
export class Hijack {
  /** The request's. */
  readonly body: Buffer;
  readonly isUpgrade: boolean;
  readonly #response: ServerResponse;
  readonly #socket: Duplex;
  readonly #head: Buffer;

  private constructor({ response, upgrade }: TakeOptions, socket: Duplex, body: Buffer) {
    this.body = body;
    this.isUpgrade = upgrade !== undefined;
    this.#response = response;
    this.#socket = socket;
    this.#head = upgrade?.head ?? Buffer.concat(behind.get(socket)?.chunks ?? []);
  }

  /** Reads the body, and from its end on nothing more as HTTP. @throws RequestEntityTooLarge */
  static async take(options: TakeOptions): Promise<Hijack> {
    const { incoming, response, upgrade } = options;
    const socket = upgrade?.socket ?? incoming.socket;
    const { method, url, headers } = incoming;
    if (!upgrade)
      behind.set(socket, { firstLine: `${method} ${url} HTTP/`, bodyBytes: Number(headers['content-length'] ?? 0), chunks: [] });
    const { promise, resolve, reject } = Promise.withResolvers<Hijack>();
    const chunks: Buffer[] = [];
    let bytes = 0;
    incoming.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes <= MAX_BODY_BYTES) chunks.push(chunk);
      else reject(new UmiakError('RequestEntityTooLarge', `the body is longer than ${MAX_BODY_BYTES} bytes`));
    });
    // At once: what the client says next must not reach the parser.
    incoming.once('end', () => {
      if (!upgrade) leaveHttp(incoming.socket);
      response.shouldKeepAlive = false;
      resolve(new Hijack(options, socket, Buffer.concat(chunks)));
    });
    incoming.once('close', () => reject(new UmiakError('BadRequest', 'the client left')));
    return await promise;
  }

  /** The connection, with nothing answered yet. */
  release(): { socket: Duplex; head: Buffer } {
    this.#response.detachSocket(this.#socket as Socket);
    behind.delete(this.#socket);
    return { socket: this.#socket, head: this.#head };
  }

  /** Answers in the form that was asked for, and gives the connection. Whoever has it closes it. */
  open(contentType: string): Duplex {
    const headers = Object.entries(this.#response.getHeaders()).map(([name, value]) => `${name}: ${String(value)}\r\n`);
    const { socket, head } = this.release();
    const form = this.isUpgrade
      ? `HTTP/1.1 101 UPGRADED\r\nContent-Type: ${contentType}\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n`
      : `HTTP/1.1 200 OK\r\nContent-Type: ${contentType}\r\n`;
    socket.on('error', () => socket.destroy());
    if (head.length > 0) socket.unshift(head);
    socket.write(`${form}${headers.join('')}\r\n`);
    return socket;
  }
}

/** Takes a connection from node's HTTP server, which goes on to hold it in its list, and no more than that. */
function leaveHttp(socket: Socket): void {
  socket.removeAllListeners('data');
  socket.removeAllListeners('end');
  // The parser reads by itself until somebody else does.
  const taken = () => {};
  socket.on('data', taken);
  socket.pause();
  socket.off('data', taken);
}

/** What is no request, but came right behind one that takes its connection over: kept for that, and true. */
export function keepForHijack(
  socket: Duplex,
  { rawPacket, bytesParsed = 0 }: Error & { rawPacket?: Buffer; bytesParsed?: number },
): boolean {
  const kept = behind.get(socket);
  if (!kept || !rawPacket) return false;
  // The parser has gone on into what it could not read: where the request ended is found again.
  const begin = rawPacket.lastIndexOf(kept.firstLine, bytesParsed, 'latin1');
  const head = begin < 0 ? -1 : rawPacket.indexOf('\r\n\r\n', begin);
  kept.chunks.push(rawPacket.subarray(head < 0 ? bytesParsed : head + 4 + kept.bodyBytes));
  return true;
}
