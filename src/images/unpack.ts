import { createHash } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  constants,
  createReadStream,
  fchmodSync,
  fchownSync,
  futimesSync,
  lchownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  openSync,
  readlinkSync,
  rmSync,
  type Stats,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeSync,
} from 'node:fs';
import { UmiakError } from '#base/errors.ts';
import { SyscallError } from '#linux/libc.ts';
import { CHUNK_BYTES, decompressed } from './decompress.ts';
import type { Digest } from './digest.ts';
import { makeNode, setXattr } from './file-attributes.ts';
import { type TarHeader, toText } from './tar-format.ts';
import { readTar, type TarEntry } from './tar-reader.ts';

export interface UnpackResult {
  diffId: Digest;
  /** Bytes of all files' content. */
  sizeBytes: number;
  entries: number;
}

const WHITEOUT = '.wh.';
const OPAQUE = '.wh..wh..opq';
/** What aufs kept for itself; never part of an image's content. */
const AUFS = '.wh..wh.';
const MAX_LINKS = 40;

/**
 * Unpacks one layer below `root`, an empty directory, in the form overlayfs reads: a whiteout is a character device 0:0,
 * an opaque directory has `trusted.overlay.opaque`. Owner, modes, times, extended attributes, devices and hard links are kept.
 * Names are resolved as a process in the container would see them: an absolute name or link starts at `root`; `..` in a name,
 * or a link that climbs above `root`, is refused. Blocks on the disk: for worker threads.
 * @throws Invalid naming the bad entry, or when the content's digest is not `expected`. The caller removes `root` then.
 */
export async function unpackLayer(blobPath: string, root: string, expected?: Digest): Promise<UnpackResult> {
  const hash = createHash('sha256');
  async function* hashed(): AsyncGenerator<Uint8Array> {
    for await (const chunk of decompressed(createReadStream(blobPath, { highWaterMark: CHUNK_BYTES }), 'the layer')) {
      hash.update(chunk);
      yield chunk;
    }
  }
  const tree = new LayerTree(root);
  for await (const entry of readTar(hashed())) await tree.add(entry);
  tree.finish();
  const diffId: Digest = `sha256:${hash.digest('hex')}`;
  if (expected !== undefined && diffId !== expected)
    throw new UmiakError('Invalid', `the layer's content has the digest ${diffId}; the image's configuration announces ${expected}`);
  return { diffId, sizeBytes: tree.sizeBytes, entries: tree.entries };
}

/** A directory that is filled from archive entries and never left. Paths inside are byte strings without a leading slash. */
class LayerTree {
  sizeBytes = 0;
  entries = 0;
  readonly #root: string;
  /** Directories known to be real ones, as resolved paths. */
  readonly #real = new Set<string>();
  /** Parents as archives name them → resolved paths. Forgotten when a directory or link is replaced. */
  readonly #resolved = new Map<string, string>();
  /** Attributes of directories, set at the end because entries within change them. */
  readonly #directories = new Map<string, TarHeader>();
  /** Paths that this layer whited out, for a directory that comes back after its whiteout. */
  readonly #whiteouts = new Set<string>();

  constructor(root: string) {
    this.#root = Buffer.from(root, 'utf8').toString('latin1');
  }

