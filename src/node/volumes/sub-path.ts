import { closeSync, constants, fstatSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { UmiakError } from '#base/index.ts';
import { MS_BIND, MS_REC, mount } from '#linux/mount.ts';
import { openBelow } from '#linux/open-below.ts';
import { unmountBelow } from '#linux/unmount-below.ts';

const O_PATH = 0o10000000;

/**
 * Paths inside volumes, for `subPath`. What stands there belongs to containers, who may swap a directory for a link at any moment: so the path
 * is opened step by step with the volume as root, and exactly what was opened is bound to a place of ours, which is what gets mounted.
 * These places lie in the pod's directory and go with it.
 */
export class SubPathPins {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /**
   * The path of a place that is `path` inside `volume`; directories that are missing are made.
   * @throws `Invalid` when the path leads out of the volume
   */
  async pin(index: number, volume: string, path: string): Promise<string> {
    if (path.startsWith('/') || path.split('/').includes('..'))
      throw new UmiakError('Invalid', `subPath ${JSON.stringify(path)} leads out of its volume`);
    const opened = openOrMake(
      volume,
      path.split('/').filter(part => part !== '' && part !== '.'),
    );
    try {
      const place = join(this.#directory, String(index));
      unmountBelow(place);
      rmSync(place, { recursive: true, force: true });
      mkdirSync(this.#directory, { recursive: true, mode: 0o750 });
      if (fstatSync(opened).isDirectory()) mkdirSync(place);
      else writeFileSync(place, '');
      mount(`/proc/self/fd/${opened}`, place, null, MS_BIND | MS_REC);
      return place;
    } finally {
      closeSync(opened);
    }
  }
}

/** Opens below the volume; a link that points out of it ends inside, where there is nothing. */
function openOrMake(volume: string, parts: readonly string[]): number {
  for (const [index, name] of parts.entries()) {
    const found = openBelow(volume, parts.slice(0, index + 1).join('/'), O_PATH);
    if (found !== undefined) {
      closeSync(found);
      continue;
    }
    const above = openBelow(volume, parts.slice(0, index).join('/') || '.', constants.O_DIRECTORY | O_PATH);
    if (above === undefined) throw leadsOut(parts);
    try {
      mkdirSync(`/proc/self/fd/${above}/${name}`, { mode: 0o755 });
    } catch (error) {
      // A link to nowhere: what it names can't be made, and must not be.
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') throw leadsOut(parts);
      throw error;
    } finally {
      closeSync(above);
    }
  }
  const opened = openBelow(volume, parts.join('/') || '.', O_PATH);
  if (opened === undefined) throw leadsOut(parts);
  return opened;
}

function leadsOut(parts: readonly string[]): UmiakError {
  return new UmiakError('Invalid', `subPath ${JSON.stringify(parts.join('/'))} leads out of its volume, or to nothing`);
}
