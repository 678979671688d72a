import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants, type IncomingHttpHeaders } from 'node:http2';
import { connect as connectSocket, type Socket } from 'node:net';
import { isUmiakError, messageOf, UmiakError } from '#base/errors.ts';
import type { ProtobufSchema } from '../protobuf-schema.ts';
import { FrameReader, MAX_MESSAGE_BYTES, toFrame } from './frames.ts';
import type { MethodType } from './service.ts';
import { decodeGrpcMessage, formatGrpcTimeout, fromGrpcStatus, GrpcCode } from './status.ts';

export interface GrpcClientOptions {
  schema: ProtobufSchema;
  /** Full name, `runtime.v1.RuntimeService`. */
  service: string;
  /** A unix socket's path, or where to connect instead. */
  socketPath: string;
  maxMessageBytes?: number;
}

export interface GrpcCallOptions {
  signal?: AbortSignal;
  timeoutMs?: number;
  metadata?: Record<string, string>;
}

type NamesOf<S, Streams> = {
  [Name in keyof S]: S[Name] extends MethodType
    ? (S[Name] extends { streams: infer T } ? T : 'none') extends Streams
      ? Name
      : never
    : never;
}[keyof S];
type RequestOf<M> = M extends MethodType ? M['request'] : never;
type ResponseOf<M> = M extends MethodType ? M['response'] : never;

/** A gRPC client of one service; one connection, made at the first call and again after it was lost. */
export class GrpcClient<S> implements Disposable {
  readonly #options: GrpcClientOptions;
  #session: Promise<ClientHttp2Session> | undefined;
  readonly #left = new AbortController();

  constructor(options: GrpcClientOptions) {
    this.#options = options;
  }

  /** @throws UmiakError with what the peer's status means */
  async call<Name extends NamesOf<S, 'none'>>(
    name: Name,
    request: RequestOf<S[Name]>,
    options: GrpcCallOptions = {},
  ): Promise<ResponseOf<S[Name]>> {
    for await (const response of this.#start(String(name), one(request as object), options)) return response as ResponseOf<S[Name]>;
    throw new UmiakError('InternalError', `${String(name)} was answered without a message`);
  }

  /** Answers as they come; leaving the loop ends the call. */
  stream<Name extends NamesOf<S, 'response'>>(
    name: Name,
    request: RequestOf<S[Name]>,
    options: GrpcCallOptions = {},
  ): AsyncGenerator<ResponseOf<S[Name]>> {
    return this.#start(String(name), one(request as object), options) as AsyncGenerator<ResponseOf<S[Name]>>;
  }

  /** Both sides talk; requests are sent as they are yielded. */
  converse<Name extends NamesOf<S, 'both'>>(
    name: Name,
    requests: AsyncIterable<RequestOf<S[Name]>>,
    options: GrpcCallOptions = {},
  ): AsyncGenerator<ResponseOf<S[Name]>> {
    return this.#start(String(name), requests as AsyncIterable<object>, options) as AsyncGenerator<ResponseOf<S[Name]>>;
  }

  async *#start(name: string, requests: AsyncIterable<object>, options: GrpcCallOptions): AsyncGenerator<object> {
    const { schema, service, maxMessageBytes = MAX_MESSAGE_BYTES } = this.#options;
    const [request, response] = schema.services[service]?.[name] ?? [];
    if (!request || !response) throw new Error(`${service} has no method ${name}`);
    options.signal?.throwIfAborted();
    const stream = await this.#open(`/${service}/${name}`, options);
    const ended = followStatus(stream, options);
    const sent = send(stream, requests, message => toFrame(schema.encode(request, message), maxMessageBytes));
    // Each is asked for below, if the call comes so far.
    for (const each of [ended, sent]) each.catch(() => {});
    const streams = schema.services[service]?.[name]?.[2];
    const isMany = streams === 'response' || streams === 'both';
    try {
      const reader = new FrameReader(maxMessageBytes);
      let only: object | undefined;
      for await (const chunk of stream.iterator({ destroyOnReturn: false }))
        for (const bytes of reader.push(chunk as Buffer)) {
          const message = schema.decode<object>(response, bytes);
          if (isMany) yield message;
          else only = message;
        }
      await ended;
      if (only) yield only; // one alone counts with its status
    } catch (error) {
      // What was to be sent, or the status, says better why a stream ended early.
      if (stream.destroyed || stream.closed) await Promise.race([sent.then(() => ended), ended]);
      throw toUmiakError(error, name);
    } finally {
      stream.close(stream.readableEnded ? constants.NGHTTP2_NO_ERROR : constants.NGHTTP2_CANCEL);
    }
  }

