import { Readable } from 'node:stream';
import { UmiakError } from '#base/errors.ts';
import { spend, spending } from '#base/spent.ts';
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

/** What comes from `source`, and is nobody else's, a call reads. */
export async function send(call: Call, source: AsyncIterable<Uint8Array>, patience: Patience): Promise<void> {
  await together(call, pipe => fill(pipe, source, patience.patienceMs), patience);
}

async function fill(pipe: SharedPipe, source: AsyncIterable<Uint8Array>, patienceMs: number): Promise<void> {
  const slots = new SlotFiller(pipe, patienceMs);
  if (source instanceof Readable) await pump(source, slots);
  else for await (const chunk of spending(source)) if (!slots.tryAdd(chunk)) await slots.add();
  await slots.end();
}

/** By events, as they come: to iterate over a stream copies what has gathered once more. */
async function pump(source: Readable, slots: SlotFiller): Promise<void> {
  if (source.readableEnded) return; // an empty body, already seen to be one: no event comes any more
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const take = (chunk: Uint8Array) => {
    try {
      if (slots.tryAdd(chunk)) return spend(chunk);
      source.pause();
      slots.add().then(() => {
        spend(chunk);
        source.resume();
      }, reject);
    } catch (error) {
      reject(error);
    }
  };
  const cut = () => reject(new UmiakError('Gone', 'the archive ends in the middle'));
  source.on('data', take).once('end', resolve).once('error', reject).once('close', cut);
  try {
    await promise;
  } finally {
    source.off('data', take).off('end', resolve).off('error', reject).off('close', cut);
  }
}

/** Gathers chunks in the pipe's slots. */
class SlotFiller {
  readonly #pipe: SharedPipe;
  readonly #patienceMs: number;
  #room: Buffer | undefined;
  #used = 0;
  #rest: Uint8Array | undefined;

  constructor(pipe: SharedPipe, patienceMs: number) {
    this.#pipe = pipe;
    this.#patienceMs = patienceMs;
  }

  /** False when there is no room for all of it: `add` then adds the rest, and resolves when it has. @throws Gone */
  tryAdd(chunk: Uint8Array): boolean {
    for (let at = 0; at < chunk.length; ) {
      this.#room ??= this.#pipe.freeRoom();
      if (this.#room === undefined) {
        this.#rest = chunk.subarray(at);
        return false;
      }
      const length = Math.min(chunk.length - at, this.#room.length - this.#used);
      this.#room.set(chunk.subarray(at, at + length), this.#used);
      at += length;
      this.#used += length;
      if (this.#used === this.#room.length) this.#publish();
    }
    return true;
  }

  async add(): Promise<void> {
    for (let rest = this.#rest; rest !== undefined; rest = this.#rest) {
      this.#rest = undefined;
      this.#room = await this.#pipe.room(this.#patienceMs);
      this.tryAdd(rest);
    }
  }

  async end(): Promise<void> {
    if (this.#used > 0) this.#publish();
    await this.#pipe.finish(this.#patienceMs);
  }

  #publish(): void {
    this.#pipe.publish(this.#used);
    [this.#room, this.#used] = [undefined, 0];
  }
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
