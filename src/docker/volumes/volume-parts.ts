import { closeSync, existsSync, fstatSync, mkdirSync, readdirSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { UmiakError } from '#base/errors.ts';
import { MS_BIND, MS_REC, mount } from '#linux/mount.ts';
import { mountsBelow } from '#linux/mount-table.ts';
import { openBeneath } from '#linux/open-below.ts';
import { unmountBelow } from '#linux/unmount-below.ts';

const O_PATH = 0o10000000;

/**
 * Parts of volumes (`volume-subpath`). Containers may swap a directory of a volume for a link at any moment: so the path is opened with the volume
 * as root, and exactly what was opened is bound to a place of ours, which is what the container gets.
 */
export class VolumeParts {
  readonly #directory: string;

  constructor({ directory }: { directory: string }) {
    this.#directory = directory;
  }

  placeOf(key: string, index: number): string {
    return join(this.#directory, key, String(index));
  }

  /** A place that is to be filled with each start. */
  reserve(place: string): void {
    mkdirSync(place, { recursive: true, mode: 0o700 });
  }

  /** @throws BadRequest when there is nothing at that path, or it leads out of the volume */
  fill(place: string, volume: string, path: string): void {
    const opened = openBeneath(volume, path, O_PATH);
    if (opened === 'missing') throw new UmiakError('BadRequest', `cannot access path ${path} of the volume: no such file or directory`);
    if (opened === 'escapes')
      throw new UmiakError('BadRequest', `path concatenation escapes the base directory, base: ${volume}, subpath: ${path}`);
    try {
      clear(place);
      mkdirSync(dirname(place), { recursive: true, mode: 0o700 });
      if (fstatSync(opened).isDirectory()) mkdirSync(place);
      else writeFileSync(place, '');
      mount(`/proc/self/fd/${opened}`, place, null, MS_BIND | MS_REC);
    } finally {
      closeSync(opened);
    }
  }

  isShown(place: string): boolean {
    return mountsBelow(place).length > 0;
  }

  /** Nothing is shown there any more. Idempotent. */
  empty(place: string): void {
    unmountBelow(place);
  }

  /** One place; its container's directory with the last. */
  removePlace(place: string): void {
    clear(place);
    try {
      rmdirSync(dirname(place));
    } catch (error) {
      if (!['ENOTEMPTY', 'ENOENT'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    }
  }

  /** All places of a container. */
  remove(key: string): void {
    clear(join(this.#directory, key));
  }

  /** At a start: places of containers that are not there go. */
  sweep(isNeeded: (key: string) => boolean): void {
    for (const key of existsSync(this.#directory) ? readdirSync(this.#directory) : []) if (!isNeeded(key)) this.remove(key);
  }
}

/** Nothing is removed through a mount. */
function clear(path: string): void {
  unmountBelow(path);
  rmSync(path, { recursive: true, force: true });
}
