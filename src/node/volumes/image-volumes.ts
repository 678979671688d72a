import { chmod, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { mountOverlay } from '#engine/overlay.ts';
import type { ImageStore } from '#images/index.ts';
import { MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY } from '#linux/mount.ts';
import { readMountTable } from '#linux/mount-table.ts';
import type { PreparedVolume } from '../parts.ts';

export interface ImageVolumesOptions {
  /** Holds one directory a pod, by UID. */
  directory: string;
  images: Pick<ImageStore, 'ensureUnpacked'>;
}

/** No volume's name: in a pod's directory, a file for each volume from an image with that image's id, and the empty layer. */
const IMAGES = '..images';
const EMPTY = '..empty';

/**
 * Volumes that show what an image holds: its unpacked layers as one, to be read, not to be run. Which image it is stands beside it, so that
 * an agent that is started anew keeps the layers.
 */
export class ImageVolumes {
  readonly #options: ImageVolumesOptions;
  readonly #used = new Map<string, Set<string>>();
  readonly #mounting = new Map<string, Promise<PreparedVolume>>();
  #isAdopted = false;

  constructor(options: ImageVolumesOptions) {
    this.#options = options;
  }

  /** Repeated calls give the same; the first image stays. @throws UmiakError `NotFound` when the image is not there */
  mount(podUid: string, volume: string, imageId: string): Promise<PreparedVolume> {
    const key = `${podUid}/${volume}`;
    const mounting = this.#mounting.get(key) ?? this.#mount(podUid, volume, imageId).finally(() => this.#mounting.delete(key));
    this.#mounting.set(key, mounting);
    return mounting;
  }

  async #mount(podUid: string, volume: string, imageId: string): Promise<PreparedVolume> {
    const directory = join(this.#options.directory, podUid);
    const path = join(directory, volume);
    const empty = join(directory, IMAGES, EMPTY);
    const prepare = async (id: string) => {
      const lowerDirs = [...(await this.#options.images.ensureUnpacked(id)), empty];
      return { path, readOnly: true, noExec: true, lowerDirs };
    };
    if (readMountTable().some(({ target }) => target === path))
      return await prepare(await readFile(join(directory, IMAGES, volume), 'utf8'));
    this.#note(podUid, imageId);
    await mkdir(empty, { recursive: true, mode: 0o755 });
    await writeFile(join(directory, IMAGES, volume), imageId);
    const prepared = await prepare(imageId);
    if ((await mkdir(path, { recursive: true })) !== undefined) await chmod(path, 0o755);
    // Two layers at least, or the kernel asks for one to write to.
    const flags = MS_RDONLY | MS_NOEXEC | MS_NOSUID | MS_NODEV;
    await mountOverlay({ lowerDirs: prepared.lowerDirs, target: path, flags });
    return prepared;
  }

  /** Whether a volume is made of that image. Of what an earlier agent left nothing is known until `adopt`: then all may be. */
  uses(imageId: string): boolean {
    return !this.#isAdopted || [...this.#used.values()].some(ids => ids.has(imageId));
  }

  /** Finds the volumes that an earlier agent made. */
  async adopt(): Promise<void> {
    const { directory } = this.#options;
    for (const uid of await readdir(directory).catch(() => []))
      for (const volume of await readdir(join(directory, uid, IMAGES)).catch(() => []))
        if (volume !== EMPTY) this.#note(uid, await readFile(join(directory, uid, IMAGES, volume), 'utf8').catch(() => ''));
    this.#isAdopted = true;
  }

  /** Resolves when nothing of the pod is being mounted. */
  async settled(podUid: string): Promise<void> {
    const own = [...this.#mounting].filter(([key]) => key.startsWith(`${podUid}/`));
    await Promise.allSettled(own.map(([, mounting]) => mounting));
  }

  /** Its volumes are unmounted. */
  forget(podUid: string): void {
    this.#used.delete(podUid);
  }

  #note(podUid: string, imageId: string): void {
    this.#used.set(podUid, (this.#used.get(podUid) ?? new Set()).add(imageId));
  }
}