  async #open(path: string, { timeoutMs, metadata }: GrpcCallOptions): Promise<ClientHttp2Stream> {
    const session = await this.#connect();
    return session.request({
      ...metadata,
      [constants.HTTP2_HEADER_METHOD]: 'POST',
      [constants.HTTP2_HEADER_PATH]: path,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...(timeoutMs === undefined ? {} : { 'grpc-timeout': formatGrpcTimeout(timeoutMs) }),
    });
  }

  /** Those who call while it is being made share it. */
  async #connect(): Promise<ClientHttp2Session> {
    for (;;) {
      const known = this.#session;
      const session = await (known ?? this.#make());
      if (!session.closed && !session.destroyed) return session;
      if (this.#session === known) this.#session = undefined;
    }
  }

  #make(): Promise<ClientHttp2Session> {
    const made = openSession(this.#options.socketPath, this.#left.signal);
    this.#session = made;
    made.catch(() => {
      if (this.#session === made) this.#session = undefined;
    });
    return made;
  }

  [Symbol.dispose](): void {
    this.#left.abort();
  }
}

async function openSession(socketPath: string, signal: AbortSignal): Promise<ClientHttp2Session> {
  signal.throwIfAborted();
  const socket: Socket = connectSocket(socketPath);
  const end = () => socket.destroy();
  signal.addEventListener('abort', end, { once: true });
  socket.once('close', () => signal.removeEventListener('abort', end));
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', cause => reject(new UmiakError('ServiceUnavailable', `${socketPath}: ${messageOf(cause)}`, { cause })));
    socket.once('close', () => reject(new UmiakError('ServiceUnavailable', `${socketPath}: the client was closed`)));
  });
  const session = connect('http://localhost', { createConnection: () => socket, settings: { initialWindowSize: 1 << 20 }, ...MEMORY });
  session.on('error', () => {}); // shows in each call
  return session;
}

async function* one(request: object): AsyncGenerator<object> {
  yield request;
}

async function send(stream: ClientHttp2Stream, requests: AsyncIterable<object>, encode: (message: object) => Buffer): Promise<void> {
  try {
    for await (const request of requests) {
      if (stream.destroyed) return;
      if (!stream.write(encode(request))) await new Promise(resolve => stream.once('drain', resolve).once('close', resolve));
    }
    stream.end();
  } catch (error) {
    stream.close(constants.NGHTTP2_CANCEL);
    throw error;
  }
}

/** Settles with the call: rejects with what its status, its deadline, its signal or the connection's end means. */
function followStatus(stream: ClientHttp2Stream, { signal, timeoutMs }: GrpcCallOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    let headers: IncomingHttpHeaders = {};
    const note = (more: IncomingHttpHeaders) => {
      headers = { ...headers, ...more };
    };
    const abort = () => {
      reject(signal?.reason);
      stream.close(constants.NGHTTP2_CANCEL);
    };
    // The peer keeps the deadline too; it may be away.
    const timer =
      timeoutMs === undefined
        ? undefined
        : setTimeout(
            () => {
              reject(fromGrpcStatus(GrpcCode.DEADLINE_EXCEEDED, 'context deadline exceeded'));
              stream.close(constants.NGHTTP2_CANCEL);
            },
            Math.min(timeoutMs + DEADLINE_SLACK_MS, MOST_TIMER_MS),
          );
    signal?.addEventListener('abort', abort, { once: true });
    stream.on('response', note);
    stream.on('trailers', note);
    stream.on('error', () => {});
    stream.once('close', () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
      const status = headers['grpc-status'];
      const code = status === undefined ? undefined : Number(status);
      if (code === GrpcCode.OK) resolve();
      else if (code !== undefined) reject(fromGrpcStatus(code, decodeGrpcMessage(String(headers['grpc-message'] ?? ''))));
      else
        reject(new UmiakError('ServiceUnavailable', `the call ended without a status (HTTP ${headers[':status'] ?? 'connection'} lost)`));
    });
  });
}

const DEADLINE_SLACK_MS = 100;
const MOST_TIMER_MS = 2 ** 31 - 1;
/** Of a session, in megabytes: several of the largest messages. */
const MEMORY = { maxSessionMemory: 64 };

function toUmiakError(error: unknown, name: string): UmiakError {
  return isUmiakError(error) ? error : new UmiakError('ServiceUnavailable', `${name}: ${messageOf(error)}`, { cause: error });
}
