import { type Clock, isUmiakError, type Log, messageOf } from '#base/index.ts';
import { type Client, keyText, parseKey, WorkQueue } from '#client/index.ts';
import { Pod } from '#kinds/pod.ts';

export interface StatusWriterOptions {
  client: Client;
  clock: Clock;
  log: Log;
}

interface Pending {
  uid: string;
  status: NonNullable<Pod['status']>;
}

/** Sends pods' statuses to the API, behind the workers' backs: only the newest of each pod, one at a time for each, again until it is taken. */
export class StatusWriter implements AsyncDisposable {
  readonly #client: Client;
  readonly #pending = new Map<string, Pending>();
  /** What the API has last been told, as text, so that nothing is said twice. */
  readonly #said = new Map<string, string>();
  readonly #queue: WorkQueue;
  #waiters: { key: string; resolve: () => void }[] = [];

  constructor({ client, clock, log }: StatusWriterOptions) {
    this.#client = client;
    this.#queue = new WorkQueue({
      clock,
      concurrency: 16,
      lastBackoffMs: 5_000,
      work: key => this.#write(key),
      onError: (key, error, againInMs) => log.debug('a pod status was not written', { pod: key, error: messageOf(error), againInMs }),
    });
  }

  put(pod: Pod, status: NonNullable<Pod['status']>): void {
    const key = keyText(pod.metadata);
    const text = `${pod.metadata.uid}${JSON.stringify(status)}`;
    if (this.#said.get(key) === text) return;
    this.#said.set(key, text);
    this.#pending.set(key, { uid: pod.metadata.uid, status });
    this.#queue.add(key);
  }

  /** Resolves once the newest status of the pod has been taken by the API, or the pod is gone. */
  async settled({ metadata }: Pod): Promise<void> {
    const key = keyText(metadata);
    if (this.#pending.has(key)) await new Promise<void>(resolve => this.#waiters.push({ key, resolve }));
  }

  forget({ metadata }: Pod): void {
    const key = keyText(metadata);
    // Another pod may bear the name by now.
    if (this.#said.get(key)?.startsWith(metadata.uid)) this.#said.delete(key);
    if (this.#pending.get(key)?.uid !== metadata.uid) return;
    this.#pending.delete(key);
    this.#wake(key);
  }

  async #write(key: string): Promise<undefined> {
    const next = this.#pending.get(key);
    if (!next) return;
    try {
      const patch = { metadata: { uid: next.uid }, status: next.status };
      await this.#client.patch(Pod, parseKey(key), patch, { type: 'merge', subresource: 'status' });
    } catch (error) {
      const gone = isUmiakError(error, 'NotFound') || isUmiakError(error, 'Conflict') || isUmiakError(error, 'Invalid');
      if (!gone) throw error;
      if (isUmiakError(error, 'Invalid')) this.#said.delete(key);
    }
    if (this.#pending.get(key) === next) {
      this.#pending.delete(key);
      this.#wake(key);
    } else this.#queue.add(key);
  }

  #wake(key: string): void {
    const due = this.#waiters.filter(waiter => waiter.key === key);
    this.#waiters = this.#waiters.filter(waiter => waiter.key !== key);
    for (const { resolve } of due) resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#queue[Symbol.asyncDispose]();
    for (const { resolve } of this.#waiters.splice(0)) resolve();
  }
}
