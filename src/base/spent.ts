import type { Writable } from 'node:stream';

/** Shorter ones are no burden, and may be somebody's constants. */
const LEAST_BYTES = 16 << 10;

export interface SpendOptions {
  /** A chunk is alone in its memory, though it may not fill it. */
  isAlone?: boolean;
}

/**
 * Gives the memory of a chunk back at once. What a gigabyte of them leaves behind stays until the next collection otherwise: tens of megabytes, and
 * each chunk in fresh pages. Nobody may look at it afterwards. Does nothing to what seems to share its memory with others.
 */
export function spend(chunk: Uint8Array, { isAlone = false }: SpendOptions = {}): void {
  const { buffer, byteLength } = chunk;
  if (!(buffer instanceof ArrayBuffer)) return;
  // Small buffers are parts of a pool's, and none of them fills one.
  if (isAlone ? buffer.byteLength > 2 * Buffer.poolSize : byteLength >= LEAST_BYTES && byteLength === buffer.byteLength) buffer.transfer(0);
}

/** The chunks of a source that nobody else looks at; each is there until the next one is asked for. */
export async function* spending(
  source: AsyncIterable<Uint8Array>,
  options: SpendOptions = {},
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const chunk of source) {
    yield chunk;
    spend(chunk, options);
  }
}

export interface SendOptions {
  /** Aborts when nobody takes it any more. */
  signal: AbortSignal;
}

/** Writes a body as fast as it is taken, and asks for a chunk when the one before has gone to the other side. Does not end it. @throws the reason of `signal` */
export async function sendChunks(to: Writable, source: AsyncIterable<Uint8Array>, { signal }: SendOptions): Promise<void> {
  let fail: (reason: unknown) => void = () => {};
  const leave = () => fail(signal.reason);
  signal.addEventListener('abort', leave, { once: true });
  try {
    for await (const chunk of source) {
      signal.throwIfAborted();
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      fail = reject;
      to.write(chunk, error => (error ? reject(error) : resolve()));
      await promise;
    }
  } finally {
    signal.removeEventListener('abort', leave);
  }
}
