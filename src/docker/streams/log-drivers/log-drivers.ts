import { isUmiakError } from '#base/errors.ts';
import type { Container } from '#engine/index.ts';
import { JOURNAL_SOCKET, planLogBounds } from '../log-config.ts';
import type { StreamsRoom } from '../room.ts';
import { Forwarder } from './forwarder.ts';
import { LogBoundsKeeper } from './log-bounds-keeper.ts';

/** Does with docker's containers' logs what their log drivers say, while they run: keeps them within bounds, sends them on. */
export class LogDrivers implements AsyncDisposable {
  readonly #room: StreamsRoom;
  readonly #journalSocket: string;
  readonly #keepers = new Map<string, LogBoundsKeeper>();
  readonly #forwarders = new Map<string, Forwarder>();
  /** Whose next run waits for what a former one still has to send. */
  readonly #waiting = new Set<string>();
  readonly #subscription: Disposable;
  #isDisposed = false;

  constructor(room: StreamsRoom, { journalSocket = JOURNAL_SOCKET }: { journalSocket?: string | undefined } = {}) {
    this.#room = room;
    this.#journalSocket = journalSocket;
    this.#subscription = room.engine.subscribe(event => {
      if (event.type !== 'container' || event.container.owner !== 'docker') return;
      if (event.action === 'started') this.#begin(event.container);
      if (event.action === 'exited') this.#end(event.container.id);
      if (event.action === 'removed') this.#forwarders.get(event.container.id)?.hurry();
    });
  }

  /** Goes on with those that a former agent left. Some may have ended since then, with something said that was not sent. */
  resume(): void {
    for (const container of this.#room.engine.containers({ owner: 'docker' })) if (container.state !== 'created') this.#begin(container);
  }

  #begin({ id, state }: Container): void {
    const container = this.#find(id);
    const { logPath } = container?.engine ?? {};
    if (!container || logPath === undefined) return;
    const { engine, clock, log } = this.#room;
    const { LogConfig } = container.data.hostConfig;
    const bounds = planLogBounds(LogConfig);
    this.#end(id);
    if (bounds && state === 'running') this.#keepers.set(id, new LogBoundsKeeper({ id, logPath, bounds, engine, clock, log }));
    if (LogConfig.Type === 'syslog' || LogConfig.Type === 'journald') void this.#forward(id);
  }

  /** What a former run still has to send goes first; then one goes on for all the runs that there were meanwhile. */
  async #forward(id: string): Promise<void> {
    const before = this.#forwarders.get(id);
    if (before) {
      if (this.#waiting.has(id)) return;
      this.#waiting.add(id);
      await before.done;
      this.#waiting.delete(id);
    }
    const container = this.#find(id);
    if (!container || this.#isDisposed) return;
    const { engine, log } = this.#room;
    const forwarder = new Forwarder({ container, engine, journalSocket: this.#journalSocket, log });
    this.#forwarders.set(id, forwarder);
    await forwarder.done;
    if (this.#forwarders.get(id) === forwarder) this.#forwarders.delete(id);
  }

  #find(id: string) {
    try {
      return this.#room.containers.find(id);
    } catch (error) {
      if (isUmiakError(error, 'NotFound')) return undefined;
      throw error;
    }
  }

  #end(id: string): void {
    this.#keepers.get(id)?.[Symbol.dispose]();
    this.#keepers.delete(id);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isDisposed = true;
    this.#subscription[Symbol.dispose]();
    for (const id of [...this.#keepers.keys()]) this.#end(id);
    await Promise.all([...this.#forwarders.values()].map(forwarder => forwarder[Symbol.asyncDispose]()));
  }
}
