import { closeSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parentPort } from 'node:worker_threads';
import { messageOf, type Reason, UmiakError } from '#base/errors.ts';
import { syncFileSystem } from '#linux/file-attributes.ts';
import type { Digest } from './digest.ts';
import { type UnpackResult, unpackLayer } from './unpack.ts';
import type { UnpackLimits } from './unpack-limits.ts';

/** What the main thread asks of a worker, one at a time. */
export type UnpackRequest =
  /** Unpack the blob to `<dir>/fs`, which is not there yet; whoever asked removes `dir` after a failure. */
  | { op: 'unpack'; blobPath: string; dir: string; diffId: Digest; limits?: UnpackLimits | undefined }
  /** Write the file system that holds `dir` back to the disk, then mark the layer there as durable. */
  | { op: 'sync'; dir: string };

export type UnpackReply = { result: UnpackResult | undefined } | { error: { reason: Reason; message: string; hint?: string } };

/** Lies beside a layer's `fs` and says what it takes of the disk. */
export const usageFile = 'usage';

/** Lies beside a layer's `fs` once the layer is known to be on the disk. */
export const durableMark = 'durable';

async function answer(request: UnpackRequest): Promise<UnpackReply> {
  try {
    return { result: request.op === 'unpack' ? await unpack(request) : sync(request.dir) };
  } catch (error) {
    const { reason, hint } = error instanceof UmiakError ? error : { reason: 'InternalError' as const, hint: undefined };
    return { error: { reason, message: messageOf(error), ...(hint !== undefined ? { hint } : {}) } };
  }
}

async function unpack({ blobPath, dir, diffId, limits }: UnpackRequest & { op: 'unpack' }): Promise<UnpackResult> {
  mkdirSync(join(dir, 'fs'), { mode: 0o755 });
  const result = await unpackLayer(blobPath, join(dir, 'fs'), { expected: diffId, ...(limits ? { limits } : {}) });
  writeFileSync(join(dir, usageFile), JSON.stringify({ bytes: result.diskBytes, inodes: result.inodes }));
  return result;
}

function sync(dir: string): undefined {
  const fd = openSync(dir, 'r');
  try {
    syncFileSystem(fd);
    writeFileSync(join(dir, durableMark), '', { flush: true });
  } finally {
    closeSync(fd);
  }
}

parentPort?.on('message', async (request: UnpackRequest) => parentPort?.postMessage(await answer(request)));
