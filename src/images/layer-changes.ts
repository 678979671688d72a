import { type BigIntStats, lstatSync, readdirSync } from 'node:fs';
import { UmiakError } from '#base/errors.ts';
import { insideRoot } from '#linux/confinement.ts';
import { getXattr } from '#linux/file-attributes.ts';
import { type OwnerRanges, ownerInside } from './owners.ts';
import { toText } from './tar-format.ts';

/** Docker's numbers. */
export const changeKinds = { modified: 0, added: 1, deleted: 2 } as const;

export interface Change {
  path: string;
  kind: (typeof changeKinds)[keyof typeof changeKinds];
}

export interface ChangesRequest {
  /** What was written over the layers, in overlay's form; or with `isWhole` the whole root file system. */
  directory: string;
  isWhole: boolean;
  /** Top first. */
  layers: readonly string[];
  /** Made to mount something on: not told of while they are empty. */
  mountPoints: readonly string[];
  /** Of a container with a user namespace. */
  owners?: OwnerRanges;
}

const MOST_ENTRIES = 2_000_000;

/**
 * What a container changed of its image, sorted by path: `modified` a directory also for what changed in it, `added` with all that is below,
 * `deleted` without. Blocks: for worker threads.
 * @throws RequestEntityTooLarge
 */
export function readChanges({ directory, isWhole, layers, mountPoints, owners }: ChangesRequest): Change[] {
  // First all that is written, in a root of its own: it may change meanwhile. Layers don't.
  const budget = { left: MOST_ENTRIES };
  const written = insideRoot(directory, () => readTree('/', budget));
  const changes: Change[] = [];
  new Comparison(changes, isWhole, new Set(mountPoints), owners).directory(
    '',
    written,
    layers.map(layer => Buffer.from(layer).toString('latin1')),
  );
  return changes.map(({ path, kind }) => ({ path: toText(path), kind })).sort((a, b) => (a.path < b.path ? -1 : 1));
}

interface Written {
  stat: BigIntStats;
  isOpaque?: boolean;
  children?: Map<string, Written>;
}

function readTree(path: string, budget: { left: number }): Written {
  const stat = lstatSync(Buffer.from(path, 'latin1'), { bigint: true });
  if (!stat.isDirectory()) return { stat };
  const children = new Map<string, Written>();
  for (const name of readdirSync(Buffer.from(path, 'latin1'), { encoding: 'latin1' })) {
    if (--budget.left < 0) throw new UmiakError('RequestEntityTooLarge', `the container has more than ${MOST_ENTRIES} files`);
    try {
      children.set(name, readTree(path === '/' ? `/${name}` : `${path}/${name}`, budget));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  return { stat, isOpaque: isOpaqueAt(path), children };
}

function isOpaqueAt(path: string): boolean {
  return getXattr(Buffer.from(path, 'latin1'), 'trusted.overlay.opaque')?.toString() === 'y';
}

/** What the layers have of one name: a directory with all that are merged into it, or something else. */
interface Below {
  stat: BigIntStats;
  directories: string[];
}

class Comparison {
  readonly #changes: Change[];
  readonly #isWhole: boolean;
  readonly #mountPoints: ReadonlySet<string>;

  readonly #owners: OwnerRanges | undefined;

  constructor(changes: Change[], isWhole: boolean, mountPoints: ReadonlySet<string>, owners: OwnerRanges | undefined) {
    this.#owners = owners;
    this.#changes = changes;
    this.#isWhole = isWhole;
    this.#mountPoints = mountPoints;
  }

  /** Adds the changes in a directory that `lowers`, top first, are merged into. */
  directory(path: string, { children = new Map() }: Written, lowers: readonly string[], hides = this.#isWhole): void {
    for (const [name, written] of children) this.#entry(`${path}/${name}`, written, find(name, lowers));
    if (!hides) return;
    for (const name of new Set(lowers.flatMap(names)))
      if (!children.has(name) && find(name, lowers)) this.#changes.push({ path: `${path}/${name}`, kind: changeKinds.deleted });
  }

  #entry(path: string, written: Written, below: Below | undefined): void {
    const { stat } = written;
    if (!this.#isWhole && isWhiteout(stat)) {
      if (below) this.#changes.push({ path, kind: changeKinds.deleted });
      return;
    }
    const before = this.#changes.length;
    const isMerged = stat.isDirectory() && below?.stat.isDirectory() === true;
    if (stat.isDirectory()) this.directory(path, written, isMerged ? below!.directories : [], this.#isWhole || written.isOpaque);
    if (!below && this.#changes.length === before && this.#isMountPoint(path, stat)) return;
    if (!below) this.#changes.push({ path, kind: changeKinds.added });
    else if (this.#changes.length > before || this.#isDifferent(stat, below.stat)) this.#changes.push({ path, kind: changeKinds.modified });
  }

  /** Of a directory only what is in it was looked at before. */
  #isMountPoint(path: string, stat: BigIntStats): boolean {
    return this.#mountPoints.has(toText(path)) && (stat.isDirectory() || (stat.isFile() && stat.size === 0n));
  }

  /** As docker compares: of directories neither size nor time. */
  #isDifferent(written: BigIntStats, below: BigIntStats): boolean {
    const [uid, gid] = [Number(written.uid), Number(written.gid)];
    const owner = this.#owners ? ownerInside(this.#owners, uid, gid) : { uid, gid };
    if (written.mode !== below.mode || written.rdev !== below.rdev) return true;
    if (owner.uid !== Number(below.uid) || owner.gid !== Number(below.gid)) return true;
    return !written.isDirectory() && (written.size !== below.size || written.mtimeNs !== below.mtimeNs);
  }
}

function find(name: string, lowers: readonly string[]): Below | undefined {
  let top: BigIntStats | undefined;
  const directories: string[] = [];
  for (const lower of lowers) {
    const path = `${lower}/${name}`;
    const stat = lstatSync(Buffer.from(path, 'latin1'), { bigint: true, throwIfNoEntry: false });
    if (stat === undefined) continue;
    if (isWhiteout(stat)) break;
    if (!stat.isDirectory()) return top ? { stat: top, directories } : { stat, directories };
    top ??= stat;
    directories.push(path);
    if (isOpaqueAt(path)) break;
  }
  return top && { stat: top, directories };
}

function names(directory: string): string[] {
  return readdirSync(Buffer.from(directory, 'latin1'), { encoding: 'latin1' });
}

function isWhiteout(stat: BigIntStats): boolean {
  return stat.isCharacterDevice() && stat.rdev === 0n;
}
