import { type Clock, isUmiakError, type Log, messageOf, UmiakError } from '#base/index.ts';
import type { EventRecorder } from '#client/index.ts';
import type { Container, Engine, Sandbox } from '#engine/engine.ts';
import type { Pod } from '#kinds/pod.ts';
import type { ContainerPlanner, ContainerSpec, ImagePuller, PreparedVolume, Prober, VolumeKeeper } from './parts.ts';
import { BACKOFF_COUNT, instancesOf, isSidecar, nextBackoffCount, type PodAction, type PodPlan, planPod } from './plan-pod.ts';
import { podStatus, type Waiting } from './pod-status.ts';
import type { SandboxPlanner } from './sandbox-config.ts';
import type { StatusWriter } from './status-writer.ts';

export interface PodWorkerParts {
  engine: Engine;
  volumes: VolumeKeeper;
  planner: ContainerPlanner;
  sandboxes: SandboxPlanner;
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

/** Pods whose volumes lack something are looked at again after this at the latest; a change of what they lack comes at once. */
const VOLUME_RETRY_MS = 2_000;
const MIN_RETRY_MS = 1_000;
const MAX_RETRY_MS = 120_000;

/**
 * Carries one pod through its life. `sync` is called whenever something about it may have changed and does what `planPod` says;
 * it never runs twice at the same time (the agent's queue sees to that), and may be cut off anywhere.
 */
export class PodWorker {
  readonly uid: string;
  readonly #parts: PodWorkerParts;
  readonly #waiting = new Map<string, Waiting>();
  readonly #retries = new Map<string, { failures: number; dueAt: number }>();
  readonly #lastWords = new Map<string, string>();
  readonly #killing = new Map<string, Promise<unknown>>();
  #failure: { reason: string; message: string } | undefined;

  constructor(uid: string, parts: PodWorkerParts) {
    this.uid = uid;
    this.#parts = parts;
  }

