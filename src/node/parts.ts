import type { ContainerConfig, Sandbox } from '#engine/engine.ts';
import type { Pod } from '#kinds/pod.ts';

/** A container of a pod's spec: init, sidecar (an init container that is always restarted) or main. */
export type ContainerSpec = Pod['spec']['containers'][number];

/** What the volume keeper gives for one volume of a pod. */
export interface PreparedVolume {
  /** Directory or file on the machine that is mounted. */
  path: string;
  readOnly?: boolean;
}

/** Keeps the volumes of this node's pods: makes them, updates their contents when their sources change, removes them. */
export interface VolumeKeeper extends AsyncDisposable {
  /**
   * Makes all volumes of the pod ready, by volume name. Repeated calls are cheap and give the same.
   * @throws UmiakError naming the missing ConfigMap, Secret, key or path (reason `NotFound`), to be tried again
   */
  prepare(pod: Pod): Promise<Map<string, PreparedVolume>>;
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
    attempt: number;
  }): Promise<ContainerConfig>;
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

/** Pulls by policy, one pull of an image at a time, with back-off after failures. */
export interface ImagePuller {
  /**
   * @returns the image's id, present and unpacked
   * @throws UmiakError with `hint`; reason `NotFound` for policy Never (ErrImageNeverPull), otherwise ErrImagePull
   */
  ensure(pod: Pod, container: ContainerSpec): Promise<{ imageId: string; pulled: boolean }>;
}
