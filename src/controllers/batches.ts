/**
 * Takes the steps 1, 2, 4, … at a time until one fails: what can't work is not tried hundreds of times.
 * Returns the first failure of the batch that ended it.
 */
export async function inGrowingBatches(steps: readonly (() => Promise<void>)[], first = 1): Promise<Error | undefined> {
  for (let from = 0, size = first; from < steps.length; from += size, size *= 2) {
    const failure = await together(steps.slice(from, from + size));
    if (failure) return failure;
  }
  return undefined;
}

/** Takes all steps at the same time; returns the first failure when all have ended. */
export async function together(steps: readonly (() => Promise<void>)[]): Promise<Error | undefined> {
  const results = await Promise.allSettled(steps.map(step => step()));
  const failed = results.find(result => result.status === 'rejected');
  if (!failed) return undefined;
  return failed.reason instanceof Error ? failed.reason : new Error(String(failed.reason));
}
