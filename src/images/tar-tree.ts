import { type BigIntStats, lstatSync, readdirSync, readlinkSync, readSync } from 'node:fs';
import { isUmiakError, messageOf, UmiakError } from '#base/errors.ts';
import { type OpenedFile, openRegular } from '#linux/confinement.ts';
import { fromDevice, getXattr, listXattrs, seekTo } from '#linux/file-attributes.ts';
import { paddingOf, type TarHeader, toText } from './tar-format.ts';
import type { TarSink } from './tar-sink.ts';
import { type SparseMap, type SparsePiece, sparseMapBlocks } from './tar-sparse.ts';
import { tarEnd, tarHeader, tarHeaderOf } from './tar-writer.ts';

export interface TarTreeOptions {
  sink: TarSink;
  /** `overlay`: whiteouts and opaque directories as image layers have them. `plain` (default): what is there as it is. */
  form?: 'plain' | 'overlay';
  /** Times to the nanosecond, by an extended header for each entry; else in whole seconds, as docker has them. */
  exactTimes?: boolean;
  /** Files with large holes without them; else holes are zeros, which every reader understands. */
  sparse?: boolean;
  /** Which extended attributes go along. */
  keepsXattr?: (name: string) => boolean;
  /** Sees overlay's own attributes, which never go along. */
  onOverlayXattr?: (path: Buffer, name: string) => void;
  /** Owners as the archive is to have them. */
  toOwner?: (uid: number, gid: number) => { uid: number; gid: number };
  /** Whether what another file system has below a directory goes along; asked where one begins. Else the directory is empty. */
  entersMount?: (path: Buffer) => boolean;
  /** What is not to be in the archive. */
  skips?: (path: string, stat: BigIntStats) => boolean;
  /** Called often; throws when nobody wants the archive any more. */
  check?: () => void;
}

const BLOCK = 512n;
/** Below it a map of holes costs more than it saves. */
const LEAST_HOLES = 1n << 20n;
const MOST_PIECES = 1 << 16;
const WHITEOUT = '.wh.';
const OVERLAY = 'trusted.overlay.';

/**
 * Writes directories and files as a tar archive: sorted by bytes, parents first, hard links within what is written, devices, fifos,
 * attributes. The same tree gives the same bytes. Sockets are left out. Paths are byte strings; nothing is followed but the way to the first
 * path, so whoever is not alone with the tree works in a root of its own (`insideRoot`). Synchronous: for worker threads.
 */
export class TarTree {
  entries = 0;
  /** What the disk gives for it. */
  diskBytes = 0;
  inodes = 0;
  readonly #options: TarTreeOptions;
  readonly #sink: TarSink;
  readonly #links = new Map<string, string>();
  readonly #form: 'plain' | 'overlay';

  constructor(options: TarTreeOptions) {
    this.#options = options;
    this.#sink = options.sink;
    this.#form = options.form ?? 'plain';
  }

  /** What is at `path` and all below it, as `name`; of a directory named '' only what is in it, unless it has a mode or owner of its own. */
  add(path: string, name: string): void {
    this.#add(path, name, lstatSync(toBytes(path), { bigint: true }));
  }

  /** Takes away what lower layers have. */
  addWhiteout(name: string): void {
    const slash = name.lastIndexOf('/') + 1;
    this.#put({ ...tarHeaderOf({ name: `${name.slice(0, slash)}${WHITEOUT}${name.slice(slash)}`, type: 'file' }), mode: 0 });
  }

  /** The archive ends. */
  end(): void {
    this.#sink.write(tarEnd);
    this.#sink.end();
  }

