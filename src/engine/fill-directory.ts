import { chmodSync, chownSync, lstatSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { MS_BIND, MS_RDONLY, MS_REMOUNT, mount } from '#linux/mount.ts';
import { pivotInto, takePrivateMounts } from '#linux/private-mounts.ts';
import { copyLayers } from './copy-layers.ts';

export interface DirectoryFilling {
  /** In overlay's form, top first. */
  layers: readonly string[];
  target: string;
  /** What the copy is called in `target` until it is whole. */
  name: string;
  /** An empty directory, to be mounted on. */
  place: string;
}

/**
 * Copies layers into a directory that others may write to meanwhile, who can put a link where a directory was: this thread sees the layers, to be read,
 * and `target`, and nothing else any more. What is there already stays; owner and mode become the layers'. Blocks: for a worker thread, which ends with it.
 */
export function fillDirectory({ layers, target, name, place }: DirectoryFilling): void {
  takePrivateMounts();
  mount('none', place, 'tmpfs', 0, 'size=1m,mode=700');
  const show = (source: string, at: string) => {
    mkdirSync(`${place}/${at}`);
    mount(source, `${place}/${at}`, null, MS_BIND);
  };
  for (const [index, layer] of layers.entries()) {
    show(layer, `layer${index}`);
    mount('none', `${place}/layer${index}`, null, MS_BIND | MS_REMOUNT | MS_RDONLY);
  }
  show(target, 'target');
  pivotInto(place);
  const copy = `/target/${name}`;
  try {
    mkdirSync(copy, 0o700);
    copyLayers(
      layers.map((_, index) => `/layer${index}`),
      copy,
    );
    for (const each of readdirSync(copy, { encoding: 'latin1' })) giveItsPlace(copy, each);
    const { uid, gid, mode } = lstatSync('/layer0');
    chownSync('/target', uid, gid);
    chmodSync('/target', mode & 0o7777);
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

function giveItsPlace(directory: string, name: string): void {
  try {
    renameSync(Buffer.from(`${directory}/${name}`, 'latin1'), Buffer.from(`/target/${name}`, 'latin1'));
  } catch (error) {
    // Somebody was quicker: what is there stays.
    const { code = '' } = error as NodeJS.ErrnoException;
    if (!['ENOTEMPTY', 'EEXIST', 'EISDIR', 'ENOTDIR', 'ENOENT'].includes(code)) throw error;
  }
}
