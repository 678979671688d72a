import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  lchownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  realpathSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { posix } from 'node:path';
import { isUmiakError, messageOf, UmiakError } from '#base/errors.ts';
import { decompressed } from '#images/decompress.ts';
import { writeContent } from '#images/tar-content.ts';
import { fromText, toText } from '#images/tar-format.ts';
import { readTar, type TarEntry } from '#images/tar-reader.ts';
import { makeNode, setFileTime, setTime, setXattr } from '#linux/file-attributes.ts';
import { SyscallError } from '#linux/libc.ts';
import { lstat, toPathError } from './path-stat.ts';

export interface ExtractOptions {
  /** A directory is not replaced by what is none, nor the other way round. */
  noOverwriteDirNonDir?: boolean;
  /** Whose everything becomes; else the archive's owners. */
  owner?: { uid: number; gid: number } | undefined;
  readOnlyRoot?: boolean;
  /** Where volumes are mounted in the container. */
  volumes?: readonly { destination: string; readOnly: boolean }[];
  /** Owners of the archive as they are on the disk; undefined: the user namespace has none such. */
  toOwner?: (uid: number, gid: number) => { uid: number; gid: number } | undefined;
}

const WRITE_NEW = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
const MOST_ENTRIES = 10_000_000;

/**
 * Unpacks an archive into a directory of the root that this thread is in. Links on the way are followed, also those that the archive brings: none
 * leads out of that root. Entries that climb out of the directory by `..` are refused, and hard links to what lies beyond it.
 * @throws NotFound, BadRequest as docker; Invalid with the entry's name
 */
export async function extract(path: string, source: AsyncIterable<Uint8Array>, options: ExtractOptions = {}): Promise<void> {
  const directory = resolveDirectory(path);
  checkWritable(directory, options);
  const extraction = new Extraction(fromText(directory), options);
  const plain = decompressed(source, 'the archive');
  for await (const entry of readTar(plain, { sparse: true })) await extraction.add(entry);
  extraction.finish();
}

function resolveDirectory(path: string): string {
  try {
    const directory = realpathSync.native(path);
    if (lstat(directory).isDirectory()) return directory;
  } catch (error) {
    throw toPathError(error, path);
  }
  throw new UmiakError('BadRequest', 'extraction point is not a directory');
}

/** @throws BadRequest in docker's words */
function checkWritable(directory: string, { readOnlyRoot = false, volumes = [] }: ExtractOptions): void {
  const holds = ({ destination }: { destination: string }) => directory === destination || directory.startsWith(`${destination}/`);
  const volume = volumes.filter(holds).sort((a, b) => b.destination.length - a.destination.length)[0];
  if (volume?.readOnly) throw new UmiakError('BadRequest', 'mounted volume is marked read-only');
  if (!volume && readOnlyRoot) throw new UmiakError('BadRequest', 'container rootfs is marked read-only');
}

class Extraction {
  readonly #root: string;
  readonly #options: ExtractOptions;
  /** Set at the end, because entries within change them. */
  readonly #times: { path: string; entry: Pick<TarEntry, 'mtime' | 'mtimeNanos'> }[] = [];
  #entries = 0;

  constructor(root: string, options: ExtractOptions) {
    this.#root = root === '/' ? '' : root;
    this.#options = options;
  }

