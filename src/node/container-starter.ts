import { messageOf, UmiakError } from '#base/index.ts';
import type { EventRecorder } from '#client/index.ts';
import type { Container, Engine, Sandbox } from '#engine/engine.ts';
import type { Pod } from '#kinds/pod.ts';
import { orLeft } from './or-left.ts';
import {
  type ContainerPlanner,
  type ContainerSpec,
  ImageError,
  type ImagePuller,
  type LifecycleHooks,
  type PreparedVolume,
  type Prober,
  type VolumeKeeper,
} from './parts.ts';
import {
  BACKOFF_COUNT,
  ephemeralContainersOf,
  instancesOf,
  nextBackoffCount,
  type PodAction,
  type PodPlan,
  SPEC_IMAGE,
} from './plan-pod.ts';
import type { Waiting } from './pod-status.ts';
import type { PodStopper } from './pod-stopper.ts';
import type { PodVolumes } from './pod-volumes.ts';
import type { Retries } from './retries.ts';

export interface ContainerStarterParts {
  engine: Pick<Engine, 'sandbox' | 'createContainer' | 'startContainer' | 'removeContainer'>;
  images: ImagePuller;
  planner: ContainerPlanner;
  prober: Pick<Prober, 'watch'>;
  hooks: Pick<LifecycleHooks, 'postStart'>;
  events: Pick<EventRecorder, 'normal' | 'warning'>;
  hostAddress: string;
  /** Processes that a container may have. */
  pidsLimit?: number | undefined;
  retries: Retries;
  stopper: Pick<PodStopper, 'kill'>;
  volumes: Pick<PodVolumes, 'mounted'>;
  imageVolumes: Pick<VolumeKeeper, 'mountImage'>;
  /** All containers of the pod that there are. */
  containers: () => Container[];
  /** The pod is to end. */
  leaving: AbortSignal;
}

/** Starts one pod's containers: image, configuration, container, hook. What can't start says why, and is tried again later. */
export class ContainerStarter {
  readonly #parts: ContainerStarterParts;
  readonly #waiting = new Map<string, Waiting>();
  /** Back-offs that have been told, by container: when they end. */
  readonly #toldBackOffs = new Map<string, number>();

  constructor(parts: ContainerStarterParts) {
    this.#parts = parts;
  }

  /** Why containers could not start when they were last tried, by name. */
  get waiting(): ReadonlyMap<string, Waiting> {
    return this.#waiting;
  }

