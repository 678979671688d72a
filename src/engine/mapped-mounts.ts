import {
  closeSync,
  constants,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  rmdirSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { chown, lchown } from 'node:fs/promises';
import { UmiakError } from '#base/errors.ts';
import { attachMount, openIdmapped } from '#linux/idmapped-mount.ts';
import { SyscallError } from '#linux/libc.ts';
import { MS_BIND, MS_RDONLY, MS_REC, mount } from '#linux/mount.ts';
import { openBelow, openBeneath } from '#linux/open-below.ts';
import { unmountAlone, unmountBelow } from '#linux/unmount-below.ts';
import type { Mount, UserNamespaceMappings } from './engine.ts';
import { mountOverlay, type OverlayOptions, ROOT_DIRECTORIES } from './overlay.ts';
import { shiftOwners } from './shift-owners.ts';
import { rootOf } from './user-namespaces.ts';

const EINVAL = 22;
const O_PATH = 0o10000000;
/** Layers of one image are mounted at the same time, volumes too: names are per use. */
const LAYER = 'layer';
const VOLUME = 'volume';
const ROOT = 'root';

/** Whose eyes things are to be seen with. */
export interface Users {
  /** The pinned user namespace. */
  path: string;
  mappings: UserNamespaceMappings;
}

/**
 * What containers with user namespaces see: layers and volumes with the owners that they have inside. Each is a mount that stands only until
 * the runtime has its own of it, in a directory where nothing but mounts is, so that no removal ever reaches what they show.
 */
export class MappedMounts {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  /** Undoes what a killed process left, but for what running containers need. */
  clear(isRunning: (id: string) => boolean): void {
    const ids = list(this.#root);
    if (ids.length === 0) return;
    unmountBelow(this.#root);
    for (const id of ids) this.#removeFiles(id, isRunning(id) ? ROOT : undefined);
  }

  /**
   * Mounts an overlay of which everything belongs to the users' own ids, whose upper layer has them as they are on the machine. Layers on a
   * file system without idmapped mounts are shown by giving each file its new owner once, which copies it.
   */
  async mountOverlay(
    id: string,
    users: Users,
    options: Required<Pick<OverlayOptions, 'lowerDirs' | 'writable' | 'target'>>,
  ): Promise<void> {
    const { uid, gid } = rootOf(users.mappings);
    await chown(options.writable.upper, uid, gid);
    try {
      const lowerDirs = this.#withNamespace(users, namespace =>
        options.lowerDirs.map((source, index) => this.#show(id, `${LAYER}${index}`, source, namespace)),
      );
      await mountOverlay({ ...options, lowerDirs });
    } catch (error) {
      // The file system has no idmapped mounts, or overlay, before Linux 5.19, takes none.
      if (!(error instanceof SyscallError && error.errno === EINVAL)) throw error;
      await mountOverlay(options);
      await shiftOwners(options.target, users.mappings);
    } finally {
      await this.drop(id);
    }
  }

  /**
   * The same paths where the users find a way to them, whoever may enter the directories above them: a runtime that makes the container is
   * one of them already.
   */
  showRoot(id: string, rootfs: string): string {
    return this.showPaths(id, { [ROOT]: rootfs })[ROOT] ?? rootfs;
  }

  /** See `showRoot`. */
  showPaths<T extends Partial<Record<string, string>>>(id: string, paths: T): T {
    const shown = Object.entries(paths).map(([name, source]) => {
      if (source === undefined) return [name, source];
      const target = this.#makeTarget(id, name, source);
      mount(source, target, null, MS_BIND | MS_REC);
      return [name, target];
    });
    return Object.fromEntries(shown);
  }

  /**
   * The same mounts with sources as the container is to see them: with the owners that users of its own see, and of an image only the part
   * that is asked for.
   * @throws Invalid naming the volume that can't be shown so, NotFound naming the part that the image does not have
   */
  showVolumes(id: string, users: Users | undefined, mounts: readonly Mount[]): Mount[] {
    const show = (namespace?: number) =>
      mounts.map((mount, index) =>
        namespace === undefined && mount.imageSubPath === undefined ? mount : this.#showVolume(id, `${VOLUME}${index}`, mount, namespace),
      );
    return users ? this.#withNamespace(users, show) : show();
  }

  #showVolume(id: string, name: string, mount: Mount, namespace: number | undefined): Mount {
    if (mount.type === 'tmpfs') return mount;
    if (mount.type === 'overlay') {
      const shown = this.#showOverlay(id, name, mount, namespace);
      return { ...shown, source: partOf(mount, shown.source) };
    }
    const source = partOf(mount, mount.source);
    if (namespace === undefined) return { ...mount, source };
    try {
      return { ...mount, source: this.#show(id, name, source, namespace) };
    } catch (cause) {
      if (!isNotIdmappable(cause)) throw cause;
      throw new UmiakError(
        'Invalid',
        `mount ${mount.destination}: the file system of ${mount.source} has no idmapped mounts, which a pod with users of its own needs`,
        { cause, hint: 'Take a volume on ext4, xfs, btrfs or tmpfs, or set hostUsers: true.' },
      );
    }
  }

  /** An overlay has no other owners than its layers have. */
  #showOverlay(id: string, name: string, { lowerDirs = [], type: _, ...rest }: Mount, namespace: number | undefined): Mount {
    const layers =
      namespace === undefined ? lowerDirs : lowerDirs.map((source, index) => this.#show(id, `${name}-${LAYER}${index}`, source, namespace));
    const target = `${this.#root}/${id}/${name}`;
    mkdirSync(target, { recursive: true, mode: 0o711 });
    // The kernel takes one page of options, which is not enough for many long paths.
    const fds = layers.map(layer => openSync(layer, constants.O_DIRECTORY));
    try {
      mount('overlay', target, 'overlay', MS_RDONLY, `lowerdir=${fds.map(fd => `/proc/self/fd/${fd}`).join(':')}`);
    } finally {
      for (const fd of fds) closeSync(fd);
    }
    return { ...rest, source: target, readOnly: true };
  }

  /** The runtime has what it needs. The root's directory stays, empty, since some start what they execute in there. */
  async settle(id: string): Promise<void> {
    if (!existsSync(`${this.#root}/${id}`)) return;
    await this.#unmount(id);
    this.#removeFiles(id, ROOT);
  }

  /** Nobody needs anything any more. */
  async drop(id: string): Promise<void> {
    if (!existsSync(`${this.#root}/${id}`)) return;
    await this.#unmount(id);
    this.#removeFiles(id);
  }

  async #unmount(id: string): Promise<void> {
    for (const name of list(`${this.#root}/${id}`)) await unmountAlone(`${this.#root}/${id}/${name}`);
  }

  #show(id: string, name: string, source: string, namespace: number): string {
    const fd = openIdmapped(source, namespace);
    try {
      const target = this.#makeTarget(id, name, source);
      attachMount(fd, target);
      return target;
    } finally {
      closeSync(fd);
    }
  }

  #makeTarget(id: string, name: string, source: string): string {
    const target = `${this.#root}/${id}/${name}`;
    mkdirSync(`${this.#root}/${id}`, { recursive: true, mode: 0o711 });
    if (statSync(source).isDirectory()) mkdirSync(target, { recursive: true, mode: 0o711 });
    else writeFileSync(target, '', { flag: 'a' });
    return target;
  }

  #withNamespace<T>({ path }: Users, work: (namespace: number) => T): T {
    const namespace = openSync(path, constants.O_RDONLY);
    try {
      return work(namespace);
    } finally {
      closeSync(namespace);
    }
  }

  /** Never what is in a directory: should something still be mounted there, this fails. */
  #removeFiles(id: string, except?: string): void {
    const directory = `${this.#root}/${id}`;
    for (const entry of list(directory)) {
      if (entry === except) continue;
      const path = `${directory}/${entry}`;
      if (statSync(path).isDirectory()) rmdirSync(path);
      else unlinkSync(path);
    }
    if (except === undefined && existsSync(directory)) rmdirSync(directory);
  }
}

