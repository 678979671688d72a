import { UmiakError } from '#base/index.ts';

/** What `work` gives, or at once an error when `signal` says that nobody waits for it any more. @throws `Conflict` then */
export async function orLeft<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const left = Promise.withResolvers<never>();
  const leave = () => left.reject(new UmiakError('Conflict', 'the pod is to end'));
  if (signal.aborted) leave();
  signal.addEventListener('abort', leave, { once: true });
  try {
    return await Promise.race([work, left.promise]);
  } finally {
    signal.removeEventListener('abort', leave);
  }
}
