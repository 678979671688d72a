import {
  closeSync,
  createReadStream,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writevSync,
} from 'node:fs';
import { createInterface } from 'node:readline';
import { compareMoments, fromLine, type Moment, type Recorded, toMilliseconds } from './event.ts';

export interface JournalLimits {
  /** Of one file; then the next one begins. */
  fileBytes: number;
  fileLines: number;
  /** The oldest goes first. */
  files: number;
}

const LIMITS: JournalLimits = { fileBytes: 1 << 20, fileLines: 4096, files: 8 };

/** Up to where the journal went at some moment. */
export interface JournalEnd {
  number: number;
  bytes: number;
}

/**
 * Events in files below one directory, `0000000001.jsonl` and on: only added to, a line an event, each file bounded in size and lines, and
 * there are so many of them. A line that a kill cut off is skipped.
 */
export class JournalFiles implements Disposable {
  /** The newest event that an earlier agent wrote. */
  readonly last: Recorded | undefined;
  readonly #directory: string;
  readonly #limits: JournalLimits;
  #fd: number;
  #number: number;
  #bytes: number;
  #lines: number;
  /** The last line is not whole. */
  #isTorn: boolean;

  constructor(directory: string, limits: Partial<JournalLimits> = {}) {
    this.#directory = directory;
    this.#limits = { ...LIMITS, ...limits };
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    this.#number = this.#numbers().at(-1) ?? 1;
    this.#fd = openSync(this.#path(this.#number), 'a', 0o600);
    this.#bytes = fstatSync(this.#fd).size;
    const text = readFileSync(this.#path(this.#number), 'utf8');
    const lines = text.split('\n');
    this.#lines = lines.length - 1;
    this.last = fromLine(lines.findLast(line => fromLine(line) !== undefined) ?? '');
    this.#isTorn = text !== '' && !text.endsWith('\n');
  }

  /** Adds lines, in memory of the kernel when it returns: they outlive us, not a loss of power. @throws when the disk refuses */
  append(lines: readonly Buffer[]): void {
    if (this.#bytes >= this.#limits.fileBytes || this.#lines >= this.#limits.fileLines) this.#next();
    const all = this.#isTorn ? [Buffer.from('\n'), ...lines] : lines;
    const written = writevSync(this.#fd, all);
    this.#bytes += written;
    this.#lines += lines.length;
    this.#isTorn = written < all.reduce((sum, { length }) => sum + length, 0);
  }

  #next(): void {
    const fd = openSync(this.#path(this.#number + 1), 'a', 0o600);
    closeSync(this.#fd);
    this.#fd = fd;
    this.#number += 1;
    this.#bytes = 0;
    this.#lines = 0;
    for (const number of this.#numbers().slice(0, -this.#limits.files)) rmSync(this.#path(number), { force: true });
  }

  get end(): JournalEnd {
    return { number: this.#number, bytes: this.#bytes };
  }

  /** What was written up to `end`, from `since` on, oldest first. */
  async *read(since: Moment | undefined, end: JournalEnd): AsyncIterable<Recorded> {
    for (const number of this.#numbers()) {
      if (number > end.number || (number === end.number && end.bytes === 0)) return;
      const path = this.#path(number);
      if (since && isOlder(path, since)) continue;
      const input = createReadStream(path, number === end.number ? { end: end.bytes - 1 } : {});
      try {
        for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
          const event = fromLine(line);
          if (event && (!since || compareMoments(event.at, since) >= 0)) yield event;
        }
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error; // it was the oldest
      } finally {
        input.destroy();
      }
    }
  }

  #numbers(): number[] {
    return readdirSync(this.#directory)
      .flatMap(name => (/^\d{10}\.jsonl$/.test(name) ? [Number.parseInt(name, 10)] : []))
      .sort((a, b) => a - b);
  }

  #path(number: number): string {
    return `${this.#directory}/${String(number).padStart(10, '0')}.jsonl`;
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}

/** Whether nothing was added to a file since then. */
function isOlder(path: string, since: Moment): boolean {
  const stat = statSync(path, { throwIfNoEntry: false });
  // The file system's time may be some milliseconds coarser than ours.
  return !stat || stat.mtimeMs + 1000 < toMilliseconds(since);
}
