import { type FSWatcher, statSync, watch } from 'node:fs';
import { dirname } from 'node:path';
import { type Clock, isUmiakError, type Log, messageOf } from '#base/index.ts';
import type { Engine } from '#engine/index.ts';
import type { LogBounds } from '../log-config.ts';

/** A log that grows is looked at after as long as it may take to reach its bound, but within these. */
const SHORTEST_MS = 20;
const LONGEST_MS = 200;

export interface LogBoundsKeeperOptions {
  id: string;
  logPath: string;
  bounds: LogBounds;
  engine: Pick<Engine, 'rotateLog'>;
  clock: Clock;
  log: Log;
}

/**
 * Puts a running container's log away whenever it has grown past its bound. The kernel tells when it is written; while it is, it is looked
 * at from time to time, the sooner the quicker it grows. A log that nobody writes costs nothing.
 */
export class LogBoundsKeeper implements Disposable {
  readonly #options: LogBoundsKeeperOptions;
  readonly #disposed = new AbortController();
  #watcher: FSWatcher | undefined;
  #timer: Disposable | undefined;
  #lastBytes = 0;
  #lastAtMs = 0;

  constructor(options: LogBoundsKeeperOptions) {
    this.#options = options;
    this.#look();
  }

  #look(): void {
    const { logPath, bounds, clock } = this.#options;
    this.#timer = undefined;
    if (this.#disposed.signal.aborted) return;
    const bytes = statSync(logPath, { throwIfNoEntry: false })?.size ?? 0;
    if (bytes > bounds.maxBytes) this.#rotate();
    const now = clock.monotonic();
    const next = planNextLook({ bytes, lastBytes: this.#lastBytes, elapsedMs: now - this.#lastAtMs, maxBytes: bounds.maxBytes });
    this.#lastBytes = bytes > bounds.maxBytes ? 0 : bytes;
    this.#lastAtMs = now;
    if (next === undefined) this.#waitForChange();
    else this.#timer = clock.after(next, () => this.#look());
  }

  #waitForChange(): void {
    this.#watcher?.close();
    try {
      this.#watcher = watch(dirname(this.#options.logPath), () => {
        this.#watcher?.close();
        this.#watcher = undefined;
        this.#lastAtMs = this.#options.clock.monotonic();
        this.#timer ??= this.#options.clock.after(SHORTEST_MS, () => this.#look());
      });
      this.#watcher.on('error', () => {});
    } catch {
      // Its directory is gone, and it with that.
    }
  }

  #rotate(): void {
    const { id, engine, log, bounds } = this.#options;
    const { signal } = this.#disposed;
    engine.rotateLog(id, { keep: bounds.files - 1, compress: bounds.compress, signal }).catch((error: unknown) => {
      // It has ended meanwhile.
      if (isUmiakError(error, 'Conflict') || isUmiakError(error, 'NotFound') || signal.aborted) return;
      log.warn('a log could not be put away', { container: id, error: messageOf(error) });
    });
  }

  [Symbol.dispose](): void {
    this.#disposed.abort();
    this.#watcher?.close();
    this.#timer?.[Symbol.dispose]();
  }
}

/** When to look again at a log that has grown: when it may have reached its bound. Undefined for one that has not. Pure. */
export function planNextLook({
  bytes,
  lastBytes,
  elapsedMs,
  maxBytes,
}: {
  bytes: number;
  lastBytes: number;
  elapsedMs: number;
  maxBytes: number;
}): number | undefined {
  if (bytes === lastBytes) return undefined;
  if (bytes > maxBytes) return SHORTEST_MS;
  const bytesAMs = Math.max(bytes - lastBytes, 0) / Math.max(elapsedMs, 1);
  const inMs = bytesAMs > 0 ? (maxBytes - bytes) / bytesAMs : LONGEST_MS;
  // Who has just begun to write may become much quicker: what was seen for some time is believed for twice as long.
  return Math.max(Math.min(inMs, elapsedMs * 2, LONGEST_MS), SHORTEST_MS);
}
