import { mkdirSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { Worker } from 'node:worker_threads';
import { type Clock, systemClock } from '#base/clock.ts';
import { isUmiakError, messageOf, UmiakError } from '#base/errors.ts';
import { type Log, silentLog } from '#base/log.ts';
import { lockFile } from '#linux/lock.ts';
import { planRefusal } from './keys.ts';
import {
  type CallName,
  type Calls,
  type FromWriter,
  fromWireError,
  PackReader,
  PackWriter,
  type Position,
  packTransaction,
  readOutcome,
  type SideJob,
  type ToWriter,
} from './protocol.ts';
import type { CommitResult, Entry, ListOptions, ListResult, Store, StoreEvent, Transaction, WatchBatch } from './store.ts';
import type { TransformerConfig } from './transformer.ts';
import { type Watcher, Watchers } from './watchers.ts';
import { SideThread, startWriterThread } from './workers.ts';

export interface SqliteStoreOptions {
  /** The database file; its directory is made if need be. `-wal`, `-shm` and `.lock` stand beside it. */
  path: string;
  clock?: Clock;
  log?: Log;
  /** How long past revisions stay readable. Default: 10 minutes. */
  windowMs?: number;
  /** How many bytes of past revisions stay readable at most. Default: 256 MB. */
  windowBytes?: number;
  transformers?: TransformerConfig;
}

const WINDOW_MS = 10 * 60 * 1000;
const WINDOW_BYTES = 256 * 1024 * 1024;
/** The window is moved on in steps of a twentieth. */
const WINDOW_STEPS = 20;
/** Under load the log is copied about twice a second; the thread for it goes when writers rest. */
const COPIER_IDLE_MS = 5000;
/** A pack ends after so many transactions or bytes of values; what is over forms the next. */
const PACK_TRANSACTIONS = 512;
const PACK_BYTES = 4 * 1024 * 1024;

interface ListPlan {
  at: number | undefined;
  limit: number;
  from: string;
  signal: AbortSignal | undefined;
}

interface PendingCommit {
  transaction: Transaction;
  resolve: (result: CommitResult) => void;
  reject: (error: unknown) => void;
}

interface PendingCall {
  resolve: (result: never) => void;
  reject: (error: unknown) => void;
}

/**
 * Opens the store in `path`, making it if there is none, and recovers what was durable.
 * @throws `Conflict` while another process has it open; `Invalid` when it is damaged, foreign or of a newer format.
 */
export async function openSqliteStore(options: SqliteStoreOptions): Promise<SqliteStore> {
  const path = resolve(options.path);
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const lock = lockFile(`${path}.lock`, `the store ${path}`);
  try {
    const { windowMs = WINDOW_MS, windowBytes = WINDOW_BYTES, transformers = {} } = options;
    const worker = startWriterThread({ path, window: { windowMs, windowBytes }, transformers });
    const position = await opened(worker);
    return new SqliteStore({ ...options, path, windowMs, windowBytes }, worker, lock, position);
  } catch (error) {
    lock[Symbol.dispose]();
    throw error;
  }
}

async function opened(worker: Worker): Promise<Position> {
  const { promise, resolve, reject } = Promise.withResolvers<FromWriter>();
  worker.once('message', resolve).once('error', reject);
  try {
    const message = await promise;
    if (message.kind === 'open') return message.position;
    throw message.kind === 'not-open'
      ? fromWireError(message.error)
      : new UmiakError('InternalError', `the store's thread began with ${message.kind}`);
  } catch (error) {
    await worker.terminate();
    throw error;
  } finally {
    worker.off('error', reject);
  }
}

/** The store in one SQLite file, kept by a thread of its own. Made by `openSqliteStore`. */
export class SqliteStore implements Store {
  readonly #path: string;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #worker: Worker;
  readonly #lock: Disposable;
  readonly #stepMs: number;
  readonly #stepBytes: number;

  #revision: number;
  #compactedRevision: number;
  readonly #watchers = new Watchers();

  /** Commits not yet handed to the worker, and those it has, in its order. */
  #gathering: PendingCommit[] = [];
  readonly #committing: PendingCommit[] = [];
  #calls = new Map<number, PendingCall>();
  #lastCall = 0;

  #timer: Disposable | undefined;
  #bytesSinceTick = 0;
  #isCheckpointing = false;
  readonly #copier: SideThread;
  readonly #sideJobs = new Set<Promise<string[]>>();
  #closed: Promise<void> | undefined;
  #failure: unknown;

  constructor(
    options: SqliteStoreOptions & { windowMs: number; windowBytes: number },
    worker: Worker,
    lock: Disposable,
    position: Position,
  ) {
    this.#path = options.path;
    this.#clock = options.clock ?? systemClock;
    this.#log = options.log ?? silentLog;
    this.#stepMs = Math.max(1, options.windowMs / WINDOW_STEPS);
    this.#stepBytes = Math.max(1, options.windowBytes / WINDOW_STEPS);
    this.#worker = worker;
    this.#copier = new SideThread({ clock: this.#clock, idleMs: COPIER_IDLE_MS });
    this.#lock = lock;
    this.#revision = position.revision;
    this.#compactedRevision = position.compactedRevision;
    worker.on('message', (message: FromWriter) => this.#receive(message));
    worker.on('error', error => this.#fail(error));
    worker.on('exit', () => this.#fail(new UmiakError('ServiceUnavailable', `the store ${this.#path} is closed`)));
    if (this.#revision > this.#compactedRevision) void this.#tick();
  }

  get revision(): number {
    return this.#revision;
  }

  get compactedRevision(): number {
    return this.#compactedRevision;
  }

  async get(key: string, { at }: { at?: number } = {}): Promise<Entry | undefined> {
    return this.#call('get', at === undefined ? { key } : { key, at });
  }

  async list(prefix: string, { at, limit = Number.MAX_SAFE_INTEGER, from = prefix, signal }: ListOptions = {}): Promise<ListResult> {
    for (;;) {
      try {
        return await this.#listAt(prefix, { at, limit, from, signal });
      } catch (error) {
        // A list of the newest state was overtaken by compaction while it read page after page.
        if (at !== undefined || !isUmiakError(error, 'Expired')) throw error;
      }
    }
  }

  async #listAt(prefix: string, { at, limit, from, signal }: ListPlan): Promise<ListResult> {
    const entries: Entry[] = [];
    let revision = at;
    let start = from;
    for (let continued = false; ; continued = true) {
      signal?.throwIfAborted();
      // One more than asked for: it is the `next`.
      const page = await this.#call('list', { prefix, from: start, at: revision, continued, limit: limit - entries.length + 1 });
      revision = page.revision;
      for (const entry of page.entries) entries.push(entry);
      if (entries.length > limit) return { entries: entries.slice(0, limit), revision, next: entries[limit]!.key };
      if (!page.more) return { entries, revision };
      start = `${entries.at(-1)!.key}\0`;
    }
  }

  /** As `Store.commit`; `writes` and their values must not be changed afterwards: watchers get them as they are. */
  commit(transaction: Transaction): Promise<CommitResult> {
    return new Promise((resolve, reject) => {
      const problem = planRefusal(transaction);
      if (problem) throw new UmiakError('Invalid', problem);
      if (this.#failure || this.#closed) throw this.#unavailable();
      if (this.#gathering.push({ transaction, resolve, reject }) === 1) setImmediate(() => this.#handOver());
    });
  }

  async watch(
    prefix: string,
    { after, receive, signal }: { after: number; receive: (batch: WatchBatch) => void; signal: AbortSignal },
  ): Promise<void> {
    if (signal.aborted) return;
    if (this.#failure || this.#closed) throw this.#unavailable();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const watcher: Watcher = { prefix, receive, fail: reject, seen: after, waiting: [] };
    const stop = () => {
      this.#watchers.delete(watcher);
      resolve();
    };
    signal.addEventListener('abort', stop, { once: true });
    this.#watchers.add(watcher);
    try {
      await Promise.race([promise, this.#catchUp(watcher, signal)]);
      await promise;
    } finally {
      this.#watchers.delete(watcher);
      signal.removeEventListener('abort', stop);
    }
  }

  /** Reads history up to what was durable when it began; what comes meanwhile waits with the watcher. */
  async #catchUp(watcher: Watcher, signal: AbortSignal): Promise<void> {
    do {
      const target = this.#revision;
      while (watcher.seen < target && !signal.aborted) {
        const { events, revision } = await this.#call('replay', { prefix: watcher.prefix, after: watcher.seen, through: target });
        if (signal.aborted) return;
        this.#watchers.replay(watcher, { events, revision });
      }
    } while (!this.#watchers.goLive(watcher) && !signal.aborted);
  }

  async compact(at: number): Promise<void> {
    this.#compactedRevision = (await this.#call('compact', { at })).compactedRevision;
  }

  /** Writes a copy of the newest state, with its kept history, to `to`, which must not exist. Writes go on meanwhile. */
  async backup(to: string): Promise<void> {
    await this.#onOwnThread({ kind: 'backup', path: this.#path, to: resolve(to) });
  }

  /** Reads the whole file beside the writer and returns what is wrong with it: nothing, one hopes. */
  verify(): Promise<string[]> {
    return this.#onOwnThread({ kind: 'verify', path: this.#path });
  }

  /** Waits for what was asked, ends watches, and leaves one file with everything in it. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#timer?.[Symbol.dispose]();
    try {
      await Promise.allSettled(this.#sideJobs);
      await this.#copier[Symbol.asyncDispose]();
      this.#handOver();
      if (!this.#failure) await this.#call('close', {});
      await this.#worker.terminate();
    } finally {
      this.#watchers.failAll(this.#unavailable());
      this.#lock[Symbol.dispose]();
    }
  }

  #handOver(): void {
    if (this.#failure) return;
    while (this.#gathering.length > 0) {
      const pack = new PackWriter();
      let count = 0;
      for (const { transaction } of this.#gathering) {
        packTransaction(pack, transaction);
        if (++count >= PACK_TRANSACTIONS || pack.sizeBytes >= PACK_BYTES) break;
      }
      this.#bytesSinceTick += pack.sizeBytes;
      const packed = pack.finish();
      this.#send({ kind: 'commit', pack: packed }, [packed.bytes.buffer]);
      this.#committing.push(...this.#gathering.splice(0, count));
    }
  }

  #send(message: ToWriter, transfer: ArrayBuffer[] = []): void {
    this.#worker.postMessage(message, transfer);
  }

  #call<Name extends CallName>(kind: Name, request: Calls[Name]['request']): Promise<Calls[Name]['reply']> {
    if (this.#failure || (this.#closed && kind !== 'close')) return Promise.reject(this.#unavailable());
    const id = ++this.#lastCall;
    return new Promise((resolve, reject) => {
      this.#calls.set(id, { resolve, reject });
      this.#send({ kind, id, request } as ToWriter);
    });
  }

  #receive(message: FromWriter): void {
    if (message.kind === 'committed') this.#settle(message);
    if (message.kind === 'log-long') this.#checkpoint().catch(error => this.#fail(error));
    if (message.kind !== 'reply' && message.kind !== 'failed') return;
    const call = this.#calls.get(message.id);
    this.#calls.delete(message.id);
    if (message.kind === 'reply') call?.resolve(message.result as never);
    else call?.reject(fromWireError(message.error));
  }

  /** A group is durable: watchers first, then whoever waits for the commits. */
  #settle({ outcomes, errors }: Extract<FromWriter, { kind: 'committed' }>): void {
    const reader = new PackReader(outcomes);
    const settled: (() => void)[] = [];
    const events: StoreEvent[] = [];
    let revision = this.#revision;
    while (!reader.done) {
      const { transaction, resolve, reject } = this.#committing.shift()!;
      const outcome = readOutcome(reader, errors, transaction);
      if (outcome instanceof Error) {
        settled.push(() => reject(outcome));
        continue;
      }
      if (outcome.result.ok) revision = outcome.result.revision;
      for (const event of outcome.events) events.push(event);
      settled.push(() => resolve(outcome.result));
    }
    const isNews = revision > this.#revision;
    this.#revision = revision;
    if (isNews) this.#watchers.publish(events, revision);
    for (const settle of settled) settle();
    if (isNews) this.#scheduleTick();
  }

  /** While there is history to forget, a timer moves the window; a store that nobody writes to comes to rest. */
  #scheduleTick(): void {
    if (this.#bytesSinceTick >= this.#stepBytes) return void this.#tick();
    if (!this.#closed) this.#timer ??= this.#clock.after(this.#stepMs, () => void this.#tick());
  }

  async #tick(): Promise<void> {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    this.#bytesSinceTick = 0;
    try {
      const { compactedRevision, rest } = await this.#call('tick', { nowMs: this.#clock.now() });
      this.#compactedRevision = compactedRevision;
      if (rest) this.#scheduleTick();
    } catch (error) {
      if (this.#closed || this.#failure) return;
      this.#log.error('compaction failed; it is tried again', { path: this.#path, error: messageOf(error) });
      this.#scheduleTick();
    }
  }

  async #checkpoint(): Promise<void> {
    if (this.#isCheckpointing || this.#closed) return;
    this.#isCheckpointing = true;
    try {
      const ok = await this.#copyLog();
      if (!this.#closed && !this.#failure) await this.#call('checkpointed', { ok });
    } finally {
      this.#isCheckpointing = false;
    }
  }

  /** A failure costs room on the disk, no data: it is told, and tried again when more was written. */
  async #copyLog(): Promise<boolean> {
    try {
      await this.#aside(this.#copier, { kind: 'checkpoint', path: this.#path });
      return true;
    } catch (error) {
      if (!this.#closed) this.#log.warn('the log could not be copied into the database', { path: this.#path, error: messageOf(error) });
      return false;
    }
  }

  /** For what may take long: checkpoints don't wait for it. */
  async #onOwnThread(job: SideJob): Promise<string[]> {
    await using thread = new SideThread({ clock: this.#clock, idleMs: COPIER_IDLE_MS });
    return await this.#aside(thread, job);
  }

  #aside(thread: SideThread, job: SideJob): Promise<string[]> {
    if (this.#failure || this.#closed) return Promise.reject(this.#unavailable());
    const running = thread.run(job);
    this.#sideJobs.add(running);
    const forget = () => void this.#sideJobs.delete(running);
    running.then(forget, forget);
    return running;
  }

  #unavailable(): UmiakError {
    return new UmiakError(
      'ServiceUnavailable',
      `the store ${this.#path} is ${this.#closed ? 'closed' : `out of order: ${messageOf(this.#failure)}`}`,
      {
        cause: this.#failure,
      },
    );
  }

  /** The worker has ended: nobody waits for it any longer. */
  #fail(error: unknown): void {
    if (this.#failure) return;
    this.#failure = error;
    const unavailable = this.#unavailable();
    for (const { reject } of [...this.#committing.splice(0), ...this.#gathering.splice(0)]) reject(unavailable);
    for (const { reject } of this.#calls.values()) reject(unavailable);
    this.#calls.clear();
    this.#watchers.failAll(unavailable);
  }
}
