import type { Clock } from '#base/clock.ts';
import { diskUsage } from '#linux/disk-usage.ts';

/** As often as containerd counts its snapshots. */
const FRESH_MS = 10_000;

/** What lies below a directory, and when that was counted. */
export interface DiskFigure {
  atMs: number;
  usedBytes: number;
  inodesUsed: number;
}

type Measure = typeof diskUsage;

/**
 * What directories take of their disks, counted when somebody asks, by processes beside this one. Only the first to ask for a directory waits;
 * later ones get the last figure, and one that is older than ten seconds is counted anew behind their backs.
 */
export class DiskFigures {
  readonly #clock: Clock;
  readonly #measure: Measure;
  readonly #figures = new Map<string, DiskFigure>();
  #counting: Promise<void> | undefined;

  constructor({ clock, measure = diskUsage }: { clock: Clock; measure?: Measure }) {
    this.#clock = clock;
    this.#measure = measure;
  }

  /** Figures of those that are there. What is kept of others is let go when they are not among `all`. */
  async of(directories: readonly string[], all: readonly string[] = directories): Promise<Map<string, DiskFigure>> {
    this.#forget(all);
    if (directories.some(directory => !this.#figures.has(directory))) {
      await this.#counting;
      const missing = directories.filter(directory => !this.#figures.has(directory));
      if (missing.length > 0) await this.#count(missing);
    } else if (directories.some(directory => this.#clock.now() - (this.#figures.get(directory)?.atMs ?? 0) >= FRESH_MS)) {
      this.#counting ??= this.#count(directories).finally(() => {
        this.#counting = undefined;
      });
      this.#counting.catch(() => {}); // the old figures stay, with their times
    }
    return new Map(directories.flatMap(directory => [...pairOf(directory, this.#figures.get(directory))]));
  }

  #forget(all: readonly string[]): void {
    if (this.#figures.size <= all.length) return;
    const kept = new Set(all);
    for (const directory of this.#figures.keys()) if (!kept.has(directory)) this.#figures.delete(directory);
  }

  async #count(directories: readonly string[]): Promise<void> {
    const [bytes, inodes] = await Promise.all([this.#measure(directories), this.#measure(directories, 'inodes')]);
    const atMs = this.#clock.now();
    for (const directory of directories) {
      const usedBytes = bytes.get(directory);
      if (usedBytes !== undefined) this.#figures.set(directory, { atMs, usedBytes, inodesUsed: inodes.get(directory) ?? 0 });
    }
  }
}

function pairOf<K, V>(key: K, value: V | undefined): [K, V][] {
  return value === undefined ? [] : [[key, value]];
}
