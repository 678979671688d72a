import { type Clock, isUmiakError, type Log, messageOf } from '#base/index.ts';
import { type Client, EventRecorder, Informer, keyText, WorkQueue } from '#client/index.ts';
import type { Engine } from '#engine/engine.ts';
import { mirroredContainerOf } from '#kinds/mirror-pod.ts';
import { Pod } from '#kinds/pod.ts';
import { Allocations } from './allocations.ts';
import type { NodeTraits } from './downward.ts';
import { LogRotation } from './log-rotation.ts';
import type { ContainerPlanner, ImagePuller, LifecycleHooks, Prober, VolumeKeeper } from './parts.ts';
import { planAdmission, planAdmissionNotes } from './plan-admission.ts';
import { PodWorker, type PodWorkerParts } from './pod-worker.ts';
import { runtimeOf } from './runtime-class.ts';
import type { SandboxPlanner } from './sandbox-config.ts';
import { StatusWriter } from './status-writer.ts';
import { StorageWatch } from './storage-watch.ts';

export interface PodAgentOptions {
  nodeName: string;
  client: Client;
  engine: Engine;
  volumes: VolumeKeeper;
  planner: ContainerPlanner;
  sandboxes: SandboxPlanner;
  prober: Prober;
  images: ImagePuller;
  hooks: LifecycleHooks;
  /** The node's address, as pods with the host's network report it. */
  hostAddress: string;
  /** What the node has for pods, as its Node object says; pods that don't fit are turned away. */
  allocatable?: Readonly<Record<string, string>>;
  /** Processes that each container may have; as many as it likes when absent. */
  pidsLimit?: number | undefined;
  /** What the kernel gives to containers. */
  traits?: NodeTraits;
  /** Sysctls beyond the safe ones that pods may set. */
  allowedUnsafeSysctls?: readonly string[];
  clock: Clock;
  log: Log;
}

/**
 * Runs the pods that are bound to this node. One worker a pod; the queue sees to it that a pod is looked at by one sync at a time and
 * again whenever its object, its containers or a probe's verdict changes. What it finds at start (containers that outlived an earlier
 * agent) it takes over; pods of this node that the API no longer has are removed.
 */
export class PodAgent implements AsyncDisposable {
  readonly #options: PodAgentOptions;
  readonly #pods: Informer<Pod>;
  readonly #byUid = new Map<string, Pod>();
  readonly #workers = new Map<string, PodWorker>();
  readonly #ending = new Map<string, Promise<void>>();
  readonly #queue: WorkQueue;
  readonly #statuses: StatusWriter;
  readonly #parts: PodWorkerParts;
  readonly #allocations: Allocations;
  readonly #logs: LogRotation;
  readonly #storage: StorageWatch;
  readonly #subscriptions = new DisposableStack();

