import type { KubeObject } from '#kinds/kind.ts';
import type { Reply } from './http-messages.ts';
import { toWatchFrame } from './protobuf/watch-event.ts';
import type { Context } from './request.ts';
import type { Served } from './resources.ts';
import { shownObject } from './shown.ts';
import type { StoredObject } from './stored-object.ts';
import { watchFrameOf } from './stored-protobuf.ts';
import { inMetaVersion, toPartial, toTable } from './table.ts';
import type { WatchFrame, WatchSink } from './watch.ts';

const BEFORE = {
  ADDED: Buffer.from('{"type":"ADDED","object":'),
  MODIFIED: Buffer.from('{"type":"MODIFIED","object":'),
  DELETED: Buffer.from('{"type":"DELETED","object":'),
};
const AFTER = Buffer.from('}\n');

/** A watch's way to an HTTP client: one JSON line an event, or one frame of protobuf. An event's bytes are made once for all watchers of the same form. */
export class HttpWatchSink implements WatchSink {
  readonly #served: Served;
  readonly #context: Context;
  readonly #reply: Reply;
  readonly #form: string;
  readonly #now: () => number;
  #columnsSent = false;

  constructor(served: Served, context: Context, reply: Reply, now: () => number) {
    this.#served = served;
    this.#context = context;
    this.#reply = reply;
    this.#now = now;
    this.#form = `${served.apiVersion} ${context.media.encoding} ${context.media.as}${context.media.isBeta ? ' beta' : ''} ${context.query.get('includeObject') ?? ''}`;
  }

  get backlogBytes(): number {
    return this.#reply.backlogBytes;
  }

  drained(): Promise<void> {
    return this.#reply.drained();
  }

  frames(frames: WatchFrame[]): void {
    if (this.#reply.closed) return;
    this.#reply.write(frames.length === 1 ? this.#bytesOf(frames[0]!) : Buffer.concat(frames.map(frame => this.#bytesOf(frame))));
  }

  bookmark(revision: number, initialEventsEnd: boolean): void {
    if (this.#reply.closed) return;
    const { resource, apiVersion } = this.#served;
    const annotations = initialEventsEnd ? { 'k8s.io/initial-events-end': 'true' } : undefined;
    const object = {
      kind: resource.kind,
      apiVersion,
      metadata: { resourceVersion: String(revision), creationTimestamp: null, annotations },
    };
    const shown =
      this.#context.media.as === 'table'
        ? this.#table(undefined, object.metadata)
        : this.#context.media.as === 'partial'
          ? toPartial(object as unknown as KubeObject)
          : object;
    this.#reply.write(this.#event('BOOKMARK', inMetaVersion(this.#context.media, shown)));
  }

  end(expired?: { message: string }): void {
    if (this.#reply.closed) return;
    if (expired) {
      this.#reply.write(
        this.#event('ERROR', {
          kind: 'Status',
          apiVersion: 'v1',
          metadata: {},
          status: 'Failure',
          message: expired.message,
          reason: 'Expired',
          code: 410,
        }),
      );
    }
    this.#reply.end();
  }

  cut(): void {
    this.#reply.destroy();
  }

  #bytesOf({ type, object, change }: WatchFrame): Buffer {
    // A table's first event alone bears the columns.
    const key = `${type} ${this.#form} ${this.#columnsSent}`;
    const known = change?.encoded.get(key);
    const bytes = known ?? this.#encode(type, object);
    if (!known) change?.encoded.set(key, bytes);
    if (this.#context.media.as === 'table') this.#columnsSent = true;
    return bytes;
  }

  #encode(type: WatchFrame['type'], stored: StoredObject): Buffer {
    const { media } = this.#context;
    const { as, encoding } = media;
    if (as === 'object' && encoding === 'protobuf') return watchFrameOf(type, this.#served, stored);
    if (as === 'object' && !this.#served.conversion) return stored.wrapped(BEFORE[type], AFTER);
    const object = shownObject(this.#served, stored);
    const table = () => this.#table(object, { resourceVersion: object.metadata.resourceVersion });
    return this.#event(type, inMetaVersion(media, as === 'table' ? table() : as === 'partial' ? toPartial(object) : object));
  }

  #table(object: KubeObject | undefined, metadata: object): object {
    const table = toTable(this.#served, object ? [object] : [], this.#context.query.get('includeObject') ?? 'Metadata', this.#now());
    if (!object) table.rows = [{ cells: [], object: { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata } }];
    return { ...table, ...(this.#columnsSent && { columnDefinitions: [] }), metadata };
  }

  #event(type: string, object: object): Buffer {
    if (this.#context.media.encoding === 'protobuf') return toWatchFrame(type, object);
    return Buffer.from(`${JSON.stringify({ type, object })}\n`);
  }
}
