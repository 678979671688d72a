import { type Clock, isUmiakError, type Log, messageOf } from '#base/index.ts';
import { type Client, Informer, WorkQueue } from '#client/index.ts';
import type { Container, Engine } from '#engine/engine.ts';
import type { Draft } from '#kinds/kind.ts';
import { MIRROR_NAMESPACE, mirroredContainerOf } from '#kinds/mirror-pod.ts';
import { Namespace } from '#kinds/namespace.ts';
import { Pod } from '#kinds/pod.ts';
import { StatusWriter } from '../status-writer.ts';
import { type Mirrored, type MirrorPlan, planMirror, planMirrorPod, planMirrorStatus } from './plan-mirror.ts';

export interface MirrorPodsOptions {
  client: Client;
  engine: Pick<Engine, 'container' | 'containers'>;
  /** What docker says of a container; undefined for those that are not docker's. */
  describe: (container: Container) => Mirrored | undefined;
  /** Stops a container as a person does. */
  stop: (id: string, graceSeconds: number) => Promise<void>;
  /** Calls with the id of each container of which docker says that something happened, until it is disposed. */
  changes: (hear: (id: string) => void) => Disposable;
  nodeName: string;
  hostAddress: string;
  clock: Clock;
  log: Log;
}

/** What runs shorter than this is not shown. */
const LASTING_MS = 700;
/** Changes of what is shown wait so long for the next. */
const SETTLING_MS = 250;

/**
 * Shows docker's containers as Pods of namespace `docker`, behind docker's back: nothing waits for it, and what is over soon never appears.
 * Whoever deletes such a Pod stops the container. What is shown follows from the engine and the API alone, so an agent may be killed
 * anywhere; a Pod that vanished without being told to end (a store that was lost) is shown again, and its container goes on.
 */
export class MirrorPods implements AsyncDisposable {
  readonly #options: MirrorPodsOptions;
  readonly #informer: Informer<Pod>;
  readonly #queue: WorkQueue;
  readonly #statuses: StatusWriter;
  readonly #subscriptions = new DisposableStack();
  /** The Pods of each container, by their uids. */
  readonly #podsOf = new Map<string, Map<string, Pod>>();
  /** Runs whose Pod somebody deleted. */
  readonly #dismissed = new Map<string, number | undefined>();
  readonly #stopping = new Set<string>();

  constructor(options: MirrorPodsOptions) {
    this.#options = options;
    const { client, clock, log, nodeName } = options;
    this.#informer = new Informer({
      client,
      kind: Pod,
      query: { namespace: MIRROR_NAMESPACE, fieldSelector: `spec.nodeName=${nodeName}` },
      clock,
      log,
    });
    this.#statuses = new StatusWriter({ client, clock, log });
    this.#queue = new WorkQueue({
      clock,
      concurrency: 4,
      firstBackoffMs: 500,
      lastBackoffMs: 30_000,
      work: id => this.#sync(id),
      onError: (id, error, againInMs) => log.debug('a docker container could not be shown', { id, error: messageOf(error), againInMs }),
    });
  }

  /** Resolves when what is shown is known; the rest comes behind. */
  async start(): Promise<void> {
    const { engine, changes } = this.#options;
    this.#subscriptions.use(this.#informer.subscribe(({ object, previous }) => this.#notice(object, previous), { replay: true }));
    await this.#informer.start();
    this.#subscriptions.use(changes(id => this.#touch(id)));
    for (const { id } of engine.containers({ owner: 'docker' })) this.#queue.add(id);
    for (const id of this.#podsOf.keys()) this.#queue.add(id);
  }

  /** Something about a container may have changed. */
  #touch(id: string): void {
    this.#queue.addAfter(id, this.#podsOf.has(id) ? SETTLING_MS : LASTING_MS);
  }

  #notice(object: Pod | undefined, previous: Pod | undefined): void {
    const pod = object ?? previous;
    const id = pod && mirroredContainerOf(pod);
    if (!pod || id === undefined) return;
    const pods = this.#podsOf.get(id) ?? new Map<string, Pod>();
    if (previous && previous.metadata.uid !== object?.metadata.uid) {
      pods.delete(previous.metadata.uid);
      this.#statuses.forget(previous);
    }
    if (object) pods.set(object.metadata.uid, object);
    if (pods.size > 0) this.#podsOf.set(id, pods);
    else this.#podsOf.delete(id);
    this.#queue.add(id);
  }

  async #sync(id: string): Promise<undefined> {
    const { engine, describe, nodeName, hostAddress, clock } = this.#options;
    const container = engine.container(id);
    const mirrored = container && describe(container);
    const isDismissed = this.#dismissed.has(id) && this.#dismissed.get(id) === container?.startedAtMs;
    const pods = [...(this.#podsOf.get(id)?.values() ?? [])];
    const plan = planMirror({ container, mirrored, pods, nodeName, isDismissed });
    if (!container) this.#dismissed.delete(id);
    if (plan.stop && mirrored) this.#stop(id, pods, mirrored);
    await this.#remove(plan, container);
    if (!container || !mirrored) return;
    const pod = plan.create ? await this.#create(planMirrorPod(container, mirrored, nodeName)) : plan.keep;
    if (!pod) return;
    if (plan.create) this.#podsOf.set(id, new Map([[pod.metadata.uid, pod]]));
    this.#statuses.put(pod, planMirrorStatus(pod, container, mirrored, { hostAddress, nowMs: clock.now() }));
  }

  async #remove({ remove }: MirrorPlan, container: Container | undefined): Promise<void> {
    for (const pod of remove) {
      const { uid, deletionTimestamp } = pod.metadata;
      if (deletionTimestamp && container) this.#dismissed.set(container.id, container.startedAtMs);
      try {
        await this.#options.client.delete(Pod, pod.metadata, { gracePeriodSeconds: 0, preconditions: { uid } });
      } catch (error) {
        if (!isUmiakError(error, 'NotFound') && !isUmiakError(error, 'Conflict')) throw error;
      }
    }
  }

  async #create(draft: Draft<Pod>): Promise<Pod> {
    const { client } = this.#options;
    try {
      return await client.create(Pod, draft);
    } catch (error) {
      if (!isUmiakError(error, 'NotFound')) throw error;
    }
    await client.create(Namespace, { metadata: { name: MIRROR_NAMESPACE } } as Draft<Namespace>).catch(error => {
      if (!isUmiakError(error, 'AlreadyExists')) throw error;
    });
    return await client.create(Pod, draft);
  }

  /** Once, in the background: the engine tells when it has ended. */
  #stop(id: string, pods: readonly Pod[], mirrored: Mirrored): void {
    if (this.#stopping.has(id)) return;
    this.#stopping.add(id);
    const asked = pods.find(({ metadata }) => metadata.deletionTimestamp)?.metadata.deletionGracePeriodSeconds;
    this.#options
      .stop(id, asked ?? mirrored.graceSeconds)
      .catch(error =>
        this.#options.log.warn('a docker container whose Pod was deleted could not be stopped', { id, error: messageOf(error) }),
      )
      .finally(() => {
        this.#stopping.delete(id);
        this.#queue.addAfter(id, SETTLING_MS);
      });
  }

  /** Shows no more changes; what is shown stays. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#subscriptions.dispose();
    await this.#informer[Symbol.asyncDispose]();
    await this.#queue[Symbol.asyncDispose]();
    await this.#statuses[Symbol.asyncDispose]();
  }
}
