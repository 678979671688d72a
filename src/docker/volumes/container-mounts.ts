import type { Mount } from '#engine/index.ts';

/** An entry of `Mounts` in docker's `inspect`, word by word. */
export interface MountPoint {
  Type: 'bind' | 'volume' | 'tmpfs' | 'image';
  /** The volume's. */
  Name?: string;
  Source: string;
  Destination: string;
  /** The volume's. */
  Driver?: string;
  Mode: string;
  RW: boolean;
  Propagation: string;
}

/** One mount of a container: what `inspect` shows, and what a start must do before it. It stands in the container's record as it is. */
export interface ContainerMount {
  point: MountPoint;
  /** Made for this container alone, without a name: it goes with `rm -v` and `--rm`. */
  isAnonymous?: boolean;
  /** A path of the machine that is made where it is not there, as `-v` does. */
  makesSource?: boolean;
  /** A part of a volume, shown at a place of ours from the start on. */
  part?: { path: string; place: string };
}

/** What of a container's configuration says what is mounted in it; docker's words, as the client sent them. */
export interface MountsRequest {
  /** `Config.Volumes` and the image's: anonymous volumes, if nothing else is mounted there. */
  volumes?: Readonly<Record<string, unknown>> | null | undefined;
  host: {
    Binds?: unknown;
    Mounts?: unknown;
    Tmpfs?: unknown;
    VolumesFrom?: unknown;
    VolumeDriver?: unknown;
  };
  /** The image's layers, top first: what lies at a mount point of theirs is copied into a new volume. */
  lowerDirs: readonly string[];
  /** 1.44 and later: read-only mounts are so with all that is mounted below them, where the kernel can. */
  apiMinor: number;
}

/** A container's mounts, ready to be recorded; their volumes are kept until it is disposed, when the container's record names them. */
export interface PreparedMounts extends Disposable {
  /** For the engine's `ContainerConfig.mounts`. */
  mounts: Mount[];
  /** For the container's record, and `point`s for `inspect`. */
  containerMounts: ContainerMount[];
  /** Removes the volumes that were made for it: the container could not be made. */
  undo(): Promise<void>;
}

/** What volumes know of containers: an index over their records. */
export interface VolumeUser {
  id: string;
  isRunning: boolean;
  mounts: readonly ContainerMount[];
}

/** What a container's mounts are needed for. */
export interface MountUse {
  /** Somebody looks at the files of one that does not run; a run may begin and end meanwhile. */
  isVisit?: boolean;
}

/** What the containers' room does with volumes, in this order: prepare, mount and unmount with each run, at last removed. */
export interface ContainerVolumes {
  /** @throws BadRequest, NotFound in docker's words; nothing is made then */
  prepare(request: MountsRequest): Promise<PreparedMounts>;
  /** Before a start: file systems of volumes, parts of volumes, missing sources of `-v`. All or nothing. */
  mount(containerId: string, mounts: readonly ContainerMount[], use?: MountUse): Promise<void>;
  /** After a run has ended, or a start has failed; the container must not count as running any more. Idempotent. */
  unmount(containerId: string, mounts: readonly ContainerMount[], use?: MountUse): Promise<void>;
  /** When no run comes any more; `anonymous` takes the container's nameless volumes along, that no other has. */
  removed(mounts: readonly ContainerMount[], options: { anonymous: boolean }): Promise<void>;
}

/** What volumes ask the containers' room for. */
export interface VolumeUsers {
  /** All containers with mounts, running or not. */
  users(): Iterable<VolumeUser>;
  /** Of one container by name or id, for `--volumes-from`. @throws NotFound */
  mountsOf(reference: string): readonly ContainerMount[];
}
