import { setImmediate as nextTurn } from 'node:timers/promises';

/** Nobody waits longer than this for what is made piece by piece. */
const SLICE_MS = 4;

/** The items; the event loop turns between slices of them, so that long work holds up nobody. */
export async function* inSlices<T>(items: Iterable<T>): AsyncGenerator<T> {
  let began = performance.now();
  for (const item of items) {
    yield item;
    if (performance.now() - began < SLICE_MS) continue;
    await nextTurn();
    began = performance.now();
  }
}
