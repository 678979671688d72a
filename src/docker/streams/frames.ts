import type { Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { writeFrame } from '#engine/log-renderer.ts';

export const RAW = 'application/vnd.docker.raw-stream';
export const MULTIPLEXED = 'application/vnd.docker.multiplexed-stream';
/** The first version that tells one from the other. */
const MULTIPLEXED_SINCE_MINOR = 42;

/** Docker's number of each stream in a frame's header. */
export type FrameStream = 1 | 2;

/** What an answer with a container's streams is called. Pure. */
export function planContentType({ tty, apiMinor }: { tty: boolean; apiMinor: number }): string {
  return !tty && apiMinor >= MULTIPLEXED_SINCE_MINOR ? MULTIPLEXED : RAW;
}

/** One frame: docker's header and the bytes. */
export function toFrame(stream: FrameStream, bytes: Buffer): Buffer {
  const frame = Buffer.allocUnsafe(8 + bytes.length);
  writeFrame(frame, 0, stream, bytes.length);
  bytes.copy(frame, 8);
  return frame;
}

/** Of what a pipe gives at a time, and how long the next is then left to gather in it. */
const LITTLE_BYTES = 16 << 10;
const GATHER_MS = 1;

export interface PumpOptions {
  /** Frames it as this one. */
  stream?: FrameStream | undefined;
  /**
   * It comes from a pipe: little by little in quick succession it is let gather there, since a call and a wake of the client for each of
   * its writes costs more than the bytes.
   */
  gathers?: boolean | undefined;
}

/** Writes all that is read, as fast as it is taken; when nobody takes it any more it is read all the same. */
export async function pump(from: Readable, to: Writable, { stream, gathers = false }: PumpOptions = {}): Promise<void> {
  let lastMs = 0;
  try {
    for await (const chunk of from as AsyncIterable<Buffer>) {
      if (to.destroyed || to.writableEnded) continue;
      if (!writeChunk(to, chunk, stream)) await drained(to);
      if (!gathers || chunk.length >= LITTLE_BYTES) continue;
      if (performance.now() - lastMs < GATHER_MS) await sleep(GATHER_MS);
      lastMs = performance.now();
    }
  } catch {
    // It broke off: that is its end.
  }
}

function writeChunk(to: Writable, chunk: Buffer, stream: FrameStream | undefined): boolean {
  if (stream === undefined) return to.write(chunk);
  const header = Buffer.allocUnsafe(8);
  writeFrame(header, 0, stream, chunk.length);
  to.cork();
  to.write(header);
  const goesOn = to.write(chunk);
  to.uncork();
  return goesOn;
}

/** Resolves when more is taken, or nothing ever. */
export async function drained(to: Writable): Promise<void> {
  if (to.destroyed || !to.writableNeedDrain) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const done = () => {
    to.off('drain', done);
    to.off('close', done);
    resolve();
  };
  to.on('drain', done);
  to.on('close', done);
  await promise;
}
