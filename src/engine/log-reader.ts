import { watch } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Readable } from 'node:stream';
import { spend } from '#base/spent.ts';
import type { LogOptions } from './engine.ts';
import { openCompressed } from './log-compression.ts';
import { isCompressed, listLogFiles } from './log-files.ts';
import { parseLogLine } from './log-line.ts';
import { LogRenderer } from './log-renderer.ts';

const BLOCK_BYTES = 256 << 10;
/** For who waits for what comes. */
const SMALL_BLOCK_BYTES = 16 << 10;
const NEWLINE = 0x0a;

export interface LogReaderOptions extends LogOptions {
  logPath: string;
  /** Resolves when nothing more will be written; only asked when following. */
  ended?: Promise<void> | undefined;
}

/**
 * A container's log as bytes: partial lines joined, rotated files first. Memory is one block, however long the log is.
 * When following, a rotation loses nothing: the old file is read to its end before the next one is opened.
 */
export function readLog(options: LogReaderOptions): Readable {
  const closed = new AbortController();
  const iterator = blocks(options, closed.signal);
  const stream = new Readable({
    read() {
      iterator.next().then(
        ({ done, value }) => this.push(done ? null : value),
        error => this.destroy(error),
      );
    },
    // The iterator may be waiting for the log to grow: it is told first, then waited for, since it holds the file.
    destroy(error, done) {
      closed.abort();
      iterator.return(undefined).then(
        () => done(error),
        failure => done(failure),
      );
    },
  });
  options.signal?.addEventListener('abort', () => stream.destroy(), { once: true, signal: closed.signal });
  if (options.signal?.aborted) stream.destroy();
  return stream;
}

async function* blocks(options: LogReaderOptions, closed: AbortSignal): AsyncGenerator<Buffer, undefined> {
  const renderer = new LogRenderer(options);
  const changes = options.follow ? new Changes(options, closed) : undefined;
  try {
    const end = options.follow ? undefined : await endOf(options.logPath);
    const start = await findStart(options, end);
    for await (const block of rawBlocks({ logPath: options.logPath, start, end, changes, closed })) {
      const rendered = renderer.render(block);
      if (rendered.length > 0) yield rendered;
      if (renderer.isFull) return undefined;
    }
    return undefined;
  } finally {
    changes?.close();
  }
}

/** Notices that the log grew, was rotated, or will not grow any more. */
class Changes {
  #hasChanged = true;
  #hasEnded = false;
  #wake: () => void = () => {};
  readonly #watcher;

