/** Nobody waits longer than this for what is made piece by piece, however much of it is under way at once. */
const SLICE_MS = 2;

/** Work that waits for a turn of its own, the longest first. */
const waiting: (() => void)[] = [];
/** When the slice of the present turn is over; undefined before its first piece of work. */
let endsAt: number | undefined;

/** The items; the event loop turns between slices of them, so that long work holds up nobody. */
export async function* inSlices<T>(items: Iterable<T>): AsyncGenerator<T> {
  for (const item of items) {
    yield item;
    if (isSliceOver()) await nextSlice();
  }
}

/** Takes all the steps of long work, in slices; gives what it comes to. */
export async function runInSlices<T>(steps: Generator<unknown, T>): Promise<T> {
  for (let step = steps.next(); ; step = steps.next()) {
    if (step.done) return step.value;
    if (isSliceOver()) await nextSlice();
  }
}

/** Takes all the steps at once: for what is known to be short. */
export function runAtOnce<T>(steps: Generator<unknown, T>): T {
  for (let step = steps.next(); ; step = steps.next()) if (step.done) return step.value;
}

/** Whether others are to have their turn before more is done: all work within one turn shares one slice. */
export function isSliceOver(): boolean {
  if (endsAt !== undefined) return performance.now() >= endsAt;
  begin();
  return false;
}

/** Has what follows in this turn count as part of its slice: before work that can't be sliced itself. */
export function beginSlice(): void {
  if (endsAt === undefined) begin();
}

/** Resolves in a turn that is the caller's. */
export function nextSlice(): Promise<void> {
  if (endsAt === undefined) begin();
  const { promise, resolve } = Promise.withResolvers<void>();
  waiting.push(resolve);
  return promise;
}

function begin(): void {
  endsAt = performance.now() + SLICE_MS;
  setImmediate(turn);
}

function turn(): void {
  endsAt = undefined;
  if (waiting.length === 0) return;
  begin();
  giveWay();
}

/** The turn goes to whoever has waited longest, and what they leave of it to the next. */
function giveWay(): void {
  waiting.shift()?.();
  const whenTheyAreDone = () => process.nextTick(() => waiting.length > 0 && !isSliceOver() && giveWay());
  queueMicrotask(whenTheyAreDone);
}
