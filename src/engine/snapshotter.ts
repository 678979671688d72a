import { existsSync } from 'node:fs';
import { UmiakError } from '#base/errors.ts';
import { SyscallError } from '#linux/libc.ts';
import type { Users } from './mapped-mounts.ts';

export type SnapshotterKind = 'overlay' | 'copy';

/** A container's root file system: image layers that stay as they are, and what is written over them. */
export interface Snapshot {
  id: string;
  /** Unpacked layers in overlay's form, top first. */
  lowerDirs: readonly string[];
  /** A layer below all of them with nothing but what things are mounted on; only overlay takes it. */
  floor?: string | undefined;
  /** It goes when it is unmounted, and need not be written out then. */
  isTransient?: boolean | undefined;
  /** The container's own directory, in which the root file system is `merged`. */
  directory: string;
  /** Who sees it with ids of their own. */
  users?: Users | undefined;
  /** The most that may be written; kept where the file system counts by project, else refused before. */
  limitBytes?: number | undefined;
}

/** Makes root file systems. What was written to one stays until its directory is removed, whatever process or boot it is. */
export interface Snapshotter {
  readonly kind: SnapshotterKind;
  /** Makes it ready at `merged`; what was written before is there again. @throws SyscallError, with nothing mounted */
  mount(snapshot: Snapshot): Promise<void>;
  /** Ends what `mount` did but for what was written. Where nothing is mounted there is nothing to do. */
  unmount(directory: string): Promise<void>;
}

/** Where the parts of a snapshot lie in its directory. */
export function partsOf(directory: string): { merged: string; upper: string; work: string; copied: string } {
  return { merged: `${directory}/merged`, upper: `${directory}/upper`, work: `${directory}/work`, copied: `${directory}/copied` };
}

/** Where what the container wrote lies: of a copy that is all of it. */
export function writableOf(directory: string): string {
  const { merged, upper, copied } = partsOf(directory);
  return existsSync(copied) ? merged : upper;
}

export interface SnapshotsOptions {
  overlay: Snapshotter;
  copy: () => Promise<Snapshotter>;
  /** `auto`: overlay, and copies from the first time on that it turns out to be impossible here. */
  wanted: SnapshotterKind | 'auto';
  /** Whether an overlay can be mounted at all where the directory is; asked after one could not. */
  canOverlay: (directory: string) => Promise<boolean>;
  onFallback?: (why: unknown) => void;
}

/** Takes for each snapshot the snapshotter that made it, for new ones that which works here. */
export class Snapshots implements Snapshotter {
  readonly #options: SnapshotsOptions;
  #kind: SnapshotterKind;

  constructor(options: SnapshotsOptions) {
    this.#options = options;
    this.#kind = options.wanted === 'copy' ? 'copy' : 'overlay';
  }

  /** Of new ones. */
  get kind(): SnapshotterKind {
    return this.#kind;
  }

  async mount(snapshot: Snapshot): Promise<void> {
    if (this.#kind === 'copy' || existsSync(partsOf(snapshot.directory).copied)) return await (await this.#options.copy()).mount(snapshot);
    try {
      await this.#options.overlay.mount(snapshot);
    } catch (error) {
      if (!(error instanceof SyscallError) || (await this.#options.canOverlay(snapshot.directory))) throw error;
      if (this.#options.wanted === 'overlay')
        throw new UmiakError('InternalError', `the root file system of container ${snapshot.id} can't be mounted: ${error.message}`, {
          cause: error,
          hint: 'modprobe overlay, or let the agent copy images: --snapshotter auto.',
        });
      this.#options.onFallback?.(error);
      this.#kind = 'copy';
      await (await this.#options.copy()).mount(snapshot);
    }
  }

  async unmount(directory: string): Promise<void> {
    await this.#options.overlay.unmount(directory);
  }
}
