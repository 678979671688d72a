import { type Clock, messageOf, UmiakError } from '#base/index.ts';

export interface ReadinessOptions {
  clock: Clock;
  /** How long an answer may take to come, over all tries; default 20 s. */
  withinMs?: number;
}

const AGAIN_MS = 100;

/**
 * Asks everything that a node can't do without, side by side, each again until it answers. @throws `Timeout` naming what did not and why
 */
export async function untilAnswering(
  questions: Readonly<Record<string, () => Promise<unknown>>>,
  { clock, withinMs = 20_000 }: ReadinessOptions,
): Promise<void> {
  const endMs = clock.monotonic() + withinMs;
  const ask = async (what: string, question: () => Promise<unknown>) => {
    for (;;) {
      try {
        await question();
        return;
      } catch (cause) {
        if (clock.monotonic() + AGAIN_MS > endMs)
          throw new UmiakError('Timeout', `the node is not ready: its ${what} does not answer: ${messageOf(cause)}`, { cause });
      }
      await new Promise<void>(resolve => void clock.after(AGAIN_MS, resolve));
    }
  };
  await Promise.all(Object.entries(questions).map(([what, question]) => ask(what, question)));
}
