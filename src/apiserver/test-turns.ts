/** For tests of how long work holds up the event loop: in CPU time, so that other processes on the machine do not count. */

/** What the turns of a piece of work took. */
export interface Turns {
  longestMs: number;
  /** All of them together. */
  wholeMs: number;
}

/** Runs `work` and measures every turn of the event loop that it takes. */
export async function measureTurns(work: () => Promise<unknown>): Promise<Turns> {
  const turns: Turns = { longestMs: 0, wholeMs: 0 };
  let before = process.threadCpuUsage();
  let isOver = false;
  const { promise, resolve } = Promise.withResolvers<void>();
  const turn = () => {
    const now = process.threadCpuUsage();
    const took = (now.user + now.system - before.user - before.system) / 1000;
    turns.longestMs = Math.max(turns.longestMs, took);
    turns.wholeMs += took;
    before = now;
    if (isOver) resolve();
    else setImmediate(turn);
  };
  setImmediate(turn);
  try {
    await work();
  } finally {
    isOver = true;
    await promise;
  }
  return turns;
}
