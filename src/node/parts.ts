import { UmiakError } from '#base/index.ts';
import type { Container, ContainerConfig, Resources, Sandbox } from '#engine/engine.ts';
import type { Pod } from '#kinds/pod.ts';

/** A container of a pod's spec: init, sidecar (an init container that is always restarted), main or ephemeral. */
export type ContainerSpec = Pod['spec']['containers'][number];

/** What the volume keeper gives for one volume of a pod. */
export interface PreparedVolume {
  /** Directory or file on the machine that is mounted. */
  path: string;
  readOnly?: boolean;
  /** Nothing in it is run. */
  noExec?: boolean;
  /** What it shows as one, top first: for pods whose users have other ids, since what is shown as one can't be shown with other owners. */
  lowerDirs?: string[];
}

/** Keeps the volumes of this node's pods: makes them, updates their contents when their sources change, removes them. */
export interface VolumeKeeper extends AsyncDisposable {
  /**
   * Makes all volumes of the pod ready, by volume name. Repeated calls are cheap and give the same.
   * @throws UmiakError naming the missing ConfigMap, Secret, key or path (reason `NotFound`), to be tried again
   */
  prepare(pod: Pod): Promise<Map<string, PreparedVolume>>;
  /**
   * Mounts what an image holds as the pod's volume, to be read. The first image that it is asked for stays until the pod is released.
   * @param imageId present in the store
   */
  mountImage(podUid: string, volume: string, imageId: string): Promise<PreparedVolume>;
  /** Where a volume of the pod lies on the node's disk, if it does: an emptyDir. */
  directoryOf(podUid: string, volume: string): string;
  /** Unmounts and removes what `prepare` made. Idempotent. */
  release(podUid: string): Promise<void>;
  /** Removes what belongs to none of these pods: left over from an earlier process. */
  sweep(livingUids: ReadonlySet<string>): Promise<void>;
}

/** Turns a container's spec into what the engine takes: environment, mounts, security, resources. */
export interface ContainerPlanner {
  /** @throws UmiakError (`NotFound`, `Invalid`, `Forbidden`) that says which reference or setting can't be met: CreateContainerConfigError */
  plan(request: {
    pod: Pod;
    container: ContainerSpec;
    sandbox: Sandbox;
    volumes: Map<string, PreparedVolume>;
    /** Image id or reference to run, present in the store. */
    image: string;
    /** The user that the image names, for `runAsNonRoot`. */
    imageUser?: string | undefined;
    attempt: number;
  }): Promise<ContainerConfig>;
  /** What its control group is to say. */
  resources(pod: Pod, container: ContainerSpec): Resources;
}

export type ProbeKind = 'startup' | 'liveness' | 'readiness';

/** Runs the probes of running containers and remembers their verdicts. */
export interface Prober extends AsyncDisposable {
  /** Begins (again, for a new container) the probes that the spec asks for. Idempotent per container id. */
  watch(target: { pod: Pod; container: ContainerSpec; containerId: string; address: string }): void;
  forget(containerId: string): void;
  /** The present verdict; undefined until there is one. Without such a probe: startup and readiness true, liveness true. */
  verdict(containerId: string, kind: ProbeKind): boolean | undefined;
  /** The failure to show: last output of a probe whose verdict is false. */
  message(containerId: string, kind: ProbeKind): string | undefined;
}

/** An image that a container can't have now; `waiting` is the state's reason, as people know it from the kubelet. */
export class ImageError extends UmiakError {
  readonly waiting: 'ErrImagePull' | 'ImagePullBackOff' | 'ErrImageNeverPull' | 'InvalidImageName' | 'ImageInspectError';
  /** When to ask again at the latest. */
  readonly retryInMs: number | undefined;

  constructor(waiting: ImageError['waiting'], message: string, { cause, retryInMs }: { cause?: unknown; retryInMs?: number } = {}) {
    const { reason, details, hint }: Partial<UmiakError> = cause instanceof UmiakError ? cause : {};
    super(reason ?? 'NotFound', message, { cause, ...(details ? { details } : {}), ...(hint ? { hint } : {}) });
    this.waiting = waiting;
    this.retryInMs = retryInMs;
  }
}

/** An image as containers name it. */
export type WantedImage = Pick<ContainerSpec, 'image' | 'imagePullPolicy'>;

/** What a container is made from. */
export interface PresentImage {
  imageId: string;
  /** Whether it had to be fetched. */
  pulled: boolean;
  /** The user that it names. */
  user?: string | undefined;
}

/** Pulls by policy, one pull of an image at a time, with back-off after failures. */
export interface ImagePuller {
  /**
   * @param signal who asked needs it no more; a pull for nobody else ends
   * @returns the image, present and unpacked
   * @throws ImageError
   */
  ensure(pod: Pod, image: WantedImage, signal?: AbortSignal): Promise<PresentImage>;
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
