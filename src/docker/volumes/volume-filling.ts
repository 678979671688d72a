import { chmodSync, chownSync, lstatSync, type Stats } from 'node:fs';
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { UmiakError } from '#base/errors.ts';
import { newNameSuffix } from '#base/ids.ts';
import { copyLayersBeside } from '#engine/copy-layers-beside.ts';
import { findInLayers } from './image-content.ts';

export interface Filling {
  /** The volume's directory, as it is mounted in containers. */
  target: string;
  /** A directory beside it that no container sees, on the same file system unless something is mounted on `target`. */
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
  const source = isMounted ? join(target, `.umiak-${newNameSuffix(8)}`) : `${staging}-${newNameSuffix(8)}`;
  try {
    await mkdir(source, { mode: 0o700 });
    await copyLayersBeside(content.layers, source);
    // An empty directory gives way to another in one step; but who runs holds on to the one that it has.
    if (!isSeen && !isMounted) await rename(source, target).catch(unlessFilled);
    else await moveInto(source, target);
  } finally {
    await rm(source, { recursive: true, force: true });
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
