import type { ChildProcess } from 'node:child_process';
import { type Clock, type Log, messageOf } from '#base/index.ts';
import { type Following, followProcess, type ProcessState } from './control-socket.ts';

export interface PeerKeeperOptions {
  /** The peer's control socket. */
  socket: string;
  /** Starts the peer anew. */
  respawn: () => Pick<ChildProcess, 'once'>;
  /** We are to end: nobody is started any more. */
  signal: AbortSignal;
  clock: Clock;
  log: Log;
}

const FIRST_PAUSE_MS = 100;
const LAST_PAUSE_MS = 10_000;
/** For one that was gone before we came: who starts both at once is given the time to. */
const ABSENT_PAUSE_MS = 2_000;
/** A peer that lived this long is started again at once. */
const LIVED_MS = 5_000;

/**
 * Where no init system looks after us, server and agent look after each other: each holds a connection to the other's control socket,
 * whose end says that the other ended. One that said it was stopping is left alone. One that was started again and ended before it
 * listened is started once more.
 */
export class PeerKeeper implements Disposable {
  readonly #options: PeerKeeperOptions;
  readonly #following: Following;
  #restart: Disposable | undefined;
  #pauseMs = FIRST_PAUSE_MS;
  #heardAt: number | undefined;
  /** Since one was started, somebody was heard. */
  #isHeard = false;

  constructor(options: PeerKeeperOptions) {
    this.#options = options;
    this.#following = followProcess(options.socket, {
      onState: () => {
        this.#isHeard = true;
        this.#heardAt ??= options.clock.monotonic();
      },
      onEnd: last => this.#ended(last),
    });
    options.signal.addEventListener('abort', () => this[Symbol.dispose](), { once: true });
  }

  #ended(last: ProcessState | undefined): void {
    const livedMs = this.#heardAt === undefined ? 0 : this.#options.clock.monotonic() - this.#heardAt;
    this.#heardAt = undefined;
    if (last?.state === 'stopping') return;
    if (livedMs > LIVED_MS) this.#pauseMs = FIRST_PAUSE_MS / 2;
    this.#startAgain(`the ${last?.role ?? 'other process'} ended unasked`, last ? 0 : ABSENT_PAUSE_MS, last?.pid);
  }

  #startAgain(what: string, leastMs: number, pid?: number): void {
    const { signal, clock, log } = this.#options;
    if (this.#restart || signal.aborted) return;
    this.#pauseMs = Math.min(this.#pauseMs * 2, LAST_PAUSE_MS);
    const inMs = Math.max(this.#pauseMs, leastMs);
    log.warn(`${what}; it is started again`, { pid, inMs });
    this.#restart = clock.after(inMs, () => {
      this.#restart = undefined;
      // Somebody else may have been quicker.
      if (!this.#following.isConnected) this.#spawn();
    });
  }

  #spawn(): void {
    const { respawn, log } = this.#options;
    this.#isHeard = false;
    try {
      respawn().once('exit', code => {
        if (code !== 0 && !this.#isHeard) this.#startAgain('what was started ended', 0);
      });
    } catch (error) {
      log.error('it could not be started', { error: messageOf(error) });
      this.#startAgain('nothing could be started', 0);
    }
  }

  [Symbol.dispose](): void {
    this.#restart?.[Symbol.dispose]();
    this.#following[Symbol.dispose]();
  }
}