  async add(entry: TarEntry): Promise<void> {
    try {
      if (++this.#entries > MOST_ENTRIES) throw new Refusal(`the archive has more than ${MOST_ENTRIES} entries`);
      const name = posix.normalize(`./${entry.name}`).replace(/\/$/, '');
      if (name === '..' || name.startsWith('../')) throw new Refusal('it lies outside of the directory that it is to be put into');
      if (!name.startsWith('.') || name.length > 1) this.#makeParents(name);
      await this.#place(entry, name === '.' ? this.#root || '/' : `${this.#root}/${name}`);
    } catch (error) {
      throw explain(error, entry);
    }
  }

  finish(): void {
    for (const { path, entry } of this.#times) setTime(toBytes(path), entry);
  }

  #makeParents(name: string): void {
    const slash = name.lastIndexOf('/');
    if (slash < 0) return;
    const parent = `${this.#root}/${name.slice(0, slash)}`;
    if (lstatAt(parent) === undefined) mkdirSync(toBytes(parent), { recursive: true, mode: 0o755 });
  }

  async #place(entry: TarEntry, path: string): Promise<void> {
    const present = lstatAt(path);
    const isDirectory = entry.type === 'directory';
    if (present && this.#options.noOverwriteDirNonDir) {
      if (present.isDirectory() && !isDirectory) throw new Refusal(`cannot overwrite directory ${quoted(path)} with non-directory`);
      if (!present.isDirectory() && isDirectory) throw new Refusal(`cannot overwrite non-directory ${quoted(path)} with directory`);
    }
    // The place itself stays as it is.
    if (present?.isDirectory() && path === (this.#root || '/')) return;
    const stays = present?.isDirectory() === true && isDirectory;
    if (present && !stays) rmSync(toBytes(path), { recursive: true, force: true });
    if (entry.type === 'link') return this.#link(entry, path);
    const owner = this.#ownerOf(entry);
    if (entry.type === 'file') return await this.#writeFile(entry, path, owner);
    if (isDirectory && !stays) mkdirSync(toBytes(path), 0o755);
    else if (entry.type === 'symlink') symlinkSync(toBytes(entry.linkName), toBytes(path));
    else if (entry.type === 'char' || entry.type === 'block' || entry.type === 'fifo')
      makeNode(toBytes(path), entry.type, 0o600, entry.devMajor, entry.devMinor);
    lchownSync(toBytes(path), owner.uid, owner.gid);
    setXattrs(path, entry);
    if (entry.type !== 'symlink') chmodSync(toBytes(path), entry.mode);
    if (isDirectory) this.#times.push({ path, entry });
    else setTime(toBytes(path), entry);
  }

  #link(entry: TarEntry, path: string): void {
    const target = posix.normalize(`./${entry.linkName}`);
    if (target === '..' || target.startsWith('../'))
      throw new Refusal(`its hard link’s target ${quoted(entry.linkName)} lies outside of the directory`);
    linkSync(toBytes(`${this.#root}/${target}`), toBytes(path));
  }

  async #writeFile(entry: TarEntry, path: string, { uid, gid }: { uid: number; gid: number }): Promise<void> {
    const fd = openSync(toBytes(path), WRITE_NEW, 0o600);
    try {
      await writeContent(fd, entry);
      fchownSync(fd, uid, gid);
      setXattrs(path, entry);
      fchmodSync(fd, entry.mode);
      setFileTime(fd, entry);
    } finally {
      closeSync(fd);
    }
  }

  #ownerOf({ uid, gid }: TarEntry): { uid: number; gid: number } {
    const { owner = { uid, gid }, toOwner } = this.#options;
    const found = toOwner ? toOwner(owner.uid, owner.gid) : owner;
    if (found === undefined) throw new Refusal(`its owner ${owner.uid}:${owner.gid} has no place in the container's user namespace`);
    return found;
  }
}

class Refusal extends Error {}

const EPERM = 1;
const EOPNOTSUPP = 95;

function setXattrs(path: string, { xattrs }: TarEntry): void {
  for (const [name, value] of xattrs) {
    if (name.startsWith('trusted.') || name.startsWith('user.overlay.') || name === 'security.selinux') continue;
    try {
      setXattr(toBytes(path), name, value);
    } catch (error) {
      // As docker: what the file system can't keep is left away.
      if (!(error instanceof SyscallError && (error.errno === EOPNOTSUPP || error.errno === EPERM))) throw error;
    }
  }
}

function lstatAt(path: string) {
  return lstatSync(toBytes(path), { throwIfNoEntry: false });
}

function toBytes(path: string): Buffer {
  return Buffer.from(path, 'latin1');
}

function quoted(name: string): string {
  return JSON.stringify(toText(name.slice(0, 300)));
}

function explain(error: unknown, entry: TarEntry): unknown {
  const what = `the archive's entry ${quoted(entry.name)}`;
  if (error instanceof Refusal) return new UmiakError('Invalid', `${what} is refused: ${error.message}`);
  if (isUmiakError(error) && error.reason !== 'InternalError') return error;
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ENAMETOOLONG') return new UmiakError('Invalid', `${what} is refused: its name is too long`);
  if (code === 'EROFS') return new UmiakError('BadRequest', `${what}: the file system is read-only`);
  if (code === 'ENOSPC' || code === 'EDQUOT') return new UmiakError('InternalError', `no space left for ${what}`, { cause: error });
  if (code === 'ENOTDIR' || code === 'ELOOP' || code === 'ENOENT' || code === 'EEXIST' || code === 'EPERM')
    return new UmiakError('Invalid', `${what} can't be put there: ${messageOf(error)}`);
  return new UmiakError('InternalError', `${what}: ${messageOf(error)}`, { cause: error });
}
