import { UmiakError } from '#base/errors.ts';

export type WaitCondition = 'not-running' | 'next-exit' | 'removed';

interface Waiter {
  condition: WaitCondition;
  resolve: (exitCode: number) => void;
}

/** @throws BadRequest in docker's words */
export function parseCondition(text: string | null): WaitCondition {
  if (text === null || text === '' || text === 'not-running') return 'not-running';
  if (text === 'next-exit' || text === 'removed') return text;
  throw new UmiakError('BadRequest', `invalid condition: ${JSON.stringify(text.slice(0, 64))}`);
}

/** Who waits for the end of which container. */
export class Waits {
  readonly #waiters = new Map<string, Set<Waiter>>();

  /** Resolves with the exit code; rejects with the signal's reason when whoever waits has left. */
  wait(id: string, condition: WaitCondition, signal: AbortSignal): Promise<number> {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const waiters = this.#waiters.get(id) ?? new Set();
    this.#waiters.set(id, waiters);
    const leave = () => {
      waiters.delete(waiter);
      if (waiters.size === 0 && this.#waiters.get(id) === waiters) this.#waiters.delete(id);
    };
    const waiter: Waiter = { condition, resolve };
    const abandon = () => {
      leave();
      reject(signal.reason);
    };
    waiters.add(waiter);
    signal.addEventListener('abort', abandon, { once: true });
    if (signal.aborted) abandon();
    return promise.finally(() => {
      signal.removeEventListener('abort', abandon);
      leave();
    });
  }

  /** A run has ended, whether or not another one follows. */
  ended(id: string, exitCode: number): void {
    this.#tell(id, exitCode, condition => condition !== 'removed');
  }

  /** It is gone. Whoever waits for a next exit waits for nothing. */
  removed(id: string, exitCode: number): void {
    this.#tell(id, exitCode, () => true);
  }

  #tell(id: string, exitCode: number, concerns: (condition: WaitCondition) => boolean): void {
    for (const { condition, resolve } of this.#waiters.get(id) ?? []) if (concerns(condition)) resolve(exitCode);
  }
}