  async add(entry: TarEntry): Promise<void> {
    this.entries += 1;
    try {
      const components = componentsOf(entry.name);
      if (components.includes('..')) throw refusal('its name has .. in it');
      const base = components.pop();
      if (base === undefined) return this.#addRoot(entry);
      const parent = this.#resolve(components, 'create');
      if (base === OPAQUE) setXattr(this.#path(parent), 'trusted.overlay.opaque', Buffer.from('y'));
      else if (base.startsWith(AUFS)) return;
      else if (base.startsWith(WHITEOUT)) this.#addWhiteout(join(parent, base.slice(WHITEOUT.length)));
      else await this.#place(entry, join(parent, base));
    } catch (error) {
      throw explain(error, entry);
    }
  }

  finish(): void {
    for (const [path, header] of [...this.#directories].reverse()) utimesSync(this.#path(path), header.mtime, header.mtime);
  }

  #addRoot(entry: TarEntry): void {
    if (entry.type !== 'directory') throw refusal('it would replace the root directory');
    this.#addDirectory(entry, '');
  }

  async #place(entry: TarEntry, path: string): Promise<void> {
    if (entry.type === 'directory') return this.#addDirectory(entry, path);
    if (entry.type === 'link') return this.#addHardLink(entry, path);
    if (entry.type === 'file') return await this.#addFile(entry, path);
    if (entry.type === 'symlink' && entry.linkName === '') throw refusal('its symlink has no target');
    this.#clear(path);
    const target = this.#path(path);
    if (entry.type === 'symlink') symlinkSync(Buffer.from(entry.linkName, 'latin1'), target);
    else makeNode(target, entry.type, 0o600, entry.devMajor, entry.devMinor);
    lchownSync(target, entry.uid, entry.gid);
    if (entry.type !== 'symlink') chmodSync(target, entry.mode);
    setXattrs(target, entry);
    lutimesSync(target, entry.mtime, entry.mtime);
  }

  #addDirectory(entry: TarEntry, path: string): void {
    const target = this.#path(path);
    if (path !== '' && !this.#real.has(path)) {
      const present = lstat(target);
      const wasWhiteout = this.#whiteouts.has(path);
      if (present !== undefined && !present.isDirectory()) this.#clear(path);
      if (!present?.isDirectory()) mkdirSync(target, 0o755);
      if (wasWhiteout) setXattr(target, 'trusted.overlay.opaque', Buffer.from('y'));
      this.#real.add(path);
    }
    lchownSync(target, entry.uid, entry.gid);
    chmodSync(target, entry.mode);
    setXattrs(target, entry);
    this.#directories.delete(path);
    this.#directories.set(path, { ...entry, xattrs: NO_XATTRS });
  }

