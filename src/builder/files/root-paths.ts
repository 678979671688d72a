import { lstatSync, mkdirSync, readlinkSync, type Stats } from 'node:fs';
import { UmiakError } from '#base/errors.ts';
import { toText } from '#images/tar-format.ts';
import { followLinks } from './follow-links.ts';

/** Where paths of a file system that nobody else changes lie, links followed as a process inside would. Paths are byte strings. */
export class RootPaths {
  readonly #root: string;
  /** Of directories that were found or made. */
  readonly #known = new Map<string, string>();

  constructor(root: string) {
    this.#root = Buffer.from(root, 'utf8').toString('latin1');
  }

  /** The real place of a path, its last link followed too; what is missing is taken as it is written. Never above the root. */
  resolve(path: string): string {
    const known = this.#known.get(path);
    if (known !== undefined) return known;
    const found = followLinks(path, place => {
      const at = `${this.#root}/${place}`;
      return lstat(at)?.isSymbolicLink() ? readlinkSync(Buffer.from(at, 'latin1'), 'latin1') : true;
    });
    if (found === undefined) throw new UmiakError('Invalid', `${toText(path)}: too many levels of symbolic links`);
    return found === '' ? this.#root : `${this.#root}/${found}`;
  }

  /** The real place of a directory, made with its parents where it is missing; `made` is told of each that was. @throws Invalid when a file is in the way */
  directory(path: string, made: (place: Buffer) => void): string {
    const known = this.#known.get(path);
    if (known !== undefined) return known;
    const place = this.resolve(path);
    this.#ensure(place, made, path);
    this.#known.set(path, place);
    return place;
  }

  #ensure(place: string, made: (place: Buffer) => void, path: string): void {
    const stat = lstat(place);
    if (stat?.isDirectory()) return;
    if (stat) throw new UmiakError('Invalid', `${toText(path)}: what is there is no directory`);
    this.#ensure(place.slice(0, place.lastIndexOf('/')), made, path);
    const bytes = Buffer.from(place, 'latin1');
    mkdirSync(bytes, 0o755);
    made(bytes);
  }

  /** Links and directories have changed. */
  forget(): void {
    this.#known.clear();
  }
}

/** What is at a place (a byte string), undefined where nothing is. */
export function lstat(place: string): Stats | undefined {
  try {
    return lstatSync(Buffer.from(place, 'latin1'), { throwIfNoEntry: false });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOTDIR') return undefined;
    throw error;
  }
}
