import { rm } from 'node:fs/promises';
import { type Clock, type Log, messageOf, UmiakError } from '#base/index.ts';
import type { EventRecorder } from '#client/index.ts';
import type { Container, Engine, Sandbox, SandboxConfig } from '#engine/engine.ts';
import type { Pod } from '#kinds/pod.ts';
import {
  type ContainerPlanner,
  type ContainerSpec,
  ImageError,
  type ImagePuller,
  type PreparedVolume,
  type Prober,
  type VolumeKeeper,
} from './parts.ts';
import {
  allContainersOf,
  BACKOFF_COUNT,
  ephemeralContainersOf,
  instancesOf,
  nextBackoffCount,
  type PodAction,
  type PodPicture,
  type PodPlan,
  planPod,
  SPEC_IMAGE,
  specOf,
} from './plan-pod.ts';
import { podStatus, type Waiting } from './pod-status.ts';
import { PodStopper } from './pod-stopper.ts';
import type { SandboxPlanner } from './sandbox-config.ts';
import type { StatusWriter } from './status-writer.ts';

export interface PodWorkerParts {
  engine: Engine;
  volumes: VolumeKeeper;
  planner: ContainerPlanner;
  sandboxes: SandboxPlanner;
  /** What runs a pod that names a RuntimeClass. @throws UmiakError: FailedCreatePodSandBox */
  runtimeOf: (pod: Pod) => Promise<SandboxConfig['runtime']>;
  prober: Prober;
  images: ImagePuller;
  statuses: StatusWriter;
  events: EventRecorder;
  hooks: LifecycleHooks;
  hostAddress: string;
  clock: Clock;
  log: Log;
}

/** Runs `postStart` and `preStop`. */
export interface LifecycleHooks {
  /** @throws UmiakError when the hook failed: the container is killed */
  postStart(pod: Pod, container: ContainerSpec, containerId: string, address: string): Promise<void>;
  /** Never throws: of a hook that fails, or is left since it takes longer than `withinMs`, it says why. */
  preStop(pod: Pod, container: ContainerSpec, containerId: string, address: string, withinMs: number): Promise<{ failed?: string }>;
  /** The last words that the container left (terminationMessagePath, or the end of its log). */
  terminationMessage(pod: Pod, container: ContainerSpec, instance: Container): Promise<string | undefined>;
}

const MIN_RETRY_MS = 1_000;
const MAX_RETRY_MS = 120_000;
/** Keys among the retries that are no container's name. */
const SANDBOX = 'sandbox/';
const VOLUMES = 'volumes/';

/**
 * Carries one pod through its life. `sync` is called whenever something about it may have changed and does what `planPod` says;
 * it never runs twice at the same time (the agent's queue sees to that), and may be cut off anywhere.
 */
export class PodWorker {
  readonly uid: string;
  readonly #parts: PodWorkerParts;
  readonly #waiting = new Map<string, Waiting>();
  readonly #retries = new Map<string, { failures: number; dueAt: number; error?: unknown }>();
  readonly #lastWords = new Map<string, string>();
  readonly #stopper: PodStopper;
  /** Back-offs that have been told, by container: when they end. */
  readonly #toldBackOffs = new Map<string, number>();
  readonly #leaving = new AbortController();
  #sandboxIds: string[] | undefined;
  #mounting: Promise<Map<string, PreparedVolume>> | undefined;
  #hasNewSandbox = false;
  #failure: { reason: string; message: string } | undefined;

  constructor(uid: string, parts: PodWorkerParts) {
    this.uid = uid;
    this.#parts = parts;
    const addressOf = () => this.#sandboxes()[0]?.address ?? parts.hostAddress;
    this.#stopper = new PodStopper({ ...parts, containers: () => this.#containers(), address: addressOf });
  }

