import { type Clock, isUmiakError, type Log, messageOf } from '#base/index.ts';
import { isObject } from '#base/json-object.ts';
import { type Client, keyText, parseKey, WorkQueue } from '#client/index.ts';
import { Pod } from '#kinds/pod.ts';

export interface StatusWriterOptions {
  client: Pick<Client, 'patch'>;
  clock: Clock;
  log: Log;
}

type Status = NonNullable<Pod['status']>;

/** That a pod's containers are being made waits so long to be said: most run by then, and one write says all. */
const PASSING_MS = 1_000;

/** What was said of a pod last. */
interface Said {
  uid: string;
  status: Status;
  text: string;
  /** The object's revision once the API had it. */
  revision?: number;
  isPending: boolean;
  /** Conditions that were there and are no more. */
  gone: readonly string[];
}

/** Conditions that stand only while there is something to say. */
const PASSING_CONDITIONS = ['PodResizePending', 'PodResizeInProgress'];

/**
 * Sends pods' statuses to the API, behind the workers' backs: only the newest of each pod, one at a time for each, again until it is taken,
 * and nothing that the API shows already. Conditions of others stay.
 */
export class StatusWriter implements AsyncDisposable {
  readonly #client: Pick<Client, 'patch'>;
  readonly #said = new Map<string, Said>();
  readonly #queue: WorkQueue;
  #waiters: { uid: string; resolve: () => void }[] = [];

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

  /** Says `status` of `pod`, which is the newest that is known of it. */
  put({ metadata, status: shown }: Pod, status: Status): void {
    const key = keyText(metadata);
    const { uid } = metadata;
    const text = JSON.stringify(status);
    const known = this.#said.get(key);
    const said = known?.uid === uid ? known : undefined;
    const isShown = shows(shown, status) && goneOf(status, [shown]).length === 0;
    if (said) {
      // What this pod shows can be older than our last word.
      const isOlder = said.isPending || Number(metadata.resourceVersion) <= (said.revision ?? 0);
      if (said.text === text && (isOlder || isShown)) return;
    } else if (isShown) {
      this.#said.set(key, { uid, status, text, isPending: false, gone: [] });
      return;
    }
    const gone = [...new Set([...goneOf(status, [shown, said?.status]), ...(said?.isPending ? said.gone : [])])];
    this.#said.set(key, { uid, status, text, isPending: true, gone: gone.filter(type => !hasCondition(status, type)) });
    if (isPassing(status)) this.#queue.addAfter(key, PASSING_MS);
    else this.#queue.add(key);
  }

  /** The last word on this pod, whether or not the API has it yet. */
  said({ metadata }: Pod): Status | undefined {
    const said = this.#said.get(keyText(metadata));
    return said?.uid === metadata.uid ? said.status : undefined;
  }

  /** Resolves once the newest status of the pod has been taken by the API, or the pod is gone. */
  async settled({ metadata }: Pod): Promise<void> {
    const { uid } = metadata;
    const said = this.#said.get(keyText(metadata));
    if (said?.uid === uid && said.isPending) await new Promise<void>(resolve => this.#waiters.push({ uid, resolve }));
  }

  forget({ metadata }: Pod): void {
    const key = keyText(metadata);
    // Another pod may bear the name by now.
    if (this.#said.get(key)?.uid === metadata.uid) this.#said.delete(key);
    this.#wake(metadata.uid);
  }

  async #write(key: string): Promise<undefined> {
    const next = this.#said.get(key);
    if (!next?.isPending) return;
    try {
      const patch = { metadata: { uid: next.uid }, status: toPatch(next.status, next.gone) };
      const { metadata } = await this.#client.patch(Pod, parseKey(key), patch, { type: 'strategic', subresource: 'status' });
      next.revision = Number(metadata.resourceVersion);
    } catch (error) {
      // Gone, or another by this name; or nothing that the API takes, however often it is said.
      if (!['NotFound', 'Conflict', 'Invalid'].some(reason => isUmiakError(error) && error.reason === reason)) throw error;
      if (isUmiakError(error, 'Invalid')) next.text = '';
    }
    next.isPending = false;
    if (this.#said.get(key) === next) this.#wake(next.uid);
  }

  #wake(uid: string): void {
    const due = this.#waiters.filter(waiter => waiter.uid === uid);
    this.#waiters = this.#waiters.filter(waiter => waiter.uid !== uid);
    for (const { resolve } of due) resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#queue[Symbol.asyncDispose]();
    for (const { resolve } of this.#waiters.splice(0)) resolve();
  }
}

/** Passing conditions that one of `before` has and `status` has not. */
function goneOf(status: Status, before: (Status | undefined)[]): string[] {
  return PASSING_CONDITIONS.filter(type => !hasCondition(status, type) && before.some(each => hasCondition(each, type)));
}

function hasCondition(status: Status | undefined, type: string): boolean {
  return status?.conditions?.some(condition => condition.type === type) === true;
}

/** Nothing but that its containers are being made for the first time: what comes next comes soon. */
function isPassing({ phase, containerStatuses = [], initContainerStatuses = [] }: Status): boolean {
  const isBeingMade = ({ state, lastState }: (typeof containerStatuses)[number]) =>
    !lastState?.terminated && ['ContainerCreating', 'PodInitializing'].includes(state?.waiting?.reason ?? '');
  return phase === 'Pending' && containerStatuses.length > 0 && [...initContainerStatuses, ...containerStatuses].every(isBeingMade);
}

/** A strategic patch that makes our fields and conditions exactly these, and leaves others' alone. */
function toPatch({ conditions, hostIPs, podIPs, ...rest }: Status, gone: readonly string[]): object {
  const whole = (list: object[] | undefined) => (list ? [...list, { $patch: 'replace' }] : undefined);
  return {
    ...rest,
    conditions: [
      ...(conditions ?? []).map(condition => ({ reason: null, message: null, ...condition })),
      ...gone.map(type => ({ type, $patch: 'delete' })),
    ],
    hostIPs: whole(hostIPs),
    podIPs: whole(podIPs),
  };
}

/** Whether all of `part` stands in `whole`; conditions by their type, empty things as good as none. */
function shows(whole: unknown, part: unknown): boolean {
  if (part === undefined || part === null) return true;
  if (Array.isArray(part)) {
    if (!Array.isArray(whole)) return part.length === 0;
    const isTyped = part.some(element => isObject(element) && 'type' in element && 'status' in element);
    if (isTyped)
      return part.every(element =>
        shows(
          whole.find(other => isObject(other) && other.type === element.type),
          element,
        ),
      );
    return whole.length === part.length && part.every((element, i) => shows(whole[i], element));
  }
  if (!isObject(part)) return whole === part;
  return Object.entries(part).every(([key, value]) => shows(isObject(whole) ? whole[key] : undefined, value));
}
