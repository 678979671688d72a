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
  readlinkSync,
  rmSync,
  type Stats,
  statSync,
  symlinkSync,
  unlinkSync,
} from 'node:fs';
import { UmiakError } from '#base/errors.ts';
import { makeNode, setFileTime, setTime, setXattr } from '#linux/file-attributes.ts';
import { SyscallError } from '#linux/libc.ts';
import { writeContent } from './tar-content.ts';
import { toText } from './tar-format.ts';
import type { TarEntry } from './tar-reader.ts';
import { DiskGuard, type UnpackLimits } from './unpack-limits.ts';

const WHITEOUT = '.wh.';
const OPAQUE = '.wh..wh..opq';
/** What aufs kept for itself; never part of an image's content. */
const AUFS = '.wh..wh.';
/** With which files are made; to set what is right already costs a write to the disk's journal. Of modes this is not known: the umask may change. */
const [OWN_UID, OWN_GID] = [process.geteuid?.(), process.getegid?.()];
const MAX_LINKS = 40;
const MOST_RESOLVED = 65_536;
const BLOCK_BYTES = 4096;

/** A directory that this layer made: a real one, no link. */
class Directory {
  /** A byte string without a leading slash. */
  readonly path: string;
  readonly parent: Directory | undefined;
  readonly children = new Map<string, Directory>();
  /** Names in it that this layer whited out, for a directory that comes back after its whiteout. */
  readonly whiteouts = new Set<string>();
  /** Whether what is made in it has our own group. */
  isOurs: boolean;
  /** Set at the end, because entries within change it. */
  time: Time | undefined;

  constructor(parent?: Directory, base = '') {
    this.isOurs = parent?.isOurs ?? true;
    this.parent = parent;
    this.path = parent === undefined ? '' : join(parent.path, base);
    parent?.children.set(base, this);
  }
}

type Time = Pick<TarEntry, 'mtime' | 'mtimeNanos'>;

/** A directory that is filled from archive entries and never left. Paths inside are byte strings without a leading slash. */
export class LayerTree {
  sizeBytes = 0;
  entries = 0;
  /** Of the disk, about: what replaces another counts for both. */
  diskBytes = 0;
  inodes = 1;
  readonly #root: string;
  readonly #guard: DiskGuard;
  readonly #top = new Directory();
  /** Parents as archives name them. Forgotten when a directory or link is replaced. */
  readonly #resolved = new Map<string, Directory>();

  constructor(root: string, limits?: UnpackLimits) {
    this.#root = Buffer.from(root, 'utf8').toString('latin1');
    this.#guard = new DiskGuard(root, limits);
    const { gid, mode } = statSync(root);
    this.#top.isOurs = gid === OWN_GID && (mode & 0o2000) === 0;
  }

  /** @throws Invalid with the entry's name */
  async add(entry: TarEntry): Promise<void> {
    this.entries += 1;
    try {
      const tooMuch = this.#guard.refusalOf(entry.sizeBytes);
      if (tooMuch !== undefined) throw refusal(tooMuch);
      const components = componentsOf(entry.name);
      if (components.includes('..')) throw refusal('its name has .. in it');
      const base = components.pop();
      if (base === undefined) return this.#addRoot(entry);
      const parent = this.#resolve(components, 'create');
      if (base === OPAQUE) setXattr(this.#path(parent.path), 'trusted.overlay.opaque', Buffer.from('y'));
      else if (base.startsWith(AUFS)) return;
      else if (base.startsWith(WHITEOUT)) this.#addWhiteout(parent, base.slice(WHITEOUT.length));
      else await this.#place(entry, parent, base);
    } catch (error) {
      throw explain(error, entry);
    }
  }

  finish(): void {
    const left = [this.#top];
    for (let directory = left.pop(); directory !== undefined; directory = left.pop()) {
      if (directory.time) setTime(this.#path(directory.path), directory.time);
      for (const child of directory.children.values()) left.push(child);
    }
  }

  #addRoot(entry: TarEntry): void {
    if (entry.type !== 'directory') throw refusal('it would replace the root directory');
    this.#describe(this.#top, entry);
  }

  async #place(entry: TarEntry, parent: Directory, base: string): Promise<void> {
    if (entry.type === 'directory') return this.#describe(this.#makeDirectory(parent, base), entry);
    if (entry.type === 'link') return this.#addHardLink(entry, parent, base);
    if (entry.type === 'file') return await this.#addFile(entry, parent, base);
    if (entry.type === 'symlink' && entry.linkName === '') throw refusal('its symlink has no target');
    this.#clear(parent, base);
    const target = this.#path(join(parent.path, base));
    if (entry.type === 'symlink') symlinkSync(Buffer.from(entry.linkName, 'latin1'), target);
    else makeNode(target, entry.type, 0o600, entry.devMajor, entry.devMinor);
    lchownSync(target, entry.uid, entry.gid);
    if (entry.type !== 'symlink') chmodSync(target, entry.mode);
    setXattrs(target, entry);
    setTime(target, entry);
    this.inodes += 1;
  }

  #makeDirectory(parent: Directory, base: string): Directory {
    const known = parent.children.get(base);
    if (known !== undefined) return known;
    const target = this.#path(join(parent.path, base));
    const wasWhiteout = parent.whiteouts.has(base);
    this.#clear(parent, base);
    mkdirSync(target, 0o755);
    if (wasWhiteout) setXattr(target, 'trusted.overlay.opaque', Buffer.from('y'));
    this.inodes += 1;
    this.diskBytes += BLOCK_BYTES;
    return new Directory(parent, base);
  }

