import { createHash } from 'node:crypto';
import { type Clock, isUmiakError, type Log, messageOf, toTime } from '#base/index.ts';
import { Event } from '#kinds/event.ts';
import type { KubeObject } from '#kinds/kind.ts';
import type { Client } from './client.ts';

export interface EventRecorderOptions {
  client: Client;
  /** `source.component`: `kubelet`, `replicaset-controller`, … */
  component: string;
  host?: string;
  clock: Clock;
  log: Log;
}

interface Known {
  name: string;
  count: number;
  firstTimestamp: string;
}

/** Repetitions of one event are counted in one object; so many different ones are remembered. */
const REMEMBERED = 1024;

/** Writes Events about objects: behind the caller's back and in order, the same event again only raises its count. */
export class EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #known = new Map<string, Known>();
  #tail: Promise<void> = Promise.resolve();

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
  flush(): Promise<void> {
    return this.#tail;
  }

  #record(about: KubeObject, type: 'Normal' | 'Warning', reason: string, message: string): void {
    const { apiVersion, kind } = about;
    const { name, namespace, uid, resourceVersion } = about.metadata;
    const involvedObject = { apiVersion, kind, name, ...(namespace ? { namespace } : {}), uid, resourceVersion };
    this.#tail = this.#tail
      .then(() => this.#write({ involvedObject, type, reason, message: message.slice(0, 1024) }))
      .catch(error => this.#options.log.debug('an event was not written', { reason, error: messageOf(error) }));
  }

  async #write({ involvedObject, type, reason, message }: Happening): Promise<void> {
    const { client, component, host, clock } = this.#options;
    const namespace = involvedObject.namespace ?? 'default';
    const id = createHash('sha256').update([involvedObject.uid, type, reason, message].join('\0')).digest('hex').slice(0, 16);
    const now = toTime(clock.now());
    const known = this.#known.get(id);
    if (known) {
      known.count += 1;
      try {
        await client.patch(Event, { namespace, name: known.name }, { count: known.count, lastTimestamp: now }, { type: 'merge' });
        return;
      } catch (error) {
        if (!isUmiakError(error, 'NotFound')) throw error;
      }
    }
    const fresh: Known = { name: `${involvedObject.name}.${id}${clock.now().toString(36)}`, count: 1, firstTimestamp: now };
    await client.create(Event, {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name: fresh.name, namespace },
      involvedObject,
      type,
      reason,
      message,
      count: 1,
      firstTimestamp: now,
      lastTimestamp: now,
      source: { component, ...(host ? { host } : {}) },
      reportingComponent: component,
      reportingInstance: host ?? '',
    });
    this.#known.delete(id);
    this.#known.set(id, fresh);
    if (this.#known.size > REMEMBERED) for (const oldest of this.#known.keys()) if (this.#known.delete(oldest)) break;
  }
}

interface Happening {
  involvedObject: { apiVersion: string; kind: string; name: string; namespace?: string; uid: string; resourceVersion: string };
  type: 'Normal' | 'Warning';
  reason: string;
  message: string;
}