  constructor({ logPath, ended }: LogReaderOptions, closed: AbortSignal) {
    this.#watcher = watch(dirname(logPath), () => this.#notice());
    this.#watcher.on('error', () => this.#notice());
    closed.addEventListener('abort', () => this.#notice());
    (ended ?? Promise.resolve()).finally(() => {
      this.#hasEnded = true;
      this.#notice();
    });
  }

  /** Resolves false when nothing has changed since the last call and nothing will. */
  async next(): Promise<boolean> {
    if (!this.#hasChanged && !this.#hasEnded) await new Promise<void>(resolve => (this.#wake = resolve));
    const isWorthwhile = this.#hasChanged || !this.#hasEnded;
    this.#hasChanged = false;
    return isWorthwhile;
  }

  close(): void {
    this.#watcher.close();
  }

  #notice(): void {
    this.#hasChanged = true;
    this.#wake();
  }
}

interface Start {
  handle: FileHandle | undefined;
  offset: number;
}

/** Where the log ended when reading began: who does not follow reads no further, however fast the writer is. */
interface End {
  ino: number;
  size: number;
}

async function endOf(logPath: string): Promise<End | undefined> {
  return await stat(logPath).catch(() => undefined);
}

interface Range {
  logPath: string;
  start: Start;
  end: End | undefined;
  changes: Changes | undefined;
  closed: AbortSignal;
}

/** All that is in the files from `start` on to `end`, or, while there are changes, what comes. */
async function* rawBlocks({ logPath, start, end, changes, closed }: Range): AsyncGenerator<Buffer> {
  // Kept only while there is something to read: many readers may wait for many logs.
  let buffer: Buffer | undefined;
  let size = BLOCK_BYTES;
  let { handle, offset } = start;
  let next: FileHandle | undefined;
  try {
    for (;;) {
      const isLast: boolean = end !== undefined && handle !== undefined && (await handle.stat()).ino === end.ino;
      const limit: number = end && isLast ? end.size : Number.POSITIVE_INFINITY;
      while (handle && !closed.aborted) {
        buffer ??= Buffer.allocUnsafeSlow(size);
        const { bytesRead } = await handle.read(buffer, 0, Math.max(0, Math.min(buffer.length, limit - offset)), offset);
        if (bytesRead === 0) break;
        offset += bytesRead;
        yield buffer.subarray(0, bytesRead);
        if (bytesRead === buffer.length && size < BLOCK_BYTES) [buffer, size] = [undefined, BLOCK_BYTES];
      }
      if (closed.aborted || isLast) return;
      if (next) {
        // The writer had gone on to the next file before we came to the end of this one.
        await handle?.close();
        [handle, next, offset] = [next, undefined, 0];
        continue;
      }
      next = await openNext(logPath, handle);
      if (next) continue;
      [buffer, size] = [undefined, SMALL_BLOCK_BYTES];
      if (!(await changes?.next())) return;
    }
  } finally {
    await handle?.close();
    await next?.close();
  }
}

/** Opens the file after the open one, or the first of those not older than `sinceMs`; whatever is renamed meanwhile, none is left out. */
async function openNext(logPath: string, current: FileHandle | undefined, sinceMs?: number): Promise<FileHandle | undefined> {
  for (;;) {
    const path = await findNext(logPath, current, sinceMs);
    if (path === undefined) return undefined;
    const opened = await openIfThere(path);
    if (!opened) continue;
    const again = await findNext(logPath, current, sinceMs);
    if (again !== undefined && (await isSame(again, opened))) return opened;
    await opened.close();
  }
}

async function findNext(logPath: string, current: FileHandle | undefined, sinceMs?: number): Promise<string | undefined> {
  const files = listLogFiles(logPath);
  if (current) {
    for (const [i, file] of files.entries()) if (await isSame(file, current)) return files[i + 1];
    return files[0]; // the open one was removed: it was the oldest
  }
  if (sinceMs !== undefined)
    for (const file of files) {
      const { mtimeMs } = (await stat(file).catch(() => undefined)) ?? {};
      if (mtimeMs !== undefined && mtimeMs >= sinceMs) return file;
    }
  return sinceMs === undefined ? files[0] : files.at(-1);
}

/** Whether a path is what was opened; one that was compressed since then, or opened so, is told by its time. */
async function isSame(path: string, handle: FileHandle): Promise<boolean> {
  const [found, open] = [await stat(path).catch(() => undefined), await handle.stat()];
  if (found && isCompressed(path)) return Math.abs(found.mtimeMs - open.mtimeMs) < 1;
  return found?.ino === open.ino && found.dev === open.dev;
}

async function openIfThere(path: string): Promise<FileHandle | undefined> {
  try {
    return await (isCompressed(path) ? openCompressed(path) : open(path));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Where reading begins: behind what `tailLines` leaves out and behind files older than `sinceMs`. */
async function findStart({ logPath, tailLines, sinceMs, stream = 'all' }: LogReaderOptions, end?: End): Promise<Start> {
  if (tailLines !== undefined && tailLines >= 0) {
    let missing = tailLines;
    const seen = new Set<string>();
    for (const file of listLogFiles(logPath).reverse()) {
      const handle = await openIfThere(file);
      if (!handle) continue;
      const { offset, found } = await findTail(handle, { wanted: missing, stream, seen, end });
      if (offset !== undefined) return { handle, offset };
      await handle.close();
      missing -= found;
    }
  }
  return { handle: await openNext(logPath, undefined, sinceMs), offset: 0 };
}

/** Reads backwards in blocks to the place behind which there are `wanted` whole lines. Without that many: how many there are. */
async function findTail(
  handle: FileHandle,
  { wanted, stream, seen, end }: { wanted: number; stream: string; seen: Set<string>; end: End | undefined },
): Promise<{ offset?: number; found: number }> {
  const { ino, size } = await handle.stat();
  let position = ino === end?.ino ? end.size : size;
  if (wanted === 0) return { offset: position, found: 0 };
  let found = 0;
  let tail: Buffer = Buffer.alloc(0); // the end of a line whose beginning is in an earlier block
  while (position > 0) {
    const block = Buffer.allocUnsafeSlow(Math.min(BLOCK_BYTES, position));
    position -= block.length;
    await handle.read(block, 0, block.length, position);
    const joined = tail.length > 0 ? Buffer.concat([block, tail]) : block;
    let end = joined.length;
    for (;;) {
      const lineEnd = joined[end - 1] === NEWLINE ? end - 1 : end;
      const newline = lineEnd === 0 ? -1 : joined.lastIndexOf(NEWLINE, lineEnd - 1);
      if (newline < 0) break;
      if (isCounted(joined.subarray(newline + 1, lineEnd), stream, seen)) found++;
      // One line more than wanted, so that all partial pieces of the wanted ones lie behind.
      if (found > wanted) return { offset: position + end, found: wanted };
      end = newline + 1;
    }
    tail = Buffer.from(joined.subarray(0, end));
    spend(block);
    spend(joined);
  }
  if (tail.length > 0 && isCounted(tail[tail.length - 1] === NEWLINE ? tail.subarray(0, -1) : tail, stream, seen)) found++;
  return found > wanted ? { offset: tail.length, found: wanted } : { found };
}

/** Whether a line ends here, looked at from the end on: one that nothing has ended yet is a line too. */
function isCounted(line: Buffer, stream: string, seen: Set<string>): boolean {
  const parsed = parseLogLine(line);
  if (!parsed || (stream !== 'all' && parsed.stream !== stream)) return false;
  const isLast = !seen.has(parsed.stream);
  seen.add(parsed.stream);
  return !parsed.isPartial || isLast;
}
