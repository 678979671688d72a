import { rm } from 'node:fs/promises';
import { type Clock, type Log, messageOf } from '#base/index.ts';
import type { EventRecorder } from '#client/index.ts';
import type { Container, Engine, Sandbox, SandboxConfig } from '#engine/engine.ts';
import type { Pod } from '#kinds/pod.ts';
import { groupByContainer } from './action-groups.ts';
import { ContainerStarter } from './container-starter.ts';
import type { ContainerPlanner, ImagePuller, LifecycleHooks, Prober, VolumeKeeper } from './parts.ts';
import { allContainersOf, endOf, instancesOf, type PodAction, type PodPicture, type PodPlan, planPod, specOf } from './plan-pod.ts';
import type { PendingResize } from './plan-resize.ts';
import { PodResizer } from './pod-resizer.ts';
import { isResizing, type PodFailure, podStatus, type StatusPicture } from './pod-status.ts';
import { PodStopper } from './pod-stopper.ts';
import { PodVolumes } from './pod-volumes.ts';
import { Retries } from './retries.ts';
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
  /** Processes that each container may have; undefined: any number. */
  pidsLimit?: number | undefined;
  clock: Clock;
  log: Log;
}

const FIRST_RETRY_MS = 2_000;
const LAST_RETRY_MS = 120_000;
/** Its name among the retries. */
const SANDBOX = 'sandbox/';

/**
 * Carries one pod through its life. `sync` is called whenever something about it may have changed and does what `planPod` says;
 * it never runs twice at the same time (the agent's queue sees to that), and may be cut off anywhere.
 */
export class PodWorker {
  readonly uid: string;
  readonly #parts: PodWorkerParts;
  readonly #retries: Retries;
  readonly #volumes: PodVolumes;
  readonly #starter: ContainerStarter;
  readonly #resizer: PodResizer;
  readonly #lastWords = new Map<string, string>();
  readonly #stopper: PodStopper;
  readonly #leaving = new AbortController();
  #sandboxIds: string[] | undefined;
  #pendingResize: PendingResize | undefined;
  #hasNewSandbox = false;
  #failure: PodFailure | undefined;

  constructor(uid: string, parts: PodWorkerParts) {
    this.uid = uid;
    this.#parts = parts;
    const containers = () => this.#containers();
    const addressOf = () => this.#sandboxes()[0]?.address ?? parts.hostAddress;
    this.#stopper = new PodStopper({ ...parts, containers, address: addressOf });
    this.#retries = new Retries({ clock: parts.clock, firstMs: FIRST_RETRY_MS, lastMs: LAST_RETRY_MS });
    const own = { ...parts, retries: this.#retries, leaving: this.#leaving.signal, containers };
    this.#volumes = new PodVolumes(own);
    this.#starter = new ContainerStarter({ ...own, stopper: this.#stopper, volumes: this.#volumes, imageVolumes: parts.volumes });
    this.#resizer = new PodResizer(own);
  }

  /**
   * One look and its steps, for a pod that should live, its resources being those that it was granted. Returns when to look again, if time
   * alone can change something.
   * @param pendingResize why it was not granted what its spec asks for
   */
  async sync(pod: Pod, pendingResize?: PendingResize): Promise<number | undefined> {
    this.#volumes.renew();
    this.#pendingResize = pendingResize;
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
    this.#starter.tellBackOffs(pod, plan);
    this.#publish(pod, plan);
    const hasEnded = plan.phase === 'Succeeded' || plan.phase === 'Failed';
    if (pod.spec.resources) times.push(await this.#resizer.resizePod(pod, this.#sandboxes()[0]));
    const mounted = hasEnded ? undefined : this.#volumes.keep(pod);
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
    return this.#starter.waitsForImage;
  }

  get isGivenUp(): boolean {
    return this.#failure !== undefined;
  }

  /** It ends as Failed, for a reason that is the node's. */
  giveUp(pod: Pod, failure: PodFailure): void {
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
        return this.#resizer.resize(pod, action);
      case 'stop-containers':
        this.#stopper.stopAllInBackground(pod, this.#failure?.graceSeconds);
        return undefined;
      case 'start':
        return this.#starter.start(pod, action);
    }
  }

  async #createSandbox(pod: Pod, attempt: number): Promise<number | undefined> {
    const { engine, sandboxes, runtimeOf, events } = this.#parts;
    const waitMs = this.#retries.waitMs(SANDBOX);
    if (waitMs !== undefined) return waitMs;
    try {
      const runtime = pod.spec.runtimeClassName ? await runtimeOf(pod) : undefined;
      const { id } = await engine.createSandbox({ ...sandboxes.plan(pod, attempt), ...(runtime && { runtime }) });
      this.#sandboxIds?.push(id);
      this.#retries.succeeded(SANDBOX);
      this.#hasNewSandbox = true;
      return undefined;
    } catch (error) {
      events.warning(pod, 'FailedCreatePodSandBox', `Failed to create pod sandbox: ${messageOf(error)}`);
      return this.#retries.failed(SANDBOX, error);
    }
  }

  /** Something that this pod waits for has changed: failed starts may be tried at once. */
  retryNow(): void {
    this.#retries.now();
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
    const picture: StatusPicture = {
      pod,
      phase,
      sandbox: this.#sandboxes()[0],
      containers: this.#containers(),
      resources: container => this.#parts.planner.resources(pod, container),
      waiting: this.#starter.waiting,
      backingOff,
      started: id => isUp(id) && prober.verdict(id, 'startup') === true,
      ready: id => isUp(id) && prober.verdict(id, 'startup') === true && prober.verdict(id, 'readiness') === true,
      hostAddress,
      nowMs: clock.now(),
      terminationMessage: id => this.#lastWords.get(id) || undefined,
      said: statuses.said(pod),
      resize: { pending: this.#pendingResize, error: this.#resizer.error },
      ...(this.#failure ? { failure: { reason: this.#failure.reason, message: this.#failure.message } } : {}),
    };
    this.#resizer.note(pod, isResizing(picture));
    statuses.put(pod, podStatus(picture));
  }
}
