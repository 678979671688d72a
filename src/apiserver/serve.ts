import type { Duplex } from 'node:stream';
import type { Clock } from '#base/clock.ts';
import { isUmiakError } from '#base/errors.ts';
import type { Log } from '#base/log.ts';
import { compressed, wantsGzip } from './compression.ts';
import type { Reply } from './http-messages.ts';
import type { HttpHandler, UpgradeHandler } from './http-server.ts';
import { mediaOfError } from './media.ts';
import type { Metrics } from './metrics.ts';
import { render, toBytes } from './render.ts';
import type { ApiRequest, Context, Outcome } from './request.ts';
import { type Status, toStatus } from './status.ts';
import { sendStream } from './stream-outcome.ts';
import { Watch } from './watch.ts';
import { HttpWatchSink } from './watch-http.ts';

export interface ServeOptions {
  handle: (request: ApiRequest) => Promise<{ outcome: Outcome; context: Context }>;
  clock: Clock;
  log: Log;
  metrics: Metrics;
}

type Headers = Record<string, string | string[] | number>;

/** What is larger goes in pieces. */
const LARGE_BYTES = 1 << 20;
const UNCACHED = { 'cache-control': 'no-cache, private' };

/** Puts the pipeline's outcomes on the wire. */
export function createServe({ handle: ask, clock, log, metrics }: ServeOptions): { handle: HttpHandler; upgrade: UpgradeHandler } {
  const serve: HttpHandler = async (request, reply) => {
    const began = clock.monotonic();
    try {
      const { outcome, context } = await ask(request);
      metrics.observe(context, statusOf(outcome), clock.monotonic() - began);
      if (!reply.closed) await answer(reply, request, outcome, context);
    } catch (error) {
      metrics.observeFailure(request.method, refuse(reply, request, error), clock.monotonic() - began);
    }
  };

  async function answer(reply: Reply, request: ApiRequest, outcome: Outcome, context: Context): Promise<void> {
    const warning = { ...request.extraHeaders, ...warningHeader(context.warnings) };
    if (outcome.type === 'upgrade') return outcome.abandon();
    if (context.ended) reply.onClose(context.ended);
    if (outcome.type === 'watch') {
      reply.head(200, { 'content-type': context.media.contentType, ...UNCACHED, ...warning });
      const watch = Watch.start(outcome, new HttpWatchSink(outcome.served, context, reply, () => clock.now()));
      reply.onClose(() => watch.stop());
      return;
    }
    if (outcome.type === 'stream') return await sendStream(reply, outcome, UNCACHED);
    const { status, contentType, headers, body } = render(outcome, context, clock.now());
    const all: Headers = { 'content-type': contentType, ...UNCACHED, ...headers, ...warning };
    if (request.method === 'HEAD') {
      reply.head(status, { ...all, 'content-length': 0 });
      return reply.end();
    }
    const whole = Buffer.isBuffer(body) ? body : undefined;
    if (!headers?.['content-encoding'] && wantsGzip(request, whole?.length))
      return await send(
        reply,
        status,
        { ...all, 'content-encoding': 'gzip', vary: headers?.vary ? `${headers.vary}, Accept-Encoding` : 'Accept-Encoding' },
        compressed(whole ? [whole] : (body as Iterable<Buffer> | AsyncIterable<Buffer>)),
      );
    if (!whole) return await send(reply, status, all, body as Iterable<Buffer> | AsyncIterable<Buffer>);
    const named = { ...all, 'content-length': whole.length };
    if (whole.length > LARGE_BYTES) return await send(reply, status, named, piecesOf(whole));
    reply.head(status, named);
    reply.end(whole);
  }

  /** Says no; gives the code that was said. */
  function refuse(reply: Reply, request: ApiRequest, error: unknown): number {
    const status = toStatus(error);
    if (!isUmiakError(error) || error.reason === 'InternalError')
      log.error('a request failed', { method: request.method, url: request.url, error });
    if (reply.closed) return status.code;
    const { encoding, contentType } = mediaOfError(request.headers.accept);
    const body = toBytes(status, encoding);
    try {
      reply.head(status.code, {
        ...refusalHeaders(status),
        ...request.extraHeaders,
        'content-type': contentType,
        'content-length': body.length,
      });
      reply.end(body);
    } catch {
      reply.destroy(); // the answer had begun: all that can be said is that it is not whole
    }
    return status.code;
  }

  return {
    handle: serve,
    upgrade(request, socket, head) {
      socket.on('error', () => socket.destroy());
      ask(request)
        .then(
          async ({ outcome }) => {
            if (outcome.type === 'upgrade') {
              if (socket.destroyed) outcome.abandon();
              else await outcome.accept(socket, head);
            } else {
              if (outcome.type === 'stream') outcome.body.destroy();
              refuseUpgrade(socket, {
                kind: 'Status',
                apiVersion: 'v1',
                metadata: {},
                status: 'Failure',
                reason: 'BadRequest',
                code: 400,
                message: 'this path can not be upgraded',
              });
            }
          },
          error => refuseUpgrade(socket, toStatus(error)),
        )
        .catch(error => {
          log.warn('an upgraded connection broke', { error });
          socket.destroy();
        });
    },
  };
}

/** To hand all of it to the socket at once would take long. */
function* piecesOf(whole: Buffer): Generator<Buffer> {
  for (let at = 0; at < whole.length; at += LARGE_BYTES) yield whole.subarray(at, at + LARGE_BYTES);
}

/** Streams pieces at the reader's pace; a single piece goes with its length. */
async function send(reply: Reply, status: number, headers: Headers, pieces: Iterable<Buffer> | AsyncIterable<Buffer>): Promise<void> {
  let waiting: Buffer | undefined;
  let started = false;
  for await (const piece of pieces) {
    if (waiting) {
      if (!started) reply.head(status, headers);
      started = true;
      if (!reply.write(waiting)) await reply.drained();
      if (reply.closed) return;
    }
    waiting = piece;
  }
  if (!started) reply.head(status, { ...headers, 'content-length': waiting?.length ?? 0 });
  reply.end(waiting);
}

function statusOf(outcome: Outcome): number {
  return 'status' in outcome ? outcome.status : outcome.type === 'upgrade' ? 101 : 200;
}

function refusalHeaders({ code, details }: Status): Headers {
  return {
    ...UNCACHED,
    ...(details?.retryAfterSeconds && { 'retry-after': details.retryAfterSeconds }),
    ...(code === 401 && { 'www-authenticate': 'Bearer realm="umiak"' }),
    // The rest of a body that is too large is not worth waiting for.
    ...(code === 413 && { connection: 'close' }),
  };
}

function refuseUpgrade(socket: Duplex, status: Status): void {
  if (socket.destroyed) return;
  const body = JSON.stringify(status);
  const head = [
    `HTTP/1.1 ${status.code} ${status.reason}`,
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
}

/** RFC 7234's `Warning` with code 299, as kubectl prints it. */
function warningHeader(warnings: string[]): Record<string, string[]> {
  if (warnings.length === 0) return {};
  const safe = (text: string) =>
    text
      .replaceAll(/[^\x20-\x7e]/g, ' ')
      .replaceAll(/["\\]/g, '\\$&')
      .slice(0, 1000);
  return { warning: [...new Set(warnings)].slice(0, 50).map(text => `299 - "${safe(text)}"`) };
}