  #describe(directory: Directory, entry: TarEntry): void {
    const target = this.#path(directory.path);
    lchownSync(target, entry.uid, entry.gid);
    chmodSync(target, entry.mode);
    setXattrs(target, entry);
    directory.isOurs &&= entry.gid === OWN_GID && (entry.mode & 0o2000) === 0;
    directory.time = { mtime: entry.mtime, ...(entry.mtimeNanos !== undefined ? { mtimeNanos: entry.mtimeNanos } : {}) };
  }

  async #addFile(entry: TarEntry, parent: Directory, base: string): Promise<void> {
    const target = this.#path(join(parent.path, base));
    const fd = this.#create(parent, base, target);
    try {
      await writeContent(fd, entry);
      if (entry.uid !== OWN_UID || entry.gid !== OWN_GID || !parent.isOurs) fchownSync(fd, entry.uid, entry.gid);
      fchmodSync(fd, entry.mode);
      if (entry.xattrs.size > 0) setXattrs(target, entry);
      setFileTime(fd, entry);
    } finally {
      closeSync(fd);
    }
    this.sizeBytes += entry.sizeBytes;
    this.diskBytes += Math.ceil(entry.sizeBytes / BLOCK_BYTES) * BLOCK_BYTES;
    this.inodes += 1;
  }

  #create(parent: Directory, base: string, target: Buffer): number {
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    try {
      return openSync(target, flags, 0o600);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      this.#clear(parent, base);
      return openSync(target, flags, 0o600);
    }
  }

  #addHardLink(entry: TarEntry, parent: Directory, base: string): void {
    const components = componentsOf(entry.linkName);
    if (components.includes('..')) throw refusal('its hard link’s target has .. in it');
    const last = components.pop();
    if (last === undefined) throw refusal('its hard link’s target is the root directory');
    const path = join(parent.path, base);
    const linkParent = this.#resolve(components, 'find');
    const from = linkParent && join(linkParent.path, last);
    const present = from === undefined ? undefined : lstat(this.#path(from));
    if (from === undefined || present === undefined)
      throw refusal(`its hard link’s target ${JSON.stringify(toText(entry.linkName))} is not in the same layer before it`);
    if (present.isDirectory()) throw refusal('its hard link’s target is a directory');
    if (from === path) return;
    if (from.startsWith(`${path}/`)) throw refusal('its hard link’s target is in the directory it would replace');
    this.#clear(parent, base);
    linkSync(this.#path(from), this.#path(path));
  }

  /** Applies to lower layers only: what this very layer put there stays, a directory as an opaque one. */
  #addWhiteout(parent: Directory, base: string): void {
    if (base === '' || base === '.' || base === '..') throw refusal('its whiteout names no file');
    const target = this.#path(join(parent.path, base));
    const present = lstat(target);
    if (present?.isDirectory()) setXattr(target, 'trusted.overlay.opaque', Buffer.from('y'));
    if (present !== undefined) return;
    makeNode(target, 'char', 0);
    parent.whiteouts.add(base);
    this.inodes += 1;
  }

  #clear(parent: Directory, base: string): void {
    const target = this.#path(join(parent.path, base));
    const present = lstat(target);
    if (present === undefined) return;
    if (present.isDirectory()) rmSync(target, { recursive: true, force: true });
    else unlinkSync(target);
    parent.children.delete(base);
    parent.whiteouts.delete(base);
    if (present.isDirectory() || present.isSymbolicLink()) this.#resolved.clear();
  }

  #resolve(components: readonly string[], missing: 'create'): Directory;
  #resolve(components: readonly string[], missing: 'find'): Directory | undefined;
  #resolve(components: readonly string[], missing: 'create' | 'find'): Directory | undefined {
    const key = components.join('/');
    const known = this.#resolved.get(key);
    if (known !== undefined) return known;
    let at = this.#top;
    let links = 0;
    const ahead = [...components].reverse();
    for (let next = ahead.pop(); next !== undefined; next = ahead.pop()) {
      if (next === '..') {
        if (at.parent === undefined) throw refusal('a symlink in its path leads out of the root');
        at = at.parent;
        continue;
      }
      const child = at.children.get(next);
      if (child !== undefined) {
        at = child;
        continue;
      }
      const path = join(at.path, next);
      const present = lstat(this.#path(path));
      if (present?.isSymbolicLink()) {
        if (++links > MAX_LINKS) throw refusal('too many symlinks in its path');
        const target = readlinkSync(this.#path(path), 'latin1');
        if (target.startsWith('/')) at = this.#top;
        ahead.push(...componentsOf(target).reverse());
        continue;
      }
      if (present === undefined && missing === 'find') return undefined;
      // Every directory of the layer is known: it is none.
      if (present !== undefined && !at.whiteouts.has(next)) throw refusal(`${JSON.stringify(toText(path))} in its path is not a directory`);
      at = this.#makeDirectory(at, next);
      chmodSync(this.#path(path), 0o755);
    }
    if (this.#resolved.size >= MOST_RESOLVED) this.#resolved.clear();
    this.#resolved.set(key, at);
    return at;
  }

  #path(path: string): Buffer {
    return Buffer.from(path === '' ? this.#root : `${this.#root}/${path}`, 'latin1');
  }
}

function componentsOf(name: string): string[] {
  return name.split('/').filter(component => component !== '' && component !== '.');
}

function join(parent: string, base: string): string {
  return parent === '' ? base : `${parent}/${base}`;
}

function lstat(path: Buffer): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false });
}