  /** One look and its steps, for a pod that should live. Returns when to look again, if time alone can change something. */
  async sync(pod: Pod): Promise<number | undefined> {
    this.#mounting = undefined;
    for (;;) {
      this.#hasNewSandbox = false;
      const againInMs = await this.#look(pod);
      if (!this.#hasNewSandbox || this.#leaving.signal.aborted) return againInMs;
    }
  }

  async #look(pod: Pod): Promise<number | undefined> {
    if (this.#leaving.signal.aborted) return undefined;
    const times = [this.#deadline(pod)];
    this.#watchRunning(pod);
    await this.#noteLastWords(pod);
    const plan = planPod(this.#picture(pod));
    times.push(plan.againInMs);
    this.#tellBackOffs(pod, plan);
    this.#publish(pod, plan);
    const hasEnded = plan.phase === 'Succeeded' || plan.phase === 'Failed';
    const mounted = hasEnded ? undefined : this.#keepVolumes(pod);
    times.push(...(await Promise.all(groupByContainer(plan.actions).map(actions => this.#actInOrder(pod, actions)))), await mounted);
    const after = planPod(this.#picture(pod));
    times.push(after.againInMs);
    this.#publish(pod, after);
    if (hasEnded && !this.#containers().some(({ state }) => state === 'running')) await this.#parts.volumes.release(this.uid);
    const due = times.filter(ms => ms !== undefined);
    return due.length > 0 ? Math.min(...due) : undefined;
  }

  /** Something of the pod is on this machine. */
  get isHere(): boolean {
    return this.#sandboxes().length > 0;
  }

  /** A container could not start for want of its image. */
  get waitsForImage(): boolean {
    return [...this.#waiting.values()].some(({ reason }) => IMAGE_REASONS.has(reason));
  }

  get isGivenUp(): boolean {
    return this.#failure !== undefined;
  }

  /** It ends as Failed, for a reason that is the node's. */
  giveUp(pod: Pod, failure: { reason: string; message: string }): void {
    this.#failure = failure;
    this.#parts.events.warning(pod, failure.reason, failure.message);
  }

  /** The pod is to end: what a sync waits for (a pull, a hook, a volume) is left, so that it returns at once. */
  abandon(): void {
    this.#leaving.abort();
  }

  /** Ends the pod within `graceMs`, frees all it has, and reports its end. Resolves when nothing of it runs any more. */
  async terminate(pod: Pod, graceMs: number): Promise<void> {
    this.abandon();
    await this.#stopper.stopAll(pod, graceMs);
    await this.#noteLastWords(pod);
    const phase = endOf(pod, this.#containers());
    this.#publish(pod, { phase, actions: [], backingOff: new Map() });
    await this.#parts.statuses.settled(pod);
    await this.remove();
  }

  /** Frees everything without saying goodbye: the pod is gone from the API. */
  async remove(): Promise<void> {
    this.abandon();
    for (const { id } of this.#containers()) this.#parts.prober.forget(id);
    for (const { id, config } of this.#sandboxes()) {
      await this.#parts.engine.removeSandbox(id);
      if (config.logDirectory) await rm(config.logDirectory, { recursive: true, force: true });
    }
    await this.#parts.volumes.release(this.uid);
  }

  /** Newest first. Nobody else makes sandboxes of this pod, so that they need not be searched for among all. */
  #sandboxes(): Sandbox[] {
    const { engine } = this.#parts;
    this.#sandboxIds ??= engine
      .sandboxes({ owner: 'node' })
      .filter(({ config }) => config.metadata.uid === this.uid)
      .map(({ id }) => id);
    return this.#sandboxIds.flatMap(id => engine.sandbox(id) ?? []).sort((a, b) => b.config.metadata.attempt - a.config.metadata.attempt);
  }

  #containers(): Container[] {
    return this.#sandboxes().flatMap(({ id }) => this.#parts.engine.containers({ sandboxId: id }));
  }

  #picture(pod: Pod): PodPicture {
    const { clock, prober } = this.#parts;
    return {
      pod,
      sandboxes: this.#sandboxes(),
      containers: this.#containers(),
      nowMs: clock.now(),
      startupPassed: (id: string) => prober.verdict(id, 'startup'),
      livenessFailed: (id: string) => prober.verdict(id, 'liveness') === false,
      resources: container => this.#parts.planner.resources(pod, container),
      isGivenUp: this.#failure !== undefined,
    };
  }

  /** `activeDeadlineSeconds`: over means failed; otherwise how long it still has. */
  #deadline(pod: Pod): number | undefined {
    const { activeDeadlineSeconds } = pod.spec;
    const since = Date.parse(String(pod.status?.startTime ?? ''));
    if (activeDeadlineSeconds === undefined || Number.isNaN(since) || this.#failure) return undefined;
    const leftMs = since + activeDeadlineSeconds * 1000 - this.#parts.clock.now();
    if (leftMs > 0) return leftMs;
    if (pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed') return undefined;
    this.#failure = { reason: 'DeadlineExceeded', message: 'Pod was active on the node longer than the specified deadline' };
    this.#parts.events.normal(pod, this.#failure.reason, this.#failure.message);
    return undefined;
  }

  /** Containers that run have their probes, also those that outlived an earlier agent. */
  #watchRunning(pod: Pod): void {
    const { prober, hostAddress } = this.#parts;
    for (const { id, address } of this.#sandboxes())
      for (const { id: containerId, state, config } of this.#parts.engine.containers({ sandboxId: id })) {
        const container = specOf(pod, config.metadata.name);
        if (container && state === 'running' && !this.#stopper.isEnding(containerId))
          prober.watch({ pod, container, containerId, address: address ?? hostAddress });
      }
  }

  #tellBackOffs({ metadata, ...pod }: Pod, { backingOff }: PodPlan): void {
    for (const [name, dueAt] of backingOff) {
      if (this.#toldBackOffs.get(name) === dueAt) continue;
      this.#toldBackOffs.set(name, dueAt);
      const message = `Back-off restarting failed container ${name} in pod ${metadata.name}_${metadata.namespace}(${metadata.uid})`;
      this.#parts.events.warning({ ...pod, metadata }, 'BackOff', message);
    }
  }

  /** The pod's volumes, asked for once a sync. They follow their sources as long as they are asked for. */
  #mount(pod: Pod): Promise<Map<string, PreparedVolume>> {
    const retry = this.#retries.get(VOLUMES);
    if (retry && retry.dueAt > this.#parts.clock.now()) return Promise.reject(retry.error);
    this.#mounting ??= this.#orLeft(this.#parts.volumes.prepare(pod));
    return this.#mounting;
  }

  async #keepVolumes(pod: Pod): Promise<number | undefined> {
    const { clock, events } = this.#parts;
    const retry = this.#retries.get(VOLUMES);
    if (retry && retry.dueAt > clock.now()) return retry.dueAt - clock.now();
    try {
      await this.#mount(pod);
      this.#retries.delete(VOLUMES);
      return undefined;
    } catch (error) {
      if (this.#leaving.signal.aborted) return undefined;
      events.warning(pod, 'FailedMount', messageOf(error));
      return this.#retryIn(VOLUMES, error);
    }
  }

  /** What `work` gives, or at once an error when the pod is to end. */
  async #orLeft<T>(work: Promise<T>): Promise<T> {
    const { signal } = this.#leaving;
    const left = Promise.withResolvers<never>();
    const leave = () => left.reject(new UmiakError('Conflict', 'the pod is to end'));
    if (signal.aborted) leave();
    signal.addEventListener('abort', leave, { once: true });
    try {
      return await Promise.race([work, left.promise]);
    } finally {
      signal.removeEventListener('abort', leave);
    }
  }

  /** Runs the steps of one container (or of the sandbox) one after another; what fails is shown and tried again later. */
  async #actInOrder(pod: Pod, actions: PodAction[]): Promise<number | undefined> {
    for (const action of actions) {
      const againInMs = await this.#act(pod, action);
      if (againInMs !== undefined) return againInMs;
    }
    return undefined;
  }

  async #act(pod: Pod, action: PodAction): Promise<number | undefined> {
    const { engine } = this.#parts;
    switch (action.do) {
      case 'create-sandbox':
        return this.#createSandbox(pod, action.attempt);
      case 'stop-sandbox':
        await engine.stopSandbox(action.sandboxId);
        return undefined;
      case 'remove-sandbox':
        await engine.removeSandbox(action.sandboxId);
        return undefined;
      case 'remove':
        this.#lastWords.delete(action.containerId);
        await engine.removeContainer(action.containerId);
        return undefined;
      case 'kill':
        this.#stopper.kill(pod, action);
        return undefined;
      case 'resize':
        await engine.updateResources(action.containerId, action.resources);
        return undefined;
      case 'stop-containers':
        this.#stopper.stopAllInBackground(pod);
        return undefined;
      case 'start':
        return this.#start(pod, action);
    }
  }

  async #createSandbox(pod: Pod, attempt: number): Promise<number | undefined> {
    const { engine, sandboxes, runtimeOf, events, clock } = this.#parts;
    const retry = this.#retries.get(SANDBOX);
    if (retry && retry.dueAt > clock.now()) return retry.dueAt - clock.now();
    try {
      const runtime = pod.spec.runtimeClassName ? await runtimeOf(pod) : undefined;
      const { id } = await engine.createSandbox({ ...sandboxes.plan(pod, attempt), ...(runtime && { runtime }) });
      this.#sandboxIds?.push(id);
      this.#retries.delete(SANDBOX);
      this.#hasNewSandbox = true;
      return undefined;
    } catch (error) {
      events.warning(pod, 'FailedCreatePodSandBox', `Failed to create pod sandbox: ${messageOf(error)}`);
      return this.#retryIn(SANDBOX, error);
    }
  }

  async #start(pod: Pod, { container, sandboxId, attempt, replaces }: PodAction & { do: 'start' }): Promise<number | undefined> {
    const { engine, clock } = this.#parts;
    const retry = this.#retries.get(container.name);
    if (retry && retry.dueAt > clock.now()) return retry.dueAt - clock.now();
    let volumes: Map<string, PreparedVolume>;
    try {
      volumes = await this.#mount(pod);
    } catch {
      return undefined; // `#keepVolumes` says so and comes again
    }
    const sandbox = engine.sandbox(sandboxId);
    if (sandbox?.state !== 'ready') return undefined; // its end is an event
    try {
      if (replaces) await engine.removeContainer(replaces);
      await this.#pullAndRun(pod, container, sandbox, volumes, attempt);
      this.#waiting.delete(container.name);
      this.#retries.delete(container.name);
      return undefined;
    } catch (error) {
      if (this.#leaving.signal.aborted) return undefined;
      return this.#startFailed(pod, container, error);
    }
  }

  async #pullAndRun(
    pod: Pod,
    container: ContainerSpec,
    sandbox: Sandbox,
    volumes: Map<string, PreparedVolume>,
    attempt: number,
  ): Promise<void> {
    const { engine, images, planner, events, prober, hooks } = this.#parts;
    const { imageId, user } = await stage('image', this.#orLeft(images.ensure(pod, container, this.#leaving.signal)));
    const request = { pod, container, sandbox, volumes, image: imageId, imageUser: user, attempt };
    const config = await stage('config', this.#orLeft(planner.plan(request)));
    config.annotations = {
      ...config.annotations,
      [BACKOFF_COUNT]: String(nextBackoffCount(this.#containers(), container.name)),
      [SPEC_IMAGE]: container.image ?? '',
    };
    const target = this.#targetOf(pod, container);
    if (target) config.pidOf = target;
    const created = await stage('create', engine.createContainer(config));
    events.normal(pod, 'Created', `Created container: ${container.name}`);
    const started = await stage('run', engine.startContainer(created.id));
    events.normal(pod, 'Started', `Started container ${container.name}`);
    const address = sandbox.address ?? this.#parts.hostAddress;
    prober.watch({ pod, container, containerId: started.id, address });
    if (!container.lifecycle?.postStart) return;
    try {
      await this.#orLeft(hooks.postStart(pod, container, started.id, address));
    } catch (error) {
      if (this.#leaving.signal.aborted) return;
      events.warning(pod, 'FailedPostStartHook', messageOf(error));
      const message = `Container ${container.name} failed its postStart hook`;
      this.#stopper.kill(pod, { containerId: started.id, message });
    }
  }

  /** The container whose processes an ephemeral one is to see. */
  #targetOf(pod: Pod, { name }: ContainerSpec): string | undefined {
    const { targetContainerName } = ephemeralContainersOf(pod).find(each => each.name === name) ?? {};
    if (!targetContainerName) return undefined;
    return instancesOf(this.#containers(), targetContainerName).find(({ state }) => state === 'running')?.id;
  }

  /** What can't start shows why, and is tried again later. */
  #startFailed(pod: Pod, { name }: ContainerSpec, error: unknown): number {
    const { stage: at, cause } = error instanceof StageError ? error : { stage: 'run' as const, cause: error };
    const message = messageOf(error);
    const reason = cause instanceof ImageError ? cause.waiting : FAILED_AT[at];
    this.#waiting.set(name, { reason, message });
    this.#parts.events.warning(pod, 'Failed', `Error: ${cause instanceof ImageError ? reason : message}`);
    return this.#retryIn(name, error, cause instanceof ImageError ? cause.retryInMs : undefined);
  }

  #retryIn(what: string, error: unknown, inMs?: number): number {
    const failures = (this.#retries.get(what)?.failures ?? 0) + 1;
    const waitMs = inMs ?? Math.min(MIN_RETRY_MS * 2 ** failures, MAX_RETRY_MS);
    this.#retries.set(what, { failures, dueAt: this.#parts.clock.now() + waitMs, error });
    return waitMs;
  }

  /** Something that this pod waits for has changed: failed starts may be tried at once. */
  retryNow(): void {
    for (const retry of this.#retries.values()) retry.dueAt = 0;
  }

  async #noteLastWords(pod: Pod): Promise<void> {
    for (const container of allContainersOf(pod))
      for (const instance of instancesOf(this.#containers(), container.name)) {
        if (instance.state !== 'exited' || this.#lastWords.has(instance.id)) continue;
        this.#lastWords.set(instance.id, (await this.#parts.hooks.terminationMessage(pod, container, instance)) ?? '');
      }
  }

  #publish(pod: Pod, { phase, backingOff }: PodPlan): void {
    const { prober, statuses, hostAddress, clock, engine } = this.#parts;
    const isUp = (id: string) => engine.container(id)?.state === 'running';
    const status = podStatus({
      pod,
      phase,
      sandbox: this.#sandboxes()[0],
      containers: this.#containers(),
      resources: container => this.#parts.planner.resources(pod, container),
      waiting: this.#waiting,
      backingOff,
      started: id => isUp(id) && prober.verdict(id, 'startup') === true,
      ready: id => isUp(id) && prober.verdict(id, 'startup') === true && prober.verdict(id, 'readiness') === true,
      hostAddress,
      nowMs: clock.now(),
      terminationMessage: id => this.#lastWords.get(id) || undefined,
      said: statuses.said(pod),
      ...(this.#failure ? { failure: this.#failure } : {}),
    });
    statuses.put(pod, status);
  }
}

const IMAGE_REASONS: ReadonlySet<string> = new Set<ImageError['waiting']>(['ErrImagePull', 'ImagePullBackOff', 'ErrImageNeverPull']);

const FAILED_AT = { image: 'ErrImagePull', config: 'CreateContainerConfigError', create: 'CreateContainerError', run: 'RunContainerError' };

/** How a pod has ended whose containers will not be started again. */
function endOf({ spec, status }: Pod, containers: readonly Container[]): 'Succeeded' | 'Failed' {
  if (status?.phase === 'Succeeded' || status?.phase === 'Failed') return status.phase;
  return spec.containers.every(({ name }) => instancesOf(containers, name)[0]?.exitCode === 0) ? 'Succeeded' : 'Failed';
}

/** Where on the way to running a container something failed. */
class StageError extends UmiakError {
  readonly stage: 'image' | 'config' | 'create' | 'run';

  constructor(stage: StageError['stage'], cause: unknown) {
    super(cause instanceof UmiakError ? cause.reason : 'InternalError', messageOf(cause), { cause });
    this.stage = stage;
  }
}

async function stage<T>(name: StageError['stage'], work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw new StageError(name, error);
  }
}

/** Steps of different containers are independent of each other; those of one keep their order. */
function groupByContainer(actions: readonly PodAction[]): PodAction[][] {
  const groups = new Map<string, PodAction[]>();
  let last = '';
  for (const action of actions) {
    if (action.do === 'start') last = action.container.name;
    const key = action.do === 'start' ? action.container.name : action.do === 'remove' ? nextStart(actions, action) : `${action.do}${last}`;
    groups.set(key, [...(groups.get(key) ?? []), action]);
  }
  return [...groups.values()];
}

/** A `remove` right before a `start` belongs to it. */
function nextStart(actions: readonly PodAction[], removal: PodAction): string {
  const next = actions[actions.indexOf(removal) + 1];
  return next?.do === 'start' ? next.container.name : 'remove';
}
