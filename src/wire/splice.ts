import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/** How long the end of one side may take to reach the other after the first is gone. */
const FLUSH_MS = 30_000;

/**
 * Joins two connections: what one says the other hears, as fast as it listens, and the end of one direction leaves the other open.
 * Resolves when both are gone; a broken one takes the other with it.
 */
export async function splice(left: Duplex, right: Duplex): Promise<void> {
  const gone = [left, right].map(stream => new Promise<void>(resolve => (stream.closed ? resolve() : stream.once('close', resolve))));
  for (const [one, other] of [
    [left, right],
    [right, left],
  ] as const) {
    (one as Socket).allowHalfOpen = true;
    one.on('error', () => other.destroy());
    one.once('close', () => {
      // What it said before it ended in order still goes through.
      if (!one.readableEnded || other.writableFinished) return void other.destroy();
      const late = setTimeout(() => other.destroy(), FLUSH_MS);
      late.unref();
      other.once('finish', () => other.destroy());
      other.once('close', () => clearTimeout(late));
    });
    one.pipe(other);
  }
  if (left.closed || left.destroyed) right.destroy();
  if (right.closed || right.destroyed) left.destroy();
  await Promise.all(gone);
}