  /** One look and its steps, for a pod that should live. Returns when to look again, if time alone can change something. */
  async sync(pod: Pod): Promise<number | undefined> {
    const { nowMs } = this.#picture(pod);
    const deadline = this.#deadline(pod, nowMs);
    const plan = planPod(this.#picture(pod));
    await this.#noteLastWords(pod);
    this.#publish(pod, plan);
    if (this.#failure) return this.#endAll(pod);
    let againInMs = plan.againInMs;
    const sooner = (ms: number | undefined) => {
      if (ms !== undefined) againInMs = Math.min(againInMs ?? ms, ms);
    };
    sooner(deadline);
    const results = await Promise.all(groupByContainer(plan.actions).map(actions => this.#actInOrder(pod, actions)));
    for (const result of results) sooner(result);
    this.#publish(pod, planPod(this.#picture(pod)));
    if (plan.phase === 'Succeeded' || plan.phase === 'Failed') {
      await this.#noteLastWords(pod);
      if (!this.#containers().some(({ state }) => state === 'running')) await this.#parts.volumes.release(this.uid);
    }
    return againInMs;
  }

  /** Ends the pod within `graceMs`, frees all it has, and reports its end. Resolves when nothing of it runs any more. */
  async terminate(pod: Pod, graceMs: number): Promise<void> {
    await this.#stopContainers(pod, graceMs);
    await this.#noteLastWords(pod);
    this.#publish(pod, planPod({ ...this.#picture(pod) }), true);
    await this.#parts.statuses.settled(pod);
    await this.remove();
  }

  /** Frees everything without saying goodbye: the pod is gone from the API. */
  async remove(): Promise<void> {
    for (const { id } of this.#containers()) this.#parts.prober.forget(id);
    for (const { id } of this.#sandboxes()) await this.#parts.engine.removeSandbox(id);
    await this.#parts.volumes.release(this.uid);
  }

  /** True while something of the pod is on this machine. */
  get present(): boolean {
    return this.#sandboxes().length > 0;
  }

  #sandboxes(): Sandbox[] {
    return this.#parts.engine
      .sandboxes({ owner: 'node' })
      .filter(({ config }) => config.metadata.uid === this.uid)
      .sort((a, b) => b.config.metadata.attempt - a.config.metadata.attempt);
  }

  #containers(): Container[] {
    return this.#sandboxes().flatMap(({ id }) => this.#parts.engine.containers({ sandboxId: id }));
  }

  #picture(pod: Pod) {
    const { clock, prober } = this.#parts;
    return {
      pod,
      sandboxes: this.#sandboxes(),
      containers: this.#containers(),
      nowMs: clock.now(),
      startupPassed: (id: string) => prober.verdict(id, 'startup'),
      livenessFailed: (id: string) => prober.verdict(id, 'liveness') === false,
    };
  }

  /** `activeDeadlineSeconds`: over means failed; otherwise how long it still has. */
  #deadline(pod: Pod, nowMs: number): number | undefined {
    const { activeDeadlineSeconds } = pod.spec;
    const since = Date.parse(String(pod.status?.startTime ?? ''));
    if (activeDeadlineSeconds === undefined || Number.isNaN(since)) return undefined;
    const left = since + activeDeadlineSeconds * 1000 - nowMs;
    if (left <= 0) this.#failure = { reason: 'DeadlineExceeded', message: 'Pod was active on the node longer than the specified deadline' };
    return Math.max(left, 0);
  }

  async #endAll(pod: Pod): Promise<undefined> {
    await this.#stopContainers(pod, (pod.spec.terminationGracePeriodSeconds ?? 30) * 1000);
    for (const { id, state } of this.#sandboxes()) if (state === 'ready') await this.#parts.engine.stopSandbox(id);
    await this.#parts.volumes.release(this.uid);
    this.#publish(pod, planPod(this.#picture(pod)));
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
        this.#kill(pod, action);
        return undefined;
      case 'start':
        return this.#start(pod, action);
    }
  }

  async #createSandbox(pod: Pod, attempt: number): Promise<number | undefined> {
    const { engine, sandboxes, events } = this.#parts;
    try {
      const missing = this.#parts.volumes.prepare(pod).catch((error: unknown) => error);
      await engine.createSandbox(sandboxes.plan(pod, attempt));
      await missing;
      this.#retries.delete('');
      return this.sync(pod);
    } catch (error) {
      events.warning(pod, 'FailedCreatePodSandBox', `Failed to create pod sandbox: ${messageOf(error)}`);
      return this.#retryIn('');
    }
  }

  async #start(pod: Pod, { container, sandboxId, attempt }: PodAction & { do: 'start' }): Promise<number | undefined> {
    const { engine, clock } = this.#parts;
    const retry = this.#retries.get(container.name);
    if (retry && retry.dueAt > clock.now()) return retry.dueAt - clock.now();
    const sandbox = engine.sandbox(sandboxId);
    if (sandbox?.state !== 'ready') return 0;
    let volumes: Map<string, PreparedVolume>;
    try {
      volumes = await this.#parts.volumes.prepare(pod);
    } catch (error) {
      this.#parts.events.warning(pod, 'FailedMount', `MountVolume.SetUp failed: ${messageOf(error)}`);
      return VOLUME_RETRY_MS;
    }
    try {
      await this.#pullAndRun(pod, container, sandbox, volumes, attempt);
      this.#waiting.delete(container.name);
      this.#retries.delete(container.name);
      return undefined;
    } catch (error) {
      this.#waiting.set(container.name, this.#waitingFor(error, container));
      return this.#retryIn(container.name);
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
    const { imageId } = await stage('image', images.ensure(pod, container));
    const config = await stage('config', planner.plan({ pod, container, sandbox, volumes, image: imageId, attempt }));
    config.annotations = { ...config.annotations, [BACKOFF_COUNT]: String(nextBackoffCount(this.#containers(), container.name)) };
    const created = await stage('create', engine.createContainer(config));
    events.normal(pod, 'Created', `Created container: ${container.name}`);
    const started = await stage('run', engine.startContainer(created.id));
    events.normal(pod, 'Started', `Started container ${container.name}`);
    const address = sandbox.address ?? this.#parts.hostAddress;
    prober.watch({ pod, container, containerId: started.id, address });
    if (!container.lifecycle?.postStart) return;
    try {
      await hooks.postStart(pod, container, started.id, address);
    } catch (error) {
      events.warning(pod, 'FailedPostStartHook', messageOf(error));
      this.#kill(pod, { do: 'kill', containerId: started.id, name: container.name, why: 'failed its postStart hook' });
    }
  }

  /** Ends a running container in the background; its exit comes back as an event. */
  #kill(pod: Pod, { containerId, name, why }: PodAction & { do: 'kill' }): void {
    if (this.#killing.has(containerId)) return;
    this.#parts.events.normal(
      pod,
      'Killing',
      `Container ${name} ${why}, will be restarted`.replace(why.startsWith('failed') ? '' : ', will be restarted', ''),
    );
    const graceMs = (pod.spec.terminationGracePeriodSeconds ?? 30) * 1000;
    const ending = this.#stopContainer(pod, containerId, graceMs).finally(() => this.#killing.delete(containerId));
    this.#killing.set(containerId, ending);
  }

  /** Main containers together, then the sidecars in reverse order, all within the grace. */
  async #stopContainers(pod: Pod, graceMs: number): Promise<void> {
    const end = this.#parts.clock.now() + graceMs;
    const sidecars = (pod.spec.initContainers ?? []).filter(isSidecar).map(({ name }) => name);
    const running = () => this.#containers().filter(({ state }) => state === 'running');
    const mains = running().filter(({ config }) => !sidecars.includes(config.metadata.name));
    if (mains.length > 0) {
      const names = mains.map(({ config }) => config.metadata.name).join(', ');
      this.#parts.events.normal(pod, 'Killing', `Stopping container ${names}`);
    }
    await Promise.all(mains.map(({ id }) => this.#stopContainer(pod, id, graceMs)));
    for (const name of sidecars.reverse())
      for (const { id, config } of running())
        if (config.metadata.name === name) await this.#stopContainer(pod, id, Math.max(end - this.#parts.clock.now(), 0));
  }

  async #stopContainer(pod: Pod, id: string, graceMs: number): Promise<void> {
    const { engine, hooks, prober, clock, log } = this.#parts;
    const instance = engine.container(id);
    if (instance?.state !== 'running') return;
    prober.forget(id);
    const container = [...(pod.spec.initContainers ?? []), ...pod.spec.containers].find(
      ({ name }) => name === instance.config.metadata.name,
    );
    const began = clock.now();
    const address = this.#sandboxes()[0]?.address ?? this.#parts.hostAddress;
    if (container?.lifecycle?.preStop && graceMs > 0) await hooks.preStop(pod, container, id, address, graceMs);
    try {
      await engine.stopContainer(id, { graceMs: Math.max(graceMs - (clock.now() - began), 0) });
    } catch (error) {
      if (!isUmiakError(error, 'NotFound')) {
        log.warn('a container could not be stopped', { container: id, error });
        throw error;
      }
    }
  }

  #waitingFor(error: unknown, container: ContainerSpec): Waiting {
    const message = messageOf(error);
    const at = error instanceof StageError ? error.stage : 'run';
    const failures = this.#retries.get(container.name)?.failures ?? 0;
    if (at === 'image') {
      const cause = error instanceof StageError ? error.cause : error;
      if (isUmiakError(cause, 'NotFound') && container.imagePullPolicy === 'Never') return { reason: 'ErrImageNeverPull', message };
      if (isUmiakError(cause, 'BadRequest')) return { reason: 'InvalidImageName', message };
      return { reason: failures > 0 ? 'ImagePullBackOff' : 'ErrImagePull', message };
    }
    return {
      reason: at === 'config' ? 'CreateContainerConfigError' : at === 'create' ? 'CreateContainerError' : 'RunContainerError',
      message,
    };
  }

  #retryIn(what: string): number {
    const failures = (this.#retries.get(what)?.failures ?? 0) + 1;
    const waitMs = Math.min(MIN_RETRY_MS * 2 ** failures, MAX_RETRY_MS);
    this.#retries.set(what, { failures, dueAt: this.#parts.clock.now() + waitMs });
    return waitMs;
  }

  /** Something that this pod waits for has changed: failed starts may be tried at once. */
  retryNow(): void {
    for (const retry of this.#retries.values()) retry.dueAt = 0;
  }

  async #noteLastWords(pod: Pod): Promise<void> {
    for (const container of [...(pod.spec.initContainers ?? []), ...pod.spec.containers])
      for (const instance of instancesOf(this.#containers(), container.name)) {
        if (instance.state !== 'exited' || this.#lastWords.has(instance.id)) continue;
        this.#lastWords.set(instance.id, (await this.#parts.hooks.terminationMessage(pod, container, instance)) ?? '');
      }
  }

  #publish(pod: Pod, plan: PodPlan, ended = false): void {
    const { prober, statuses, hostAddress, clock } = this.#parts;
    const isUp = (id: string) => this.#parts.engine.container(id)?.state === 'running';
    const failed = this.#containers().some(({ exitCode }) => exitCode !== 0);
    const status = podStatus({
      pod,
      phase: ended && plan.phase !== 'Succeeded' ? (failed || plan.phase === 'Pending' ? 'Failed' : 'Succeeded') : plan.phase,
      sandbox: this.#sandboxes()[0],
      containers: this.#containers(),
      waiting: this.#waiting,
      backingOff: plan.backingOff,
      started: id => isUp(id) && prober.verdict(id, 'startup') === true,
      ready: id => isUp(id) && prober.verdict(id, 'startup') === true && prober.verdict(id, 'readiness') === true,
      hostAddress,
      nowMs: clock.now(),
      terminationMessage: id => this.#lastWords.get(id) || undefined,
      ...(this.#failure ? { failure: this.#failure } : {}),
    });
    statuses.put(pod, status);
  }
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
