import { join } from 'node:path';
import type { Clock, Log } from '#base/index.ts';
import { type DockerEvent, type Moment, type Recorded, toLine } from './event.ts';
import { type JournalEnd, JournalFiles, type JournalLimits } from './journal-files.ts';

export interface EventJournalOptions {
  dataDir: string;
  limits?: Partial<JournalLimits>;
  /** Events that one who listens may be behind. */
  mostBehind?: number;
  clock: Clock;
  log: Log;
}

/** Where a listener's events go. */
export interface EventSink {
  /** False: no more until `EventListener.resume`. */
  write(bytes: Buffer): boolean;
  /** It was too slow. */
  cut(): void;
}

export interface EventListener extends Disposable {
  /** The sink takes more. */
  resume(): void;
}

interface Listener {
  /** Number of the next event it gets. */
  next: number;
  passes: (event: Recorded) => boolean;
  sink: EventSink;
  isHeld: boolean;
}

const MOST_BEHIND = 4096;
const MOST_RECENT_BYTES = 4 << 20;
/** Given to a listener at once: so much of each may wait in our memory for a client that reads slowly. */
const MOST_WRITTEN_BYTES = 64 << 10;
const TURN_MS = 3;

/**
 * Docker's events: written to files in order and told to who listens. `emit` only takes them; once a turn of the event loop those of the
 * turn become bytes, one write to the file, and go out. A listener keeps a place in the recent events, no queue of its own, so thousands
 * cost little; one who falls behind all that is kept is cut off. A `kill -9` loses what was emitted in the turn it hit and nothing older, a loss of
 * power the last seconds.
 */
export class EventJournal implements AsyncDisposable {
  readonly #options: EventJournalOptions;
  readonly #files: JournalFiles;
  readonly #listeners = new Set<Listener>();
  /** Not yet written. */
  #fresh: (DockerEvent & { at: Moment })[] = [];
  #recent: Recorded[] = [];
  #recentBytes = 0;
  /** Number of the event after the last of `#recent`. */
  #end = 0;
  #lastMs = 0;
  #sameMs = 0;
  #turn: NodeJS.Immediate | undefined;
  #isRefused = false;

  constructor(options: EventJournalOptions) {
    this.#options = options;
    this.#files = new JournalFiles(join(options.dataDir, 'docker', 'events'), options.limits);
  }

  /** When the newest event was that an earlier agent wrote. */
  get lastBefore(): Moment | undefined {
    return this.#files.last?.at;
  }

  /** Who listens just now. */
  get listenerCount(): number {
    return this.#listeners.size;
  }

  emit(event: DockerEvent): void {
    this.#fresh.push({ ...event, at: this.#now() });
    this.#soon();
  }

  /** Later than the event before by a microsecond at least, unless the machine's time was set back. */
  #now(): Moment {
    const ms = this.#options.clock.now();
    this.#sameMs = ms === this.#lastMs ? this.#sameMs + 1 : 0;
    this.#lastMs = ms;
    const whole = Math.floor(ms);
    return { seconds: Math.floor(whole / 1000), nanos: Math.min((whole % 1000) * 1e6 + this.#sameMs * 1000, 999_999_999) };
  }

  /** From the next event on. */
  listen(passes: (event: Recorded) => boolean, sink: EventSink, { held = false } = {}): EventListener {
    this.#write();
    const listener: Listener = { next: this.#end, passes, sink, isHeld: held };
    this.#listeners.add(listener);
    return {
      resume: () => {
        listener.isHeld = false;
        this.#soon();
      },
      [Symbol.dispose]: () => void this.#listeners.delete(listener),
    };
  }

  /** Tells of each event from the next on, as `emit` does not wait for it. */
  follow(hear: (event: Recorded) => void): Disposable {
    const passes = (event: Recorded) => {
      hear(event);
      return false;
    };
    return this.listen(passes, { write: () => true, cut() {} });
  }

  /** Where the journal ends now, all that was emitted in it. */
  get end(): JournalEnd {
    this.#write();
    return this.#files.end;
  }

  /** What happened before `end`, oldest first. */
  read(since: Moment | undefined, end: JournalEnd): AsyncIterable<Recorded> {
    return this.#files.read(since, end);
  }

  #soon(): void {
    this.#turn ??= setImmediate(() => {
      this.#turn = undefined;
      this.#write();
      this.#deliver();
    });
  }

  #write(): void {
    if (this.#fresh.length === 0) return;
    const recorded = this.#fresh.map(event => ({ ...event, line: toLine(event, event.at) }));
    this.#fresh = [];
    this.#save(recorded.map(({ line }) => line));
    this.#recent.push(...recorded);
    this.#end += recorded.length;
    for (const { line } of recorded) this.#recentBytes += line.length;
    this.#forgetOld();
  }

  /** A full disk loses events for those to come, and says so once. */
  #save(lines: readonly Buffer[]): void {
    try {
      this.#files.append(lines);
      this.#isRefused = false;
    } catch (error) {
      if (!this.#isRefused) this.#options.log.warn('events can not be written and are lost for later readers', { error });
      this.#isRefused = true;
    }
  }

  #forgetOld(): void {
    const { mostBehind = MOST_BEHIND } = this.#options;
    let surplus = 0;
    while (this.#recent.length - surplus > mostBehind || (this.#recentBytes > MOST_RECENT_BYTES && surplus < this.#recent.length))
      this.#recentBytes -= this.#recent[surplus++]?.line.length ?? 0;
    if (surplus > 0) this.#recent.splice(0, surplus);
  }

  /** To each what it has not got yet, for some milliseconds; the rest in later turns. */
  #deliver(): void {
    const until = performance.now() + TURN_MS;
    for (const listener of this.#listeners) {
      if (listener.next === this.#end) continue;
      if (performance.now() > until) {
        this.#soon();
        return;
      }
      this.#advance(listener);
    }
    if (this.#listeners.size === 0 || this.#allAreAtTheEnd()) {
      this.#recent = [];
      this.#recentBytes = 0;
    }
  }

  #allAreAtTheEnd(): boolean {
    for (const { next } of this.#listeners) if (next !== this.#end) return false;
    return true;
  }

  #advance(listener: Listener): void {
    const first = this.#end - this.#recent.length;
    if (listener.next < first) {
      this.#listeners.delete(listener);
      listener.sink.cut();
      return;
    }
    if (listener.isHeld) return;
    const lines: Buffer[] = [];
    for (let bytes = 0; listener.next < this.#end && bytes < MOST_WRITTEN_BYTES; listener.next++) {
      const event = this.#recent[listener.next - first];
      if (!event || !listener.passes(event)) continue;
      lines.push(event.line);
      bytes += event.line.length;
    }
    const [only] = lines;
    if (only) listener.isHeld = !listener.sink.write(lines.length === 1 ? only : Buffer.concat(lines));
    if (listener.next < this.#end && !listener.isHeld) this.#soon();
  }

  /** Writes what there is; who listens is told no more. */
  async [Symbol.asyncDispose](): Promise<void> {
    clearImmediate(this.#turn);
    this.#write();
    this.#listeners.clear();
    this.#files[Symbol.dispose]();
  }
}
