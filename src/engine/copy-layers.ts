import {
  type BigIntStats,
  chmodSync,
  closeSync,
  constants,
  copyFileSync,
  ftruncateSync,
  lchownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  rmSync,
  symlinkSync,
  writeSync,
} from 'node:fs';
import { UmiakError } from '#base/errors.ts';
import { fromDevice, getXattr, listXattrs, makeNode, removeXattr, seekTo, setTime, setXattr } from '#linux/file-attributes.ts';

const OVERLAY = 'trusted.overlay.';
const BLOCK_BYTES = 512n;
const CHUNK_BYTES = 1 << 20;

/**
 * Copies layers in overlay's form, top first, over each other to `target`, an empty directory: what a mount of them would show, with owners, modes,
 * times, attributes, devices, holes and (within a layer) hard links. Files share their blocks with the layer's where the file system can do that.
 * Blocks on the disk: for worker threads.
 */
export function copyLayers(layers: readonly string[], target: string): void {
  const times: [path: string, stat: BigIntStats][] = [];
  for (const layer of [...layers].reverse()) new LayerCopy(toBytes(layer), times).copyDirectory('', toBytes(target));
  // A directory's time changes with what is made in it; that of the topmost layer counts.
  for (const [path, stat] of times) if (lstat(path)?.isDirectory()) setTimeOf(path, stat);
}

class LayerCopy {
  readonly #root: string;
  readonly #times: [string, BigIntStats][];
  /** Inodes with several names → where the first was copied to. */
  readonly #links = new Map<bigint, string>();

  constructor(root: string, times: [string, BigIntStats][]) {
    this.#root = root;
    this.#times = times;
  }

  copyDirectory(path: string, target: string): void {
    const source = `${this.#root}${path}`;
    const stat = lstatSync(Buffer.from(source, 'latin1'), { bigint: true });
    const present = lstat(target);
    const isOpaque = getXattr(Buffer.from(source, 'latin1'), `${OVERLAY}opaque`)?.toString() === 'y';
    if (present && (!present.isDirectory() || (isOpaque && path !== ''))) remove(target);
    if (!lstat(target)) mkdirSync(Buffer.from(target, 'latin1'), 0o700);
    for (const name of readdirSync(Buffer.from(source, 'latin1'), { encoding: 'latin1' }))
      this.#copy(`${path}/${name}`, `${target}/${name}`);
    copyAttributes(source, target, stat);
    this.#times.push([target, stat]);
  }

  #copy(path: string, target: string): void {
    const source = `${this.#root}${path}`;
    const stat = lstatSync(Buffer.from(source, 'latin1'), { bigint: true });
    if (stat.isDirectory()) {
      this.copyDirectory(path, target);
      return;
    }
    remove(target);
    if (stat.isCharacterDevice() && stat.rdev === 0n) return;
    const first = stat.nlink > 1n ? this.#links.get(stat.ino) : undefined;
    // The first copy can be gone when a later name of this layer replaced it; then this one is the first.
    if (first !== undefined && lstat(first)) {
      linkSync(Buffer.from(first, 'latin1'), Buffer.from(target, 'latin1'));
      return;
    }
    const [from, to] = [Buffer.from(source, 'latin1'), Buffer.from(target, 'latin1')];
    if (stat.isFile()) copyContent(from, to, stat);
    else if (stat.isSymbolicLink()) symlinkSync(readlinkSync(from, 'buffer'), to);
    else if (stat.isSocket()) return;
    else makeNode(to, stat.isFIFO() ? 'fifo' : stat.isBlockDevice() ? 'block' : 'char', 0o600, ...fromDevice(stat.rdev));
    copyAttributes(source, target, stat);
    setTimeOf(target, stat);
    if (stat.nlink > 1n) this.#links.set(stat.ino, target);
  }
}

function copyContent(from: Buffer, to: Buffer, { size, blocks }: BigIntStats): void {
  const hasHoles = blocks * BLOCK_BYTES < size;
  const mode = hasHoles ? constants.COPYFILE_FICLONE_FORCE : constants.COPYFILE_FICLONE;
  try {
    copyFileSync(from, to, mode | constants.COPYFILE_EXCL);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (!hasHoles || code === 'ENOSPC' || code === 'EDQUOT') throw error;
    rmSync(to, { force: true });
    copyData(from, to, Number(size));
  }
}

/** Without the holes: a plain copy would fill them. */
function copyData(from: Buffer, to: Buffer, size: number): void {
  const source = openSync(from, constants.O_RDONLY);
  const target = openSync(to, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
  try {
    ftruncateSync(target, size);
    const chunk = Buffer.allocUnsafe(Math.min(size, CHUNK_BYTES));
    for (let at = seekTo(source, 'data', 0); at !== undefined; at = seekTo(source, 'data', at)) {
      const end = seekTo(source, 'hole', at) ?? size;
      while (at < end) {
        const length = readSync(source, chunk, 0, Math.min(chunk.length, end - at), at);
        if (length === 0) return;
        for (let done = 0; done < length; ) done += writeSync(target, chunk, done, length - done, at + done);
        at += length;
      }
    }
  } finally {
    closeSync(source);
    closeSync(target);
  }
}

function copyAttributes(source: string, target: string, stat: BigIntStats): void {
  const [from, to] = [Buffer.from(source, 'latin1'), Buffer.from(target, 'latin1')];
  lchownSync(to, Number(stat.uid), Number(stat.gid));
  if (!stat.isSymbolicLink()) chmodSync(to, Number(stat.mode & 0o7777n));
  const names = listXattrs(from).filter(name => name !== 'security.selinux');
  // Of a directory that a lower layer has, too, only what the upper one says counts.
  if (stat.isDirectory())
    for (const name of listXattrs(to)) if (!names.includes(name) && name !== 'security.selinux') removeXattr(to, name);
  for (const name of names) {
    if (name === `${OVERLAY}redirect` || name === `${OVERLAY}metacopy`)
      throw new UmiakError('InternalError', `${source} was written by overlayfs with ${name}, which can't be copied`, {
        hint: 'Load the kernel module overlay again, or make the container anew.',
      });
    const value = name.startsWith(OVERLAY) ? undefined : getXattr(from, name);
    if (value !== undefined) setXattr(to, name, value);
  }
}

function setTimeOf(path: string, { mtimeNs }: BigIntStats): void {
  const nanos = Number(((mtimeNs % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n);
  setTime(Buffer.from(path, 'latin1'), { mtime: Number((mtimeNs - BigInt(nanos)) / 1_000_000_000n), mtimeNanos: nanos });
}

function lstat(path: string) {
  return lstatSync(Buffer.from(path, 'latin1'), { throwIfNoEntry: false });
}

function remove(path: string): void {
  rmSync(Buffer.from(path, 'latin1'), { recursive: true, force: true });
}

function toBytes(path: string): string {
  return Buffer.from(path, 'utf8').toString('latin1');
}
