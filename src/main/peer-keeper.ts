import { watch } from 'node:fs';
import { basename, dirname } from 'node:path';
import { type Clock, type Log, messageOf } from '#base/index.ts';
import { listenTo, type ProcessState } from './control-socket.ts';

export interface PeerKeeperOptions {
  /** The peer's control socket. */
  socket: string;
  /** Starts the peer anew. */
  respawn: () => void;
  /** We are to end: nobody is started any more. */
  signal: AbortSignal;
  clock: Clock;
  log: Log;
}

const FIRST_PAUSE_MS = 100;
const LAST_PAUSE_MS = 10_000;
/** A peer that lived this long is started again at once. */
const LIVED_MS = 30_000;

/**
 * Where no init system looks after us, server and agent look after each other: each holds a connection to the other's control socket,
 * whose end says that the other ended. One that said it was stopping is left alone.
 */
export class PeerKeeper implements Disposable {
  readonly #options: PeerKeeperOptions;
  readonly #abort = new AbortController();
  readonly #watcher: { close(): void };
  #connected = false;
  #pauseMs = FIRST_PAUSE_MS;

  constructor(options: PeerKeeperOptions) {
    this.#options = options;
    options.signal.addEventListener('abort', () => this[Symbol.dispose](), { once: true, signal: this.#abort.signal });
    const watcher = watch(dirname(options.socket), (_event, name) => {
      if (name === basename(options.socket)) void this.#connect();
    });
    watcher.unref();
    this.#watcher = watcher;
    void this.#connect();
  }

  async #connect(): Promise<void> {
    const { socket, clock, log, respawn } = this.#options;
    if (this.#connected || this.#abort.signal.aborted) return;
    this.#connected = true;
    let last: ProcessState | undefined;
    const since = clock.monotonic();
    const listening = await listenTo(
      socket,
      state => {
        last = state;
      },
      this.#abort.signal,
    );
    await listening?.ended;
    this.#connected = false;
    if (!listening || this.#abort.signal.aborted || last?.state === 'stopping') return;
    this.#pauseMs = clock.monotonic() - since > LIVED_MS ? FIRST_PAUSE_MS : Math.min(this.#pauseMs * 2, LAST_PAUSE_MS);
    log.warn(`the ${last?.role ?? 'other process'} ended unasked; it is started again`, { pid: last?.pid, inMs: this.#pauseMs });
    clock.after(this.#pauseMs, () => {
      // Somebody else may have been quicker.
      if (this.#abort.signal.aborted || this.#connected) return;
      try {
        respawn();
      } catch (error) {
        log.error('it could not be started', { error: messageOf(error) });
      }
    });
  }

  [Symbol.dispose](): void {
    this.#abort.abort();
    this.#watcher.close();
  }
}