  /** `device`: of the directory that it is in. */
  #add(path: string, name: string, stat: BigIntStats, device?: bigint): void {
    this.#options.check?.();
    try {
      this.#addOne(path, name, stat, device);
    } catch (error) {
      throw explain(error, path);
    }
  }

  #addOne(path: string, name: string, stat: BigIntStats, device: bigint | undefined): void {
    if (stat.isSocket() || this.#options.skips?.(path, stat)) return;
    this.#count(stat);
    if (stat.isDirectory()) this.#addDirectory(path, name, stat, device);
    else if (this.#form === 'overlay' && isWhiteout(stat)) this.addWhiteout(name);
    else this.#addOther(path, name, stat);
  }

  #addOther(path: string, name: string, stat: BigIntStats): void {
    if (this.#form === 'overlay' && baseOf(name).startsWith(WHITEOUT)) throw new Refusal(`an image has no files called ${WHITEOUT}…`);
    const inode = stat.nlink > 1n ? `${stat.dev}:${stat.ino}` : undefined;
    const first = inode === undefined ? undefined : this.#links.get(inode);
    const header = this.#headerOf(path, name, stat);
    if (header === undefined) return;
    if (first !== undefined) this.#put({ ...header, type: 'link', linkName: first, sizeBytes: 0, xattrs: NO_XATTRS });
    else if (!stat.isFile()) this.#put(header);
    else if (!this.#addFile(path, header, stat)) return;
    if (inode !== undefined && first === undefined) this.#links.set(inode, name);
  }

  #addDirectory(path: string, name: string, stat: BigIntStats, device: bigint | undefined): void {
    const isEntered = device === undefined || device === stat.dev || (this.#options.entersMount?.(toBytes(path)) ?? true);
    const names = isEntered ? readdirSync(toBytes(path), { encoding: 'latin1' }).sort() : [];
    const header = this.#headerOf(path, name === '' ? '.' : name, stat)!;
    const isPlainRoot =
      name === '' && (this.#form === 'plain' || ((header.mode & 0o7777) === 0o755 && header.uid === 0 && header.gid === 0));
    if (!isPlainRoot) this.#put({ ...header, name: header.name.endsWith('/') ? header.name : `${header.name}/` });
    if (this.#form === 'overlay' && getXattr(toBytes(path), `${OVERLAY}opaque`)?.toString() === 'y')
      this.#put({ ...tarHeaderOf({ name: below(name, OPAQUE), type: 'file' }), mode: 0 });
    for (const each of names) {
      const child = below(path, each);
      const its = lstatSync(toBytes(child), { bigint: true, throwIfNoEntry: false });
      if (its !== undefined) this.#add(child, below(name, each), its, stat.dev);
    }
  }

  /** False when it went away meanwhile. */
  #addFile(path: string, header: Header, stat: BigIntStats): boolean {
    using file = openSeen(path, stat);
    if (file === undefined) return false;
    const { fd } = file;
    const holes = this.#options.sparse && stat.size - stat.blocks * BLOCK >= LEAST_HOLES ? mapOf(fd, Number(stat.size)) : undefined;
    if (holes) this.#putSparse(fd, header, holes);
    else {
      this.#put(header);
      this.#copy(fd, 0, header.sizeBytes);
      this.#sink.zeros(paddingOf(header.sizeBytes));
    }
    return true;
  }

  #putSparse(fd: number, header: Header, holes: SparseMap): void {
    const map = sparseMapBlocks(holes);
    const storedBytes = map.length + holes.pieces.reduce((sum, { length }) => sum + length, 0);
    this.entries += 1;
    this.#sink.write(tarHeader({ ...header, sizeBytes: storedBytes }, holes));
    this.#sink.write(map);
    for (const { offset, length } of holes.pieces) this.#copy(fd, offset, length);
    this.#sink.zeros(paddingOf(storedBytes));
  }

  /** What a file that shrank meanwhile has no more is zeros; what it grew by is not there yet. */
  #copy(fd: number, offset: number, length: number): void {
    for (let [at, left] = [offset, length]; left > 0; ) {
      this.#options.check?.();
      const read = readSync(fd, this.#sink.room(left), 0, Math.min(left, this.#sink.room(left).length), at);
      if (read === 0) {
        this.#sink.zeros(left);
        return;
      }
      this.#sink.took(read);
      at += read;
      left -= read;
    }
  }

  #put(header: Header): void {
    this.entries += 1;
    this.#sink.write(tarHeader(header));
  }

  /** Undefined for what went away meanwhile. */
  #headerOf(path: string, name: string, stat: BigIntStats): Header | undefined {
    const linkName = stat.isSymbolicLink() ? targetOf(path) : '';
    if (linkName === undefined) return undefined;
    const [uid, gid] = [Number(stat.uid), Number(stat.gid)];
    const [devMajor, devMinor] = stat.isCharacterDevice() || stat.isBlockDevice() ? fromDevice(stat.rdev) : [0, 0];
    const nanos = ((stat.mtimeNs % SECOND) + SECOND) % SECOND;
    return {
      name,
      type: typeOf(stat),
      mode: Number(stat.mode & 0o7777n),
      ...(this.#options.toOwner?.(uid, gid) ?? { uid, gid }),
      sizeBytes: stat.isFile() ? Number(stat.size) : 0,
      mtime: Number((stat.mtimeNs - nanos) / SECOND),
      ...(this.#options.exactTimes ? { mtimeNanos: Number(nanos) } : {}),
      linkName,
      devMajor,
      devMinor,
      xattrs: this.#xattrsOf(toBytes(path)),
    };
  }

  #xattrsOf(path: Buffer): ReadonlyMap<string, Buffer> {
    const { keepsXattr = isPortable, onOverlayXattr } = this.#options;
    const names = listXattrs(path);
    if (names.length === 0) return NO_XATTRS;
    if (onOverlayXattr) for (const name of names) if (name.startsWith(OVERLAY)) onOverlayXattr(path, name);
    return new Map(
      names.filter(keepsXattr).flatMap(name => {
        const value = getXattr(path, name);
        return value === undefined ? [] : [[name, value] as const];
      }),
    );
  }

  #count({ nlink, dev, ino, blocks }: BigIntStats): void {
    if (nlink > 1n && this.#links.has(`${dev}:${ino}`)) return;
    this.inodes += 1;
    this.diskBytes += Number(blocks * BLOCK);
  }
}

