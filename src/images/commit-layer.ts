import { createHash } from 'node:crypto';
import { type BigIntStats, closeSync, fdatasyncSync, lstatSync, openSync, readdirSync, renameSync, rmSync, writeSync } from 'node:fs';
import { UmiakError } from '#base/errors.ts';
import { insideRoot } from '#linux/confinement.ts';
import { beginWriteBack, removeXattr } from '#linux/file-attributes.ts';
import type { Digest } from './digest.ts';
import { changeKinds, readChanges } from './layer-changes.ts';
import { type OwnerRanges, ownerInside } from './owners.ts';
import { fromText } from './tar-format.ts';
import { TarSink } from './tar-sink.ts';
import { TarTree } from './tar-tree.ts';

export interface CommitRequest {
  /** A directory in overlay's upper form; with `layers` a whole root file system. */
  source: string;
  /** Of a whole root file system: the layers, top first, that it was made of. What differs is the new layer. */
  layers?: readonly string[];
  /** Files and directories that are left out while they are empty: made to mount something on. */
  mountPoints?: readonly string[];
  /** Where the archive is written; not there yet. */
  blobPath: string;
  /** Where the directory is moved to, when it is given away. */
  target?: string;
  owners?: OwnerRanges;
  /** Not 0 once nobody waits any more. */
  cancelled: Int32Array;
}

export interface CommitResult {
  /** Of the archive, which is not compressed: the blob's digest too. */
  diffId: Digest;
  sizeBytes: number;
  /** None: nothing was changed. */
  entries: number;
  diskBytes: number;
  inodes: number;
  /** Whether the directory is at `target` now; not when that is another file system. */
  isMoved: boolean;
}

const BUFFER_BYTES = 1 << 20;
/** So that little is left to be waited for at the end. */
const WRITE_BACK_BYTES = 16 << 20;
/** What overlay notes for itself about a directory that was written to, and has no meaning for one that is read. */
const OWN_NOTES = new Set(['origin', 'impure', 'nlink', 'upper', 'uuid'].map(name => `trusted.overlay.${name}`));

/**
 * Makes an image layer of a directory: its archive is written, hashed and on the disk when this returns, and the directory, when it is given
 * away, stands at `target` as the layer's unpacked form. Blocks: for worker threads. On failure nothing is left and nothing moved.
 */
export function commitLayer({ source, layers, mountPoints = [], blobPath, target, owners, cancelled }: CommitRequest): CommitResult {
  const blob = openSync(blobPath, 'wx', 0o644);
  try {
    const hash = createHash('sha256');
    let [written, begun] = [0, 0];
    const sink = new TarSink(Buffer.allocUnsafeSlow(BUFFER_BYTES), full => {
      hash.update(full);
      for (let at = 0; at < full.length; ) at += writeSync(blob, full, at);
      written += full.length;
      if (written - begun >= WRITE_BACK_BYTES) {
        beginWriteBack(blob, begun, written - begun);
        begun = written;
      }
      return Buffer.from(full.buffer);
    });
    const hidden = new Set(mountPoints.map(fromText));
    const changes = layers && planWhole(source, layers, owners);
    const tree = new TarTree({
      sink,
      skips: (path, stat) => (hidden.has(path) && isEmpty(path, stat, hidden)) || (path !== '/' && changes?.written.has(path) === false),
      form: 'overlay',
      exactTimes: true,
      sparse: true,
      onOverlayXattr: target === undefined ? refuseRedirects : dropNotes,
      ...(owners ? { toOwner: (uid, gid) => ownerInside(owners, uid, gid) } : {}),
      check() {
        if (Atomics.load(cancelled, 0) !== 0) throw new UmiakError('Gone', 'nobody waits for the layer any more');
      },
    });
    // Whoever still writes there can replace a directory by a link.
    insideRoot(source, () => tree.add('/', ''));
    for (const path of changes?.deleted ?? []) tree.addWhiteout(path.slice(1));
    tree.end();
    fdatasyncSync(blob);
    const { entries, diskBytes, inodes } = tree;
    const isMoved = target !== undefined && move(source, target);
    return { diffId: `sha256:${hash.digest('hex')}`, sizeBytes: sink.totalBytes, entries, diskBytes, inodes, isMoved };
  } catch (error) {
    rmSync(blobPath, { force: true });
    throw error;
  } finally {
    closeSync(blob);
  }
}

/** What is to be written of a whole root file system, and what is no longer there; paths are byte strings. */
function planWhole(
  directory: string,
  layers: readonly string[],
  owners: OwnerRanges | undefined,
): { written: Set<string>; deleted: string[] } {
  const changes = readChanges({ directory, isWhole: true, layers, mountPoints: [], ...(owners ? { owners } : {}) });
  const paths = (isDeleted: boolean) =>
    changes.filter(({ kind }) => (kind === changeKinds.deleted) === isDeleted).map(({ path }) => fromText(path));
  return { written: new Set(paths(false)), deleted: paths(true) };
}

/** But for what is left out itself. */
function isEmpty(path: string, stat: BigIntStats, hidden: ReadonlySet<string>): boolean {
  if (!stat.isDirectory()) return stat.isFile() && stat.size === 0n;
  return readdirSync(Buffer.from(path, 'latin1'), { encoding: 'latin1' }).every(name => {
    const child = `${path}/${name}`;
    if (!hidden.has(child)) return false;
    const its = lstatSync(Buffer.from(child, 'latin1'), { bigint: true, throwIfNoEntry: false });
    return its === undefined || isEmpty(child, its, hidden);
  });
}

function move(source: string, target: string): boolean {
  try {
    renameSync(source, target);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EXDEV') return false;
    throw error;
  }
}

function dropNotes(path: Buffer, name: string): void {
  refuseRedirects(path, name);
  if (OWN_NOTES.has(name)) removeXattr(path, name);
}

function refuseRedirects(_: Buffer, name: string): void {
  if (name !== 'trusted.overlay.redirect' && name !== 'trusted.overlay.metacopy') return;
  throw new UmiakError('InternalError', `overlayfs wrote it with ${name}, of which no layer can be made`, {
    hint: 'Switch it off: echo N > /sys/module/overlay/parameters/redirect_dir, and metacopy too.',
  });
}
