import { UmiakError } from '#base/errors.ts';
import { SharedPipe } from './shared-pipe.ts';

/** Until when an answer is waited for. */
export interface Patience {
  signal: AbortSignal | undefined;
  /** How long a file system may keep us waiting for anything at all. */
  patienceMs: number;
}

/** A call of another thread that writes to or reads from a pipe. */
type Call = (memory: SharedArrayBuffer) => Promise<unknown>;

/** What a thread answers, unless nobody waits any more or it is held. @throws Timeout */
export async function answered<T>(call: Promise<T>, { signal, patienceMs }: Patience): Promise<T> {
  const timeout = AbortSignal.timeout(patienceMs);
  const given = signal ? AbortSignal.any([signal, timeout]) : timeout;
  const { promise, reject } = Promise.withResolvers<never>();
  const leave = () => reject(signal?.aborted ? signal.reason : new UmiakError('Timeout', "the container's files do not answer"));
  given.addEventListener('abort', leave, { once: true });
  if (given.aborted) leave();
  try {
    return await Promise.race([call, promise]);
  } finally {
    given.removeEventListener('abort', leave);
  }
}

/** What a call writes goes to `use`. */
export async function receive(call: Call, use: (chunks: AsyncIterable<Buffer>) => Promise<void>, patience: Patience): Promise<void> {
  await together(call, pipe => use(pipe.read(patience.patienceMs)), patience);
}

/** What comes from `source` a call reads. */
export async function send(call: Call, source: AsyncIterable<Uint8Array>, patience: Patience): Promise<void> {
  await together(call, pipe => fill(pipe, source, patience.patienceMs), patience);
}

async function fill(pipe: SharedPipe, source: AsyncIterable<Uint8Array>, patienceMs: number): Promise<void> {
  let room: Buffer | undefined;
  let used = 0;
  for await (const chunk of source)
    for (let at = 0; at < chunk.length; ) {
      room ??= await pipe.room(patienceMs);
      const length = Math.min(chunk.length - at, room.length - used);
      room.set(chunk.subarray(at, at + length), used);
      at += length;
      used += length;
      if (used < room.length) continue;
      pipe.publish(used);
      [room, used] = [undefined, 0];
    }
  if (used > 0) pipe.publish(used);
  await pipe.finish(patienceMs);
}

/** Both ends until both are done; the first that fails ends the other, and is what is thrown. */
async function together(call: Call, own: (pipe: SharedPipe) => Promise<void>, { signal }: Patience): Promise<void> {
  signal?.throwIfAborted();
  const pipe = new SharedPipe();
  const { promise: failed, reject } = Promise.withResolvers<never>();
  failed.catch(() => {});
  const leave = () => reject(signal?.reason);
  signal?.addEventListener('abort', leave, { once: true });
  const theirs = call(pipe.memory);
  theirs.catch(reject);
  const ours = own(pipe);
  ours.catch(reject);
  try {
    await Promise.race([Promise.all([ours, theirs]), failed]);
  } catch (error) {
    pipe.break();
    throw error;
  } finally {
    signal?.removeEventListener('abort', leave);
  }
}
