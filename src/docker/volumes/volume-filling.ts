import { chmodSync, chownSync, lstatSync, type Stats } from 'node:fs';
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { UmiakError } from '#base/errors.ts';
import { newNameSuffix } from '#base/ids.ts';
import { copyLayersBeside, fillDirectoryBeside } from '#engine/copy-layers-beside.ts';
import { removeTree } from '#linux/remove-tree.ts';
import { findInLayers } from './image-content.ts';

export interface Filling {
  /** The volume's directory, as it is mounted in containers. */
  target: string;
  /** Beside it, where no container sees it, on the same file system unless something is mounted on `target`; the beginning of names. */
  staging: string;
  /** The image's, top first. */
  layers: readonly string[];
  /** Where the volume is mounted in the container. */
  destination: string;
  /** Containers run that see `target`. */
  isSeen: boolean;
  /** A file system is mounted on it. */
  isMounted: boolean;
}

/** Beside a volume: that its file system has a copy under way, which a kill would leave there. */
const UNDER_WAY = '.copying-';
const COPY = '.umiak-';

/**
 * Copies what an image has at a mount point into a volume that is empty, owners and modes too; the directory's own even if the image's is empty.
 * What is copied is prepared where no container can reach it, and given its place at once.
 * @throws BadRequest when the image has a file there
 */
export async function fillVolume({ target, staging, layers, destination, isSeen, isMounted }: Filling): Promise<void> {
  const content = findInLayers(layers, destination);
  if (content.kind === 'nothing') return;
  if (content.kind === 'other') throw new UmiakError('BadRequest', `cannot mount volume over existing file, file exists ${destination}`);
  if ((await readdir(target)).length > 0) return;
  const names = await Promise.all(content.layers.map(layer => readdir(layer)));
  if (names.every(each => each.length === 0)) {
    copyAccess(lstatSync(content.layers[0] ?? target), target);
    return;
  }
  const suffix = newNameSuffix(8);
  const source = `${staging}-${suffix}`;
  try {
    await mkdir(source, { mode: 0o700 });
    if (isMounted) {
      // Others may write there, and the copy must be made where they can: a file system has no other place.
      const mark = join(dirname(target), `${UNDER_WAY}${suffix}`);
      await writeFile(mark, '');
      await fillDirectoryBeside({ layers: content.layers, target, name: `${COPY}${suffix}`, place: source });
      await rm(mark);
      return;
    }
    await copyLayersBeside(content.layers, source);
    // An empty directory gives way to another in one step; but who runs holds on to the one that it has.
    if (!isSeen) await rename(source, target).catch(unlessFilled);
    else await moveInto(source, target);
  } finally {
    await removeTree(source);
  }
}

/** What a kill left of a copy in a volume's file system, which is mounted on `target`. */
export async function removeLeftCopies(target: string): Promise<void> {
  const beside = dirname(target);
  for (const name of await readdir(beside)) {
    if (!name.startsWith(UNDER_WAY)) continue;
    await removeTree(join(target, `${COPY}${name.slice(UNDER_WAY.length)}`));
    await rm(join(beside, name));
  }
}

function copyAccess({ uid, gid, mode }: Stats, target: string): void {
  chownSync(target, uid, gid);
  chmodSync(target, mode & 0o7777);
}

async function moveInto(source: string, target: string): Promise<void> {
  for (const name of await readdir(source)) await rename(join(source, name), join(target, name)).catch(unlessFilled);
  copyAccess(lstatSync(source), target);
}

/** Somebody was quicker: what is there stays. */
function unlessFilled(error: unknown): void {
  const { code = '' } = error as NodeJS.ErrnoException;
  if (!['ENOTEMPTY', 'EEXIST', 'EISDIR', 'ENOTDIR'].includes(code)) throw error;
}