type Header = TarHeader & { mtimeNanos?: number };

/** What is said of single entries; it gets the path before it. */
class Refusal extends Error {}

const NO_XATTRS: ReadonlyMap<string, Buffer> = new Map();
const SECOND = 1_000_000_000n;
const OPAQUE = '.wh..wh..opq';

/** Overlay's own belong to one mount, SELinux's to one machine. */
function isPortable(name: string): boolean {
  return !name.startsWith(OVERLAY) && !name.startsWith('user.overlay.') && name !== 'security.selinux';
}

function isWhiteout(stat: BigIntStats): boolean {
  return stat.isCharacterDevice() && stat.rdev === 0n;
}

function typeOf(stat: BigIntStats): TarHeader['type'] {
  if (stat.isFile()) return 'file';
  if (stat.isDirectory()) return 'directory';
  if (stat.isSymbolicLink()) return 'symlink';
  if (stat.isCharacterDevice()) return 'char';
  return stat.isBlockDevice() ? 'block' : 'fifo';
}

/** Opens what `stat` saw, and nothing else in its place. */
function openSeen(path: string, { dev, ino }: BigIntStats): OpenedFile | undefined {
  const file = unlessGone(() => openRegular(toBytes(path)));
  if (file === undefined || (file.stat.dev === dev && file.stat.ino === ino)) return file;
  file[Symbol.dispose]();
  return undefined;
}

function targetOf(path: string): string | undefined {
  return unlessGone(() => readlinkSync(toBytes(path), 'latin1'));
}

const GONE = new Set<string | undefined>(['ENOENT', 'ENOTDIR', 'ELOOP', 'EINVAL', 'ENXIO']);

/** Undefined for what was removed or replaced since it was seen. */
function unlessGone<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (error) {
    if (GONE.has((error as NodeJS.ErrnoException).code)) return undefined;
    throw error;
  }
}

/** Where the data is; undefined for a file in more pieces than are worth it. */
function mapOf(fd: number, sizeBytes: number): SparseMap | undefined {
  const pieces: SparsePiece[] = [];
  for (let at = seekTo(fd, 'data', 0); at !== undefined && at < sizeBytes; ) {
    const end = Math.min(sizeBytes, seekTo(fd, 'hole', at) ?? sizeBytes);
    pieces.push({ offset: at, length: end - at });
    if (pieces.length > MOST_PIECES) return undefined;
    at = seekTo(fd, 'data', end);
  }
  return { sizeBytes, pieces };
}

function below(directory: string, name: string): string {
  return directory === '' ? name : directory.endsWith('/') ? directory + name : `${directory}/${name}`;
}

function baseOf(name: string): string {
  return name.slice(name.lastIndexOf('/') + 1);
}

function toBytes(path: string): Buffer {
  return Buffer.from(path, 'latin1');
}

/** Has its path already: that of a file, not of the directories above it. */
class ArchiveError extends UmiakError {}

function explain(error: unknown, path: string): unknown {
  if (error instanceof ArchiveError || (isUmiakError(error) && error.reason !== 'InternalError')) return error;
  const reason = error instanceof Refusal ? 'Invalid' : 'InternalError';
  return new ArchiveError(reason, `${JSON.stringify(toText(path.slice(0, 300)))} can't be archived: ${messageOf(error)}`, { cause: error });
}
