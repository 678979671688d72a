/** A signal that is pending ends a transaction before it began; so many in a row are not by chance. */
const MOST = 20;
const INTERRUPTED = /Interrupted system call/;

/** What a transaction came to that no signal to its thread ended: the kernel does nothing of one that a signal meets. */
export function uninterrupted<T extends { error: string }>(run: () => T): T {
  for (let tries = 1; ; tries++) {
    const result = run();
    if (tries === MOST || !INTERRUPTED.test(result.error)) return result;
  }
}
