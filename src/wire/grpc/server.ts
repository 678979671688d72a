import type { IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream, Settings } from 'node:http2';
import { constants, performServerHandshake } from 'node:http2';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Clock, systemClock } from '#base/clock.ts';
import { FrameReader, MAX_MESSAGE_BYTES, toFrame } from './frames.ts';
import { encodeGrpcMessage, GrpcCode, GrpcError, parseGrpcTimeout, toGrpcStatus } from './status.ts';

/** What a handler knows of a call besides its messages. */
export interface GrpcCall {
  /** Ends with the deadline, with the client's leaving, with the server. */
  readonly signal: AbortSignal;
  readonly path: string;
  readonly metadata: IncomingHttpHeaders;
}

/** One method, in bytes. Of streams the handler reads as many requests as it wants and yields the answers; back-pressure goes both ways. */
export type GrpcMethod =
  | { shape: 'unary'; handle(request: Buffer, call: GrpcCall): Promise<Uint8Array> }
  | { shape: 'stream'; handle(requests: AsyncIterable<Buffer>, call: GrpcCall): AsyncIterable<Uint8Array> };

export interface GrpcServerOptions {
  /** Looks a method up by its path, `/runtime.v1.RuntimeService/Version`. */
  methodOf: (path: string) => GrpcMethod | undefined;
  /** Told of failures that are nobody's fault but ours. */
  onFailure?: (path: string, error: unknown) => void;
  maxMessageBytes?: number;
  clock?: Clock;
}

/** Several of the largest messages at once, of what comes in and of what a client has not read. */
const MAX_SESSION_MEGABYTES = 64;
const SETTINGS: Settings = { maxConcurrentStreams: 1000, initialWindowSize: 1 << 20, maxHeaderListSize: 64 << 10 };

/**
 * gRPC over HTTP/2 (grpc/grpc, "PROTOCOL-HTTP2.md") on connections that it is handed. A call ends with its trailers, whatever happens to
 * its handler; one connection's malformed frames end that connection and no other.
 */
export class GrpcServer implements AsyncDisposable {
  readonly #options: Required<Omit<GrpcServerOptions, 'onFailure'>> & Pick<GrpcServerOptions, 'onFailure'>;
  readonly #sessions = new Set<ServerHttp2Session>();
  /** Handlers that have not come to their end, whether somebody still waits for them or not. */
  readonly #running = new Set<Promise<void>>();
  readonly #calls = new Set<Promise<void>>();
  readonly #closing = new AbortController();
  /** Bytes of answers that a connection's client has not read. */
  readonly #unread = new WeakMap<object, number>();

  constructor({ maxMessageBytes = MAX_MESSAGE_BYTES, clock = systemClock, ...options }: GrpcServerOptions) {
    this.#options = { maxMessageBytes, clock, ...options };
  }