/** Overlay's own attributes never come from an image: they could redirect into other layers. */
function setXattrs(target: Buffer, { xattrs, type }: TarEntry): void {
  for (const [name, value] of xattrs) {
    if (name.startsWith('trusted.overlay.') || name.startsWith('user.overlay.') || name === 'security.selinux') continue;
    try {
      setXattr(target, name, value);
    } catch (error) {
      if (!(error instanceof SyscallError)) throw error;
      if (error.errno === EOPNOTSUPP || (error.errno === EPERM && type !== 'file' && type !== 'directory')) continue;
      throw refusal(`its attribute ${JSON.stringify(name.slice(0, 100))} of ${value.length} bytes can't be set: ${error.message}`);
    }
  }
}

const EPERM = 1;
const EOPNOTSUPP = 95;

class Refusal extends Error {}

function refusal(why: string): Refusal {
  return new Refusal(why);
}

function explain(error: unknown, entry: TarEntry): unknown {
  const name = JSON.stringify(toText(entry.name));
  if (error instanceof Refusal)
    return new UmiakError('Invalid', `the layer's entry ${name} is refused: ${error.message}`, {
      details: { kind: 'layer', name: toText(entry.name) },
    });
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (code === 'ENAMETOOLONG') return new UmiakError('Invalid', `the layer's entry ${name.slice(0, 300)} is refused: its name is too long`);
  if (code === 'ENOSPC')
    return new UmiakError('InternalError', `no space left while unpacking ${name}`, {
      hint: 'Free space below the data directory.',
      cause: error,
    });
  if (syscall !== undefined || error instanceof SyscallError)
    return new UmiakError('InternalError', `unpacking ${name}: ${(error as Error).message}`, { cause: error });
  return error;
}
