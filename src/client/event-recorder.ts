import { createHash } from 'node:crypto';
import { type Clock, isUmiakError, type Log, messageOf, type Reason, toTime } from '#base/index.ts';
import { Event } from '#kinds/event.ts';
import type { KubeObject } from '#kinds/kind.ts';
import type { Client } from './client.ts';
import { pause } from './informer.ts';

export interface EventRecorderOptions {
  client: Client;
  /** `source.component`: `kubelet`, `replicaset-controller`, … */
  component: string;
  host?: string;
  clock: Clock;
  log: Log;
}

/** An Event as it stands in the API: repetitions only raise its count. */
interface Known {
  name: string;
  count: number;
}

/** What waits to be written; the same again meanwhile is counted here. */
interface Happening {
  involvedObject: { apiVersion: string; kind: string; name: string; namespace?: string; uid: string; resourceVersion: string };
  type: 'Normal' | 'Warning';
  reason: string;
  message: string;
  times: number;
  /** Among those first recorded in the same millisecond. */
  nth: number;
  firstMs: number;
  lastMs: number;
}

/** Different events that wait at most, and that are remembered for counting. */
const MOST_WAITING = 1_024;
const MOST_KNOWN = 4_096;
/** Events about one object: so many at once, then one every five minutes, as upstream's clients limit themselves. */
const BURST = 25;
const REFILL_MS = 300_000;
const WRITERS = 4;
/** While the API is away, events wait. */
const PASSING: ReadonlySet<Reason> = new Set(['ServiceUnavailable', 'Timeout', 'TooManyRequests']);
const MOST_TRIES = 12;
const FIRST_RETRY_MS = 250;
const LAST_RETRY_MS = 10_000;

/**
 * Writes Events about objects behind the caller's back: recording never waits and never throws. The same event again only raises its
 * count; what an object has to say is bounded, and so is what waits. Disposing leaves unwritten what still waits.
 */
export class EventRecorder implements AsyncDisposable {
  readonly #options: EventRecorderOptions;
  readonly #known = new Map<string, Known>();
  readonly #allowances = new Map<string, { left: number; atMs: number }>();
  readonly #waiting = new Map<string, Happening>();
  readonly #abort = new AbortController();
  #writing: Promise<unknown> | undefined;
  #dropped = 0;
  #lastMs = 0;
  #nth = 0;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
  }

  normal(about: KubeObject, reason: string, message: string): void {
    this.#record(about, 'Normal', reason, message);
  }

  warning(about: KubeObject, reason: string, message: string): void {
    this.#record(about, 'Warning', reason, message);
  }

  /** Resolves when everything recorded so far has been written (or refused). */
  async flush(): Promise<void> {
    await this.#writing;
  }

  #record(about: KubeObject, type: 'Normal' | 'Warning', reason: string, text: string): void {
    const { clock, log } = this.#options;
    const now = clock.now();
    const message = text.slice(0, 1024);
    const { name, namespace, uid, resourceVersion } = about.metadata;
    const id = [uid, type, reason, message].join('\0');
    const waiting = this.#waiting.get(id);
    if (waiting) {
      waiting.times += 1;
      waiting.lastMs = now;
      return;
    }
    if (this.#abort.signal.aborted || !this.#isAllowed(uid, now)) return;
    if (this.#waiting.size >= MOST_WAITING) {
      if (this.#dropped++ === 0) log.warn('events are dropped: too many wait to be written', { waiting: MOST_WAITING });
      return;
    }
    const { apiVersion, kind } = about;
    const involvedObject = { apiVersion, kind, name, ...(namespace ? { namespace } : {}), uid, resourceVersion };
    this.#nth = now === this.#lastMs ? this.#nth + 1 : 0;
    this.#lastMs = now;
    this.#waiting.set(id, { involvedObject, type, reason, message, times: 1, nth: this.#nth, firstMs: now, lastMs: now });
    this.#writing ??= Promise.all(Array.from({ length: WRITERS }, () => this.#drain())).finally(() => {
      this.#writing = undefined;
      this.#dropped = 0;
    });
  }

  /** A bucket of tokens an object. */
  #isAllowed(uid: string, now: number): boolean {
    const { left, atMs } = this.#allowances.get(uid) ?? { left: BURST, atMs: now };
    const refilled = Math.min(BURST, left + (now - atMs) / REFILL_MS);
    this.#allowances.delete(uid);
    this.#allowances.set(uid, { left: Math.max(0, refilled < 1 ? refilled : refilled - 1), atMs: now });
    dropOldest(this.#allowances, MOST_KNOWN);
    return refilled >= 1;
  }

  async #drain(): Promise<void> {
    // Lets the caller finish first, so that what it repeats at once is counted before it is written.
    await Promise.resolve();
    for (const [id, happening] of this.#waiting) {
      this.#waiting.delete(id);
      try {
        await this.#persist(createHash('sha256').update(id).digest('hex').slice(0, 16), happening);
      } catch (error) {
        this.#options.log.debug('an event was not written', { reason: happening.reason, error: messageOf(error) });
      }
    }
  }

  /** Writes one event, again while the API can't be reached. */
  async #persist(id: string, happening: Happening): Promise<void> {
    const { signal } = this.#abort;
    let retryMs = FIRST_RETRY_MS;
    for (let tries = 1; !signal.aborted; tries++) {
      try {
        return await this.#write(id, happening);
      } catch (error) {
        if (!isUmiakError(error) || !PASSING.has(error.reason) || tries === MOST_TRIES) throw error;
      }
      await pause(this.#options.clock, retryMs, signal);
      retryMs = Math.min(retryMs * 2, LAST_RETRY_MS);
    }
  }

  async #write(id: string, { involvedObject, type, reason, message, times, nth, firstMs, lastMs }: Happening): Promise<void> {
    const { client, component, host } = this.#options;
    const namespace = involvedObject.namespace ?? 'default';
    const lastTimestamp = toTime(lastMs);
    const known = this.#known.get(id);
    if (known) {
      try {
        const count = known.count + times;
        await client.patch(Event, { namespace, name: known.name }, { count, lastTimestamp }, { type: 'merge' });
        known.count = count;
        return;
      } catch (error) {
        if (!isUmiakError(error, 'NotFound')) throw error;
      }
    }
    // Lists go by names, and times by seconds: in this form an object's events are listed as they happened.
    const moment = firstMs.toString(16) + nth.toString(16).padStart(4, '0');
    const name = `${involvedObject.name.slice(0, 220).replace(/[.-]+$/, '')}.${moment}${id.slice(0, 8)}`;
    await client.create(Event, {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name, namespace },
      involvedObject,
      type,
      reason,
      message,
      count: times,
      firstTimestamp: toTime(firstMs),
      lastTimestamp,
      source: { component, ...(host ? { host } : {}) },
      reportingComponent: component,
      reportingInstance: host ?? '',
    });
    this.#known.delete(id);
    this.#known.set(id, { name, count: times });
    dropOldest(this.#known, MOST_KNOWN);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort();
    this.#waiting.clear();
    await this.#writing;
  }
}

function dropOldest(map: Map<string, unknown>, most: number): void {
  if (map.size > most) for (const oldest of map.keys()) if (map.delete(oldest)) return;
}