  /** Serves one connection until it ends. */
  accept(socket: Duplex): void {
    if (this.#closing.signal.aborted) return void socket.destroy();
    const session = performServerHandshake(socket, { settings: SETTINGS, maxSessionMemory: MAX_SESSION_MEGABYTES });
    this.#sessions.add(session);
    session.once('close', () => this.#sessions.delete(session));
    // Whoever sends what is no HTTP/2 loses the connection.
    session.on('error', () => session.destroy());
    socket.on('error', () => session.destroy());
    session.on('stream', (stream, headers) => this.#take(stream, headers));
  }

  #take(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    const call = this.#serve(stream, headers).finally(() => this.#calls.delete(call));
    this.#calls.add(call);
  }

  async #serve(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): Promise<void> {
    const path = String(headers[constants.HTTP2_HEADER_PATH] ?? '');
    const ended = new AbortController();
    const end = (reason: unknown) => ended.abort(reason);
    const cancelled = () => end(new GrpcError('CANCELLED', 'the client left'));
    const stopping = () => end(new GrpcError('UNAVAILABLE', 'the server is stopping'));
    stream.on('error', () => {}); // shows in `close`
    stream.once('close', cancelled);
    stream.once('aborted', cancelled);
    this.#closing.signal.addEventListener('abort', stopping, { once: true });
    const timeoutMs = parseGrpcTimeout(headers['grpc-timeout'] as string | undefined);
    using _ =
      timeoutMs === undefined
        ? undefined
        : this.#options.clock.after(timeoutMs, () => end(new GrpcError('DEADLINE_EXCEEDED', 'context deadline exceeded')));
    try {
      const method = this.#check(path, headers);
      const call = { signal: ended.signal, path, metadata: headers };
      stream.respond({ [constants.HTTP2_HEADER_STATUS]: 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
      let status = { code: GrpcCode.OK as number, message: '' };
      stream.once('wantTrailers', () => sendTrailers(stream, status));
      try {
        if (timeoutMs === 0) end(new GrpcError('DEADLINE_EXCEEDED', 'context deadline exceeded'));
        await untilDoneOrEnded(this.#follow(this.#run(method, stream, call)), ended.signal);
      } catch (error) {
        status = toGrpcStatus(error);
        if (isOurFault(status.code)) this.#options.onFailure?.(path, error);
      }
      if (!stream.destroyed && !stream.closed) stream.end();
    } catch (error) {
      refuse(stream, error);
    } finally {
      for (const event of ['close', 'aborted']) stream.off(event, cancelled);
      this.#closing.signal.removeEventListener('abort', stopping);
      if (!stream.readableEnded) stream.resume(); // what nobody read must not hold the stream open
    }
  }

  #follow(work: Promise<void>): Promise<void> {
    const done = () => void this.#running.delete(work);
    this.#running.add(work);
    work.then(done, done);
    return work;
  }

  #check(path: string, headers: IncomingHttpHeaders): GrpcMethod {
    if (headers[constants.HTTP2_HEADER_METHOD] !== 'POST' || !String(headers['content-type'] ?? '').startsWith('application/grpc'))
      throw new UnsupportedContent();
    const encoding = headers['grpc-encoding'];
    if (encoding !== undefined && encoding !== 'identity')
      throw new GrpcError('UNIMPLEMENTED', `grpc: Decompressor is not installed for grpc-encoding ${JSON.stringify(encoding)}`);
    const method = this.#options.methodOf(path);
    if (method) return method;
    const [, service = '', name = ''] = path.split('/');
    throw new GrpcError('UNIMPLEMENTED', `unknown method ${name.slice(0, 256)} for service ${service.slice(0, 256)}`);
  }

  async #run(method: GrpcMethod, stream: ServerHttp2Stream, call: GrpcCall): Promise<void> {
    const { maxMessageBytes } = this.#options;
    if (method.shape === 'unary') {
      const response = await method.handle(await readOne(stream, maxMessageBytes), call);
      if (!call.signal.aborted) this.#write(stream, toFrame(response, maxMessageBytes));
      return;
    }
    for await (const message of method.handle(readAll(stream, maxMessageBytes), call)) {
      call.signal.throwIfAborted();
      if (!this.#write(stream, toFrame(message, maxMessageBytes))) await drained(stream, call.signal);
    }
  }

  /** False when the stream holds more than it should. @throws `RESOURCE_EXHAUSTED` for a client that asks and does not read */
  #write(stream: ServerHttp2Stream, frame: Buffer): boolean {
    const { session } = stream;
    if (!session) return true; // it has just ended
    const count = (bytes: number) => this.#unread.set(session, (this.#unread.get(session) ?? 0) + bytes).get(session) ?? 0;
    if (count(0) > MAX_SESSION_MEGABYTES << 20)
      throw new GrpcError('RESOURCE_EXHAUSTED', `grpc: more than ${MAX_SESSION_MEGABYTES} MiB of answers wait to be read`);
    count(frame.length);
    return stream.write(frame, () => count(-frame.length));
  }

  /** Ends every call with UNAVAILABLE, then every connection; what handlers begin to undo they have a moment for. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    await Promise.allSettled(this.#calls);
    const patience = new AbortController();
    const late = sleep(UNDOING_MS, undefined, { signal: patience.signal }).catch(() => {});
    await Promise.race([Promise.allSettled(this.#running), late]);
    patience.abort();
    await Promise.all(
      [...this.#sessions].map(session => {
        const closed = new Promise<void>(resolve => session.once('close', resolve));
        session.close();
        // What a client does not take in does not keep us.
        setTimeout(() => session.destroy(), CLOSING_MS).unref();
        return closed;
      }),
    );
  }
}

const CLOSING_MS = 200;
const UNDOING_MS = 1_000;

class UnsupportedContent extends Error {}

function isOurFault(code: number): boolean {
  return code === GrpcCode.UNKNOWN || code === GrpcCode.INTERNAL;
}

/** A handler that does not look at its signal goes on, but its caller does not wait for it. */
async function untilDoneOrEnded(work: Promise<void>, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const { promise, reject } = Promise.withResolvers<never>();
  const abort = () => reject(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  try {
    await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener('abort', abort);
    work.catch(() => {});
  }
}

function sendTrailers(stream: ServerHttp2Stream, { code, message }: { code: number; message: string }): void {
  stream.sendTrailers({ 'grpc-status': String(code), ...(message ? { 'grpc-message': encodeGrpcMessage(message) } : {}) });
}

/** An answer of trailers only: nothing of the call was begun. */
function refuse(stream: ServerHttp2Stream, error: unknown): void {
  if (stream.destroyed || stream.headersSent) return void stream.destroy();
  if (error instanceof UnsupportedContent) {
    stream.respond({ [constants.HTTP2_HEADER_STATUS]: 415 }, { endStream: true });
    return;
  }
  const { code, message } = toGrpcStatus(error);
  stream.respond(
    {
      [constants.HTTP2_HEADER_STATUS]: 200,
      'content-type': 'application/grpc',
      'grpc-status': String(code),
      'grpc-message': encodeGrpcMessage(message),
    },
    { endStream: true },
  );
}

async function readOne(stream: ServerHttp2Stream, maxBytes: number): Promise<Buffer> {
  let request: Buffer | undefined;
  for await (const message of readAll(stream, maxBytes)) {
    if (request) throw new GrpcError('INTERNAL', 'grpc: a unary call has more than one request message');
    request = message;
  }
  if (!request) throw new GrpcError('INVALID_ARGUMENT', 'grpc: the call has no request message');
  return request;
}

async function* readAll(stream: ServerHttp2Stream, maxBytes: number): AsyncGenerator<Buffer> {
  const reader = new FrameReader(maxBytes);
  for await (const chunk of stream.iterator({ destroyOnReturn: false })) yield* reader.push(chunk as Buffer);
  if (!reader.isAtBoundary) throw new GrpcError('INVALID_ARGUMENT', 'grpc: the request ends in the middle of a message');
}

function drained(stream: ServerHttp2Stream, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    stream.once('drain', () => {
      signal.removeEventListener('abort', abort);
      resolve();
    });
  });
}
