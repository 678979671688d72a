import { type BigIntStats, lstatSync, readlinkSync } from 'node:fs';
import { posix } from 'node:path';
import { UmiakError } from '#base/errors.ts';
import { fromText, toText } from '#images/tar-format.ts';

/** What docker tells of a file of a container (`X-Docker-Container-Path-Stat`). */
export interface PathStat {
  name: string;
  size: number;
  /** Go's `os.FileMode`. */
  mode: number;
  /** RFC 3339, to the nanosecond. */
  mtime: string;
  /** Where a link leads in the end, or as far as it does; empty for all else. */
  linkTarget: string;
}

const MOST_LINKS = 255;
const MAX_PATH_BYTES = 4096;

/**
 * A path of a client as docker takes it: absolute, without `.` and `..`, but with a trailing `/` or `/.` if it had one, by which a link is followed.
 * Pure. @throws BadRequest
 */
export function toContainerPath(path: string): string {
  if (path.includes('\0') || Buffer.byteLength(path) > MAX_PATH_BYTES) throw new UmiakError('BadRequest', 'the path can be no file’s');
  const clean = posix.resolve('/', path);
  if (/(?:^|\/)\.\/*$/.test(path)) return `${clean === '/' ? '' : clean}/.`;
  return path.endsWith('/') && clean !== '/' ? `${clean}/` : clean;
}

/** Of the root that this thread is in. @throws NotFound, BadRequest for a path through what is no directory */
export function statPath(path: string): PathStat {
  const stat = lstat(path);
  return {
    name: posix.basename(path) || '/',
    size: Number(stat.size),
    mode: goModeOf(stat),
    mtime: toGoTime(stat.mtimeNs),
    linkTarget: stat.isSymbolicLink() ? resolveLink(path) : '',
  };
}

/** @throws NotFound, BadRequest */
export function lstat(path: string): BigIntStats {
  try {
    return lstatSync(Buffer.from(path), { bigint: true });
  } catch (error) {
    throw toPathError(error, path);
  }
}

/** What a failure to find a path means. */
export function toPathError(error: unknown, path: string): unknown {
  const { code } = error as NodeJS.ErrnoException;
  const details = { kind: 'path', name: path };
  if (code === 'ENOENT') return new UmiakError('NotFound', `there is no ${path}`, { details });
  if (code === 'ENOTDIR') return new UmiakError('BadRequest', `${path}: not a directory`, { details });
  if (code === 'ELOOP') return new UmiakError('BadRequest', `${path}: too many levels of symbolic links`, { details });
  if (code === 'ENAMETOOLONG') return new UmiakError('BadRequest', `${path.slice(0, 300)}…: file name too long`);
  return error;
}

/** All links followed, of the last component too; what is not there is taken as it is named. */
function resolveLink(path: string): string {
  let at = '';
  let links = 0;
  const ahead = componentsOf(fromText(path)).reverse();
  for (let next = ahead.pop(); next !== undefined; next = ahead.pop()) {
    if (next === '..') at = at.slice(0, Math.max(0, at.lastIndexOf('/')));
    else {
      const here = `${at}/${next}`;
      const target = linkAt(here);
      if (target === undefined) at = here;
      else {
        if (++links > MOST_LINKS) throw new UmiakError('BadRequest', `${path}: too many levels of symbolic links`);
        if (target.startsWith('/')) at = '';
        ahead.push(...componentsOf(target).reverse());
      }
    }
  }
  return toText(at) || '/';
}

function linkAt(path: string): string | undefined {
  try {
    return readlinkSync(Buffer.from(path, 'latin1'), 'latin1');
  } catch {
    return undefined;
  }
}

function componentsOf(path: string): string[] {
  return path.split('/').filter(component => component !== '' && component !== '.');
}

/** `os.FileMode` of Go. Pure. */
export function goModeOf(
  stat: Pick<BigIntStats, 'mode' | 'isDirectory' | 'isSymbolicLink' | 'isFIFO' | 'isSocket' | 'isCharacterDevice' | 'isBlockDevice'>,
): number {
  const mode = Number(stat.mode);
  const kind = stat.isDirectory()
    ? 2 ** 31
    : stat.isSymbolicLink()
      ? 2 ** 27
      : stat.isBlockDevice()
        ? 2 ** 26
        : stat.isCharacterDevice()
          ? 2 ** 26 + 2 ** 21
          : stat.isFIFO()
            ? 2 ** 25
            : stat.isSocket()
              ? 2 ** 24
              : 0;
  return kind + (mode & 0o4000 ? 2 ** 23 : 0) + (mode & 0o2000 ? 2 ** 22 : 0) + (mode & 0o1000 ? 2 ** 20 : 0) + (mode & 0o777);
}

/** As Go writes times into JSON. Pure. */
export function toGoTime(nanoseconds: bigint): string {
  const nanos = ((nanoseconds % SECOND) + SECOND) % SECOND;
  const seconds = new Date(Number((nanoseconds - nanos) / 1_000_000n)).toISOString().slice(0, 19);
  const fraction = nanos === 0n ? '' : `.${String(nanos).padStart(9, '0').replace(/0+$/, '')}`;
  return `${seconds}${fraction}Z`;
}

const SECOND = 1_000_000_000n;