  /** A container could not start for want of its image. */
  get waitsForImage(): boolean {
    return [...this.#waiting.values()].some(({ reason }) => IMAGE_REASONS.has(reason));
  }

  /** Says of each container that waits for its restart that it does, once. */
  tellBackOffs(pod: Pod, { backingOff }: Pick<PodPlan, 'backingOff'>): void {
    const { name, namespace, uid } = pod.metadata;
    for (const [container, dueAt] of backingOff) {
      if (this.#toldBackOffs.get(container) === dueAt) continue;
      this.#toldBackOffs.set(container, dueAt);
      const message = `Back-off restarting failed container ${container} in pod ${name}_${namespace}(${uid})`;
      this.#parts.events.warning(pod, 'BackOff', message);
    }
  }

  /** Returns when to try again, if time alone can change something. */
  async start(pod: Pod, { container, sandboxId, attempt, replaces }: PodAction & { do: 'start' }): Promise<number | undefined> {
    const { engine, retries, leaving } = this.#parts;
    const waitMs = retries.waitMs(container.name);
    if (waitMs !== undefined) return waitMs;
    let volumes: Map<string, PreparedVolume>;
    try {
      volumes = await this.#parts.volumes.mounted(pod);
    } catch {
      return undefined; // whoever keeps them says so and comes again
    }
    const sandbox = engine.sandbox(sandboxId);
    if (sandbox?.state !== 'ready') return undefined; // its end is an event
    try {
      if (replaces) await engine.removeContainer(replaces);
      await this.#pullAndRun(pod, container, sandbox, volumes, attempt);
      this.#waiting.delete(container.name);
      retries.succeeded(container.name);
      return undefined;
    } catch (error) {
      if (leaving.aborted) return undefined;
      return this.#failed(pod, container, error);
    }
  }

  async #pullAndRun(
    pod: Pod,
    container: ContainerSpec,
    sandbox: Sandbox,
    volumes: Map<string, PreparedVolume>,
    attempt: number,
  ): Promise<void> {
    const { engine, images, planner, events, prober, hooks, stopper, leaving, containers, hostAddress } = this.#parts;
    const { imageId, user } = await stage('image', orLeft(images.ensure(pod, container, leaving), leaving));
    const withImages = await stage('image', orLeft(this.#mountImages(pod, container, volumes), leaving));
    const request = { pod, container, sandbox, volumes: withImages, image: imageId, imageUser: user, attempt };
    const config = await stage('config', orLeft(planner.plan(request), leaving));
    config.annotations = {
      ...config.annotations,
      [BACKOFF_COUNT]: String(nextBackoffCount(containers(), container.name)),
      [SPEC_IMAGE]: container.image ?? '',
    };
    const target = this.#targetOf(pod, container);
    if (target) config.pidOf = target;
    const { pidsLimit } = this.#parts;
    if (pidsLimit) config.resources = { pidsLimit, ...config.resources };
    const created = await stage('create', engine.createContainer(config));
    events.normal(pod, 'Created', `Created container: ${container.name}`);
    const started = await stage('run', engine.startContainer(created.id));
    events.normal(pod, 'Started', `Started container ${container.name}`);
    const address = sandbox.address ?? hostAddress;
    prober.watch({ pod, container, containerId: started.id, address });
    if (!container.lifecycle?.postStart) return;
    try {
      await orLeft(hooks.postStart(pod, container, started.id, address), leaving);
    } catch (error) {
      if (leaving.aborted) return;
      events.warning(pod, 'FailedPostStartHook', messageOf(error));
      const message = `Container ${container.name} failed its postStart hook`;
      stopper.kill(pod, { containerId: started.id, message });
    }
  }

  /** The volumes, with those from images that this container mounts. */
  async #mountImages(pod: Pod, { volumeMounts = [] }: ContainerSpec, volumes: Map<string, PreparedVolume>) {
    const mounted = new Set(volumeMounts.map(({ name }) => name));
    const wanted = (pod.spec.volumes ?? []).flatMap(({ name, image }) => (image && mounted.has(name) ? [{ name, image }] : []));
    if (wanted.length === 0) return volumes;
    const { images, imageVolumes, leaving } = this.#parts;
    const made = wanted.map(async ({ name, image: { reference, pullPolicy } }) => {
      const source = { image: reference, ...(pullPolicy ? { imagePullPolicy: pullPolicy } : {}) };
      const { imageId } = await images.ensure(pod, source, leaving);
      return [name, await imageVolumes.mountImage(pod.metadata.uid, name, imageId)] as const;
    });
    return new Map([...volumes, ...(await Promise.all(made))]);
  }

  /** The container whose processes an ephemeral one is to see. */
  #targetOf(pod: Pod, { name }: ContainerSpec): string | undefined {
    const { targetContainerName } = ephemeralContainersOf(pod).find(each => each.name === name) ?? {};
    if (!targetContainerName) return undefined;
    return instancesOf(this.#parts.containers(), targetContainerName).find(({ state }) => state === 'running')?.id;
  }

  #failed(pod: Pod, { name }: ContainerSpec, error: unknown): number {
    const { stage: at, cause } = error instanceof StageError ? error : { stage: 'run' as const, cause: error };
    const message = messageOf(error);
    const reason = cause instanceof ImageError ? cause.waiting : FAILED_AT[at];
    this.#waiting.set(name, { reason, message });
    this.#parts.events.warning(pod, 'Failed', `Error: ${cause instanceof ImageError ? reason : message}`);
    return this.#parts.retries.failed(name, error, cause instanceof ImageError ? cause.retryInMs : undefined);
  }
}

const IMAGE_REASONS: ReadonlySet<string> = new Set<ImageError['waiting']>(['ErrImagePull', 'ImagePullBackOff', 'ErrImageNeverPull']);

const FAILED_AT = { image: 'ErrImagePull', config: 'CreateContainerConfigError', create: 'CreateContainerError', run: 'RunContainerError' };

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
