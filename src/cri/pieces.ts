/** Of a streamed list in one message. */
const ITEMS_A_MESSAGE = 100;

/** A list in the pieces that a stream of messages carries. */
export function* inPieces<T>(all: readonly T[], size = ITEMS_A_MESSAGE): Generator<T[]> {
  for (let at = 0; at < all.length; at += size) yield all.slice(at, at + size);
}