  constructor(options: PodAgentOptions) {
    this.#options = options;
    const { client, clock, log, nodeName, engine, volumes, planner, sandboxes, prober, images, hooks, hostAddress } = options;
    this.#pods = new Informer({ client, kind: Pod, query: { fieldSelector: `spec.nodeName=${nodeName}` }, clock, log });
    this.#statuses = new StatusWriter({ client, clock, log });
    const events = new EventRecorder({ client, component: 'kubelet', host: nodeName, clock, log });
    this.#allocations = new Allocations({ allocatable: options.allocatable ?? {}, events });
    this.#logs = new LogRotation({ engine, clock, log });
    const pods = () => this.#running();
    this.#storage = new StorageWatch({ engine, volumes, pods, evict: (pod, message) => this.#evict(pod, message), clock, log });
    const own = { events, statuses: this.#statuses, runtimeOf: (pod: Pod) => runtimeOf(pod, client, () => engine.runtimeHandlers()) };
    const { pidsLimit } = options;
    this.#parts = { engine, volumes, planner, sandboxes, prober, images, hooks, hostAddress, pidsLimit, clock, log, ...own };
    this.#queue = new WorkQueue({
      clock,
      concurrency: 64,
      firstBackoffMs: 500,
      lastBackoffMs: 30_000,
      work: uid => this.#sync(uid),
      onError: (uid, error, againInMs) => log.warn('a pod could not be synced', { uid, error: messageOf(error), againInMs }),
    });
  }

  /** Resolves when the pods of this node are known and their sync has begun. */
  async start(): Promise<void> {
    const { engine } = this.#options;
    this.#subscriptions.use(
      this.#pods.subscribe(({ object, previous }) => {
        const pod = object ?? previous;
        if (pod && mirroredContainerOf(pod) !== undefined) return; // it only shows what docker runs
        const { uid = '' } = pod?.metadata ?? {};
        if (object) this.#byUid.set(uid, object);
        else this.#byUid.delete(uid);
        if (!object || object.metadata.deletionTimestamp) this.#workers.get(uid)?.abandon();
        if (!object && previous) this.#statuses.forget(previous);
        this.touch(uid);
        if (object) this.#storage.notice(object);
        if (!object || isOver(object.status?.phase)) this.#retryResizes();
      }),
    );
    this.#subscriptions.use(
      engine.subscribe(event => {
        const { owner } = event.type === 'container' ? event.container : event.sandbox.config;
        // Others choose the uids of their pods as they like: they name nothing of ours.
        if (owner === 'node')
          this.touch(this.#uidOfSandbox(event.type === 'container' ? event.container.config.sandboxId : event.sandbox.id));
      }),
    );
    await this.#pods.start();
    const known = new Set(this.#pods.list().map(({ metadata }) => metadata.uid));
    for (const { config } of engine.sandboxes({ owner: 'node' })) this.touch(config.metadata.uid);
    await this.#options.volumes.sweep(new Set([...known, ...engine.sandboxes({ owner: 'node' }).map(({ config }) => config.metadata.uid)]));
  }

  /** Something about the pod may have changed. */
  touch(uid: string): void {
    if (uid) this.#queue.add(uid);
  }

  /** A ConfigMap, Secret or image that the pod waited for may be there now. */
  retry(uid: string): void {
    this.#workers.get(uid)?.retryNow();
    this.touch(uid);
  }

  /** Images came or went: pods that wait for one look again. */
  imagesChanged(): void {
    for (const [uid, worker] of this.#workers) if (worker.waitsForImage) this.retry(uid);
  }

  /** The pods of this node, as the API has them; shared, don't change them. */
  pods(): Pod[] {
    return this.#pods.list();
  }

  /** The pod, if it is this node's. */
  pod(namespace: string, name: string): Pod | undefined {
    return this.#pods.get(keyText({ namespace, name }));
  }

  #uidOfSandbox(sandboxId: string): string {
    return this.#options.engine.sandbox(sandboxId)?.config.metadata.uid ?? '';
  }

  async #sync(uid: string): Promise<number | undefined> {
    const pod = this.#byUid.get(uid);
    const worker = this.#workers.get(uid) ?? new PodWorker(uid, this.#parts);
    if (!pod) {
      // Whoever waits for its containers to end in peace finds them ended.
      await worker.remove();
      await this.#ending.get(uid);
      this.#workers.delete(uid);
      this.#allocations.forget(uid);
      return undefined;
    }
    if (!this.#workers.has(uid) && isNew(pod) && !worker.isHere) this.#admit(pod, worker);
    this.#workers.set(uid, worker);
    if (pod.metadata.deletionTimestamp || isOver(pod.status?.phase)) {
      const granted = this.#allocations.granted(pod);
      if (!pod.metadata.deletionTimestamp) return worker.sync(granted);
      this.#end(granted, worker);
      return undefined;
    }
    const resize = this.#allocations.settle(pod, () => this.#others(pod));
    if (resize.hasChanged) this.#retryResizes();
    return worker.sync(resize.pod, resize.pending);
  }

  /** The pods that have begun here and are not told to end. */
  #running(): Pod[] {
    return this.pods().filter(
      ({ metadata, status }) =>
        !metadata.deletionTimestamp && !isOver(status?.phase) && this.#workers.get(metadata.uid)?.isGivenUp === false,
    );
  }

  /** Ends a pod that takes more than it may, at once. */
  #evict(pod: Pod, message: string): void {
    const { uid } = pod.metadata;
    this.#workers.get(uid)?.giveUp(pod, { reason: 'Evicted', message, graceSeconds: EVICTION_GRACE_SECONDS });
    this.touch(uid);
  }

  /** Room may have come free, for resizes that wait for it. */
  #retryResizes(): void {
    for (const uid of this.#allocations.deferred()) this.touch(uid);
  }

  /** Those that have a place on this node beside `pod`. */
  #others(pod: Pod): Pod[] {
    const isTaken = (other: Pod) => !isNew(other) || this.#workers.get(other.metadata.uid)?.isGivenUp === false;
    return [...this.#byUid.values()].filter(
      other => other.metadata.uid !== pod.metadata.uid && !isOver(other.status?.phase) && isTaken(other),
    );
  }

  /** A pod that was never here is taken if there is room for it; what was taken stays, whatever an agent that was started anew finds. */
  #admit(pod: Pod, worker: PodWorker): void {
    const others = this.#others(pod).map(other => this.#allocations.granted(other));
    const { allocatable = {}, traits, allowedUnsafeSysctls } = this.#options;
    const rejection = planAdmission({ pod, others, allocatable, traits, allowedUnsafeSysctls });
    if (rejection) worker.giveUp(pod, rejection);
    else for (const { reason, message } of planAdmissionNotes(pod, traits)) this.#parts.events.warning(pod, reason, message);
  }

  /** Ends the pod in the background, once; a shorter grace asked for meanwhile starts a second, quicker end. */
  #end(pod: Pod, worker: PodWorker): void {
    const graceMs = (pod.metadata.deletionGracePeriodSeconds ?? pod.spec.terminationGracePeriodSeconds ?? 30) * 1000;
    const key = `${pod.metadata.uid}/${graceMs}`;
    if (this.#ending.has(key)) return;
    const ending = worker
      .terminate(pod, graceMs)
      .then(() => this.#forget(pod))
      .catch(error => {
        this.#options.log.warn('a pod could not be ended', { pod: keyText(pod.metadata), error: messageOf(error) });
        this.#queue.addAfter(pod.metadata.uid, 1_000);
      })
      .finally(() => {
        this.#ending.delete(key);
        this.#ending.delete(pod.metadata.uid);
      });
    this.#ending.set(key, ending);
    this.#ending.set(pod.metadata.uid, ending);
  }

  /** Nothing of the pod runs any more: the API may let it go. */
  async #forget(pod: Pod): Promise<void> {
    const { uid } = pod.metadata;
    try {
      await this.#options.client.delete(Pod, pod.metadata, { gracePeriodSeconds: 0, preconditions: { uid } });
    } catch (error) {
      if (!isUmiakError(error, 'NotFound') && !isUmiakError(error, 'Conflict')) throw error;
    }
    this.#statuses.forget(pod);
  }

  /** Stops looking after the pods; their containers go on. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#subscriptions.dispose();
    await this.#logs[Symbol.asyncDispose]();
    await this.#storage[Symbol.asyncDispose]();
    await this.#pods[Symbol.asyncDispose]();
    await this.#queue[Symbol.asyncDispose]();
    await this.#statuses[Symbol.asyncDispose]();
  }
}

/** What the kubelet leaves a pod that it must end at once. */
const EVICTION_GRACE_SECONDS = 1;

/** Whether no node has ever begun with the pod. */
function isNew({ status }: Pod): boolean {
  return status?.startTime === undefined && (status?.phase ?? 'Pending') === 'Pending';
}

function isOver(phase: string | undefined): boolean {
  return phase === 'Succeeded' || phase === 'Failed';
}
