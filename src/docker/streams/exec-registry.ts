import { randomBytes } from 'node:crypto';
import type { Clock } from '#base/clock.ts';
import { UmiakError } from '#base/errors.ts';
import type { ExecOptions, ExecSession } from '#engine/index.ts';

/** Docker forgets what has ended after five to ten minutes. */
const REMEMBERED_MS = 5 * 60_000;
/** Of one container, waiting to be started or running. */
const MOST_OF_ONE = 10_000;
/** That have ended; the oldest goes first. */
const MOST_ENDED = 10_000;

/** What is asked for when an exec is made. */
export interface ExecConfig {
  containerId: string;
  attach: { stdin: boolean; stdout: boolean; stderr: boolean };
  tty: boolean;
  command: string[];
  env: string[];
  privileged: boolean;
  user: string;
  workingDir: string;
  detachKeys: Buffer;
  /** As it was written. */
  detachKeysText: string;
  size: ExecOptions['size'];
}

export interface Exec extends ExecConfig {
  id: string;
  state: 'created' | 'running' | 'ended';
  session?: ExecSession;
  exitCode?: number;
}

/** The execs that can be asked about: none of a container that is gone, and those that ended for some minutes only. */
export class ExecRegistry implements Disposable {
  readonly #clock: Clock;
  readonly #execs = new Map<string, Exec>();
  readonly #ofContainer = new Map<string, Set<Exec>>();
  /** Oldest first. */
  readonly #ended = new Map<Exec, Disposable>();

  constructor({ clock }: { clock: Clock }) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#execs.size;
  }

  /** @throws TooManyRequests */
  add(config: ExecConfig): Exec {
    const { containerId } = config;
    const others = this.#ofContainer.get(containerId) ?? new Set();
    if (others.size >= MOST_OF_ONE)
      throw new UmiakError('TooManyRequests', `container ${containerId} has ${MOST_OF_ONE} execs that were not started or still run`);
    const exec: Exec = { ...config, id: randomBytes(32).toString('hex'), state: 'created' };
    this.#execs.set(exec.id, exec);
    this.#ofContainer.set(containerId, others.add(exec));
    return exec;
  }

  /** @throws NotFound in docker's words */
  need(id: string): Exec {
    const exec = this.#execs.get(id);
    if (!exec) throw new UmiakError('NotFound', `No such exec instance: ${id}`, { details: { kind: 'exec', name: id } });
    return exec;
  }

  /** It has run, or can't. */
  end(exec: Exec, exitCode: number): void {
    exec.state = 'ended';
    exec.exitCode = exitCode;
    delete exec.session;
    this.#leave(exec);
    if (!this.#execs.has(exec.id)) return;
    this.#ended.set(
      exec,
      this.#clock.after(REMEMBERED_MS, () => this.#forget(exec)),
    );
    for (const [oldest] of this.#ended) {
      if (this.#ended.size <= MOST_ENDED) break;
      this.#forget(oldest);
    }
  }

  /** Those that run or wait to be started. */
  idsOf(containerId: string): string[] {
    return [...(this.#ofContainer.get(containerId) ?? [])].map(({ id }) => id);
  }

  /** Their container has ended: what was not started never will be. */
  dropWaiting(containerId: string): void {
    for (const exec of this.#ofContainer.get(containerId) ?? []) if (exec.state === 'created') this.#forget(exec);
  }

  /** Their container is gone. */
  dropAll(containerId: string): void {
    for (const exec of this.#execs.values()) if (exec.containerId === containerId) this.#forget(exec);
  }

  #leave(exec: Exec): void {
    const others = this.#ofContainer.get(exec.containerId);
    others?.delete(exec);
    if (others?.size === 0) this.#ofContainer.delete(exec.containerId);
  }

  #forget(exec: Exec): void {
    this.#ended.get(exec)?.[Symbol.dispose]();
    this.#ended.delete(exec);
    this.#execs.delete(exec.id);
    this.#leave(exec);
  }

  [Symbol.dispose](): void {
    for (const timer of this.#ended.values()) timer[Symbol.dispose]();
  }
}
