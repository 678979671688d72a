import { text } from 'node:stream/consumers';
import { UmiakError } from '#base/errors.ts';
import { fromStatus } from '#client/status-error.ts';
import type { WatchFrame as ClientFrame, Transport, TransportRequest, TransportResponse } from '#client/transport.ts';
import type { Identity } from './identity.ts';
import { toListValue, toValue } from './render.ts';
import type { ApiRequest, Context, Outcome } from './request.ts';
import type { Served } from './resources.ts';
import { shownObject } from './shown.ts';
import { isSliceOver, nextSlice } from './slices.ts';
import { toStatus } from './status.ts';
import { Watch, type WatchFrame, type WatchSink } from './watch.ts';

type Handle = (request: ApiRequest) => Promise<{ outcome: Outcome; context: Context }>;

/** The typed client's wire into the same process: the whole pipeline, without HTTP and without TLS. */
export function createLocalTransport(handle: Handle, identity: Identity): Transport {
  return {
    async request(request: TransportRequest): Promise<TransportResponse> {
      if (isSliceOver()) await nextSlice(); // controllers ask hundreds of things at once
      try {
        const { outcome, context } = await handle(toApiRequest(request, identity));
        if (outcome.type === 'watch' || outcome.type === 'upgrade')
          throw new UmiakError('BadRequest', `a ${outcome.type} is no single answer`);
        if (outcome.type === 'stream') return { status: outcome.status, body: await text(outcome.body) };
        if (outcome.type === 'bytes') return { status: outcome.status, body: outcome.bytes.toString() };
        const { media, query } = context;
        if (outcome.type === 'list') return { status: 200, body: await toListValue(outcome, media.as, query, Date.now()) };
        return { status: outcome.status, body: toValue(outcome, media.as, query, Date.now()) };
      } catch (error) {
        const status = toStatus(error);
        return { status: status.code, body: status };
      }
    },

    async watch({ path, signal, receive }): Promise<void> {
      if (signal.aborted) return;
      let outcome: Outcome;
      let context: Context;
      try {
        ({ outcome, context } = await handle(toApiRequest({ method: 'GET', path, signal }, identity)));
      } catch (error) {
        const status = toStatus(error);
        throw fromStatus(status, status.code);
      }
      if (outcome.type !== 'watch') throw new UmiakError('BadRequest', `${path} is no watch`);
      const { served } = outcome;
      const started = outcome;
      await new Promise<void>(resolve => {
        const watch = Watch.start(started, new LocalSink(served, receive, resolve));
        const stop = () => {
          watch.stop();
          resolve();
        };
        if (signal.aborted) stop();
        else signal.addEventListener('abort', stop, { once: true });
      });
      context.ended?.();
    },
  };
}

class LocalSink implements WatchSink {
  readonly #served: Served;
  readonly #receive: (frame: ClientFrame) => Promise<void> | undefined | void;
  readonly #ended: () => void;
  readonly backlogBytes = 0;
  /** Set while the receiver wants no more. */
  #busy: Promise<void> | undefined;

  constructor(served: Served, receive: (frame: ClientFrame) => Promise<void> | undefined | void, ended: () => void) {
    this.#served = served;
    this.#receive = receive;
    this.#ended = ended;
  }

  frames(frames: WatchFrame[]): void {
    for (const { type, object } of frames) this.#give({ type, object: shownObject(this.#served, object) });
  }

  bookmark(revision: number, initialEventsEnd: boolean): void {
    const annotations = initialEventsEnd ? { 'k8s.io/initial-events-end': 'true' } : undefined;
    const { resource, apiVersion } = this.#served;
    this.#give({
      type: 'BOOKMARK',
      object: { kind: resource.kind, apiVersion, metadata: { resourceVersion: String(revision), ...(annotations && { annotations }) } },
    });
  }

  #give(frame: ClientFrame): void {
    this.#busy = this.#receive(frame) ?? undefined;
  }

  /** Waits for a receiver that has enough, and lets the event loop turn, so that a long first list does not hold it. */
  async drained(): Promise<void> {
    await this.#busy;
    await new Promise(resolve => setImmediate(resolve));
  }

  cut(): void {
    this.#ended();
  }

  end(expired?: { message: string }): void {
    if (expired)
      this.#receive({
        type: 'ERROR',
        object: { kind: 'Status', status: 'Failure', message: expired.message, reason: 'Expired', code: 410 },
      });
    this.#ended();
  }
}

const EMPTY = Buffer.alloc(0);
const NEVER = new AbortController().signal;

function toApiRequest({ method, path, body, contentType = 'application/json', signal }: TransportRequest, identity: Identity): ApiRequest {
  return {
    method,
    url: path,
    // Whose fields its writes are: the component's name.
    headers: { 'content-type': contentType, 'user-agent': identity.name.slice(identity.name.lastIndexOf(':') + 1) },
    identity,
    signal: signal ?? NEVER,
    readBody: async () => (body === undefined ? EMPTY : Buffer.from(JSON.stringify(body))),
  };
}