  async #addFile(entry: TarEntry, path: string): Promise<void> {
    const target = this.#path(path);
    const fd = this.#create(path, target);
    try {
      for await (const chunk of entry.body()) writeFully(fd, chunk);
      fchownSync(fd, entry.uid, entry.gid);
      fchmodSync(fd, entry.mode);
      if (entry.xattrs.size > 0) setXattrs(target, entry);
      futimesSync(fd, entry.mtime, entry.mtime);
    } finally {
      closeSync(fd);
    }
    this.sizeBytes += entry.sizeBytes;
  }

  #create(path: string, target: Buffer): number {
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    try {
      return openSync(target, flags, 0o600);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      this.#clear(path);
      return openSync(target, flags, 0o600);
    }
  }

  #addHardLink(entry: TarEntry, path: string): void {
    const components = componentsOf(entry.linkName);
    if (components.includes('..')) throw refusal('its hard link’s target has .. in it');
    const base = components.pop();
    if (base === undefined) throw refusal('its hard link’s target is the root directory');
    const parent = this.#resolve(components, 'find');
    const from = parent === undefined ? undefined : join(parent, base);
    const present = from === undefined ? undefined : lstat(this.#path(from));
    if (from === undefined || present === undefined)
      throw refusal(`its hard link’s target ${JSON.stringify(toText(entry.linkName))} is not in the same layer before it`);
    if (present.isDirectory()) throw refusal('its hard link’s target is a directory');
    if (from === path) return;
    if (from.startsWith(`${path}/`)) throw refusal('its hard link’s target is in the directory it would replace');
    this.#clear(path);
    linkSync(this.#path(from), this.#path(path));
  }

  /** Applies to lower layers only: what this very layer put there stays, a directory as an opaque one. */
  #addWhiteout(path: string): void {
    const target = this.#path(path);
    if (path === '' || path.endsWith('/') || path.endsWith('/.') || path.endsWith('/..') || path === '.' || path === '..')
      throw refusal('its whiteout names no file');
    const present = lstat(target);
    if (present?.isDirectory()) setXattr(target, 'trusted.overlay.opaque', Buffer.from('y'));
    if (present !== undefined) return;
    makeNode(target, 'char', 0);
    this.#whiteouts.add(path);
  }

  #clear(path: string): void {
    const target = this.#path(path);
    const present = lstat(target);
    if (present === undefined) return;
    if (present.isDirectory()) {
      rmSync(target, { recursive: true, force: true });
      for (const known of this.#real) if (known === path || known.startsWith(`${path}/`)) this.#real.delete(known);
      for (const known of this.#directories.keys()) if (known === path || known.startsWith(`${path}/`)) this.#directories.delete(known);
    } else unlinkSync(target);
    this.#whiteouts.delete(path);
    if (present.isDirectory() || present.isSymbolicLink()) this.#resolved.clear();
  }

  #resolve(components: readonly string[], missing: 'create'): string;
  #resolve(components: readonly string[], missing: 'find'): string | undefined;
  #resolve(components: readonly string[], missing: 'create' | 'find'): string | undefined {
    const key = components.join('/');
    const known = this.#resolved.get(key);
    if (known !== undefined) return known;
    let at = '';
    let links = 0;
    const ahead = [...components].reverse();
    for (let next = ahead.pop(); next !== undefined; next = ahead.pop()) {
      if (next === '..') {
        if (at === '') throw refusal('a symlink in its path leads out of the root');
        at = at.slice(0, Math.max(0, at.lastIndexOf('/')));
        continue;
      }
      const path = join(at, next);
      if (this.#real.has(path)) {
        at = path;
        continue;
      }
      const present = lstat(this.#path(path));
      if (present?.isSymbolicLink()) {
        if (++links > MAX_LINKS) throw refusal('too many symlinks in its path');
        const target = readlinkSync(this.#path(path), 'latin1');
        if (target.startsWith('/')) at = '';
        ahead.push(...componentsOf(target).reverse());
        continue;
      }
      if (present === undefined && missing === 'find') return undefined;
      if (present === undefined || this.#whiteouts.has(path)) this.#makeParent(path);
      else if (!present.isDirectory()) throw refusal(`${JSON.stringify(toText(path))} in its path is not a directory`);
      this.#real.add(path);
      at = path;
    }
    this.#resolved.set(key, at);
    return at;
  }

  #makeParent(path: string): void {
    const target = this.#path(path);
    const wasWhiteout = this.#whiteouts.delete(path);
    if (wasWhiteout) unlinkSync(target);
    mkdirSync(target, 0o755);
    chmodSync(target, 0o755);
    if (wasWhiteout) setXattr(target, 'trusted.overlay.opaque', Buffer.from('y'));
  }

  #path(path: string): Buffer {
    return Buffer.from(path === '' ? this.#root : `${this.#root}/${path}`, 'latin1');
  }
}

const NO_XATTRS: ReadonlyMap<string, Buffer> = new Map();

function componentsOf(name: string): string[] {
  return name.split('/').filter(component => component !== '' && component !== '.');
}

function join(parent: string, base: string): string {
  return parent === '' ? base : `${parent}/${base}`;
}

function lstat(path: Buffer): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false });
}

function writeFully(fd: number, chunk: Buffer): void {
  for (let offset = 0; offset < chunk.length; ) offset += writeSync(fd, chunk, offset);
}

/** Overlay's own attributes never come from an image: they could redirect into other layers. */
function setXattrs(target: Buffer, { xattrs, type }: TarEntry): void {
  for (const [name, value] of xattrs) {
    if (name.startsWith('trusted.overlay.') || name.startsWith('user.overlay.') || name === 'security.selinux') continue;
    try {
      setXattr(target, name, value);
    } catch (error) {
      const isTolerable = error instanceof SyscallError && (error.errno === EOPNOTSUPP || (error.errno === EPERM && type === 'symlink'));
      if (!isTolerable) throw error;
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