function list(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** Where the part of an image that a mount asks for lies, without links: nothing of an image changes. @throws NotFound */
function partOf({ destination, imageId, imageSubPath }: Mount, root: string): string {
  if (imageSubPath === undefined) return root;
  const fd = openBelow(root, imageSubPath, O_PATH);
  if (fd === undefined && openBeneath(root, imageSubPath, O_PATH) === 'escapes')
    throw new UmiakError('NotFound', `mount ${destination}: path concatenation escapes the base directory, subpath: ${imageSubPath}`);
  if (fd === undefined)
    throw new UmiakError(
      'NotFound',
      `mount ${destination}: cannot access path ${JSON.stringify(imageSubPath)}: image ${imageId} has no such file or directory`,
      {
        hint: 'Name a subPath that the image has, or leave it out.',
      },
    );
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } finally {
    closeSync(fd);
  }
}

function isNotIdmappable(error: unknown): boolean {
  return error instanceof SyscallError && error.errno === EINVAL && /mount_setattr/.test(error.message);
}

/** Gives mount points that we made in a root file system to the users' root. */
export async function giveMountPoints(rootfs: string, { mappings }: Users): Promise<void> {
  const { uid, gid } = rootOf(mappings);
  for (const name of ROOT_DIRECTORIES) {
    const stat = lstatSync(`${rootfs}/${name}`, { throwIfNoEntry: false });
    if (stat?.uid === 0) await lchown(`${rootfs}/${name}`, uid, gid);
  }
}
