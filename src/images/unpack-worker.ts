import { closeSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parentPort } from 'node:worker_threads';
import { messageOf, type Reason, UmiakError } from '#base/errors.ts';
import { syncFileSystem } from '#linux/file-attributes.ts';
import { type CommitRequest, type CommitResult, commitLayer } from './commit-layer.ts';
import type { Digest } from './digest.ts';
import { type UnpackResult, unpackLayer } from './unpack.ts';
import type { UnpackLimits } from './unpack-limits.ts';

/** What the main thread asks of a worker, one at a time. */
export type UnpackRequest =
  /** Unpack the blob to `<dir>/fs`, which is not there yet; whoever asked removes `dir` after a failure. */
  | { op: 'unpack'; blobPath: string; dir: string; diffId: Digest; limits?: UnpackLimits | undefined }
  /** Write the file system that holds `dir` back to the disk, then mark the layer there as durable. */
  | { op: 'sync'; dir: string }
  /** Make a layer of a directory; `dir` is where its unpacked form comes, as for `unpack`. */
  | ({ op: 'commit'; dir: string } & Omit<CommitRequest, 'target'> & { takes: boolean });

/** What comes of each. */
export interface UnpackResults {
  unpack: UnpackResult;
  sync: undefined;
  commit: CommitResult;
}

export type UnpackReply = { result: UnpackResults[keyof UnpackResults] } | { error: { reason: Reason; message: string; hint?: string } };

/** Lies beside a layer's `fs` and says what it takes of the disk. */
export const usageFile = 'usage';

/** Lies beside a layer's `fs` once the layer is known to be on the disk. */
export const durableMark = 'durable';

async function answer(request: UnpackRequest): Promise<UnpackReply> {
  try {
    if (request.op === 'unpack') return { result: await unpack(request) };
    return { result: request.op === 'commit' ? commit(request) : sync(request.dir) };
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

function commit({ dir, takes, ...request }: UnpackRequest & { op: 'commit' }): CommitResult {
  const result = commitLayer({ ...request, ...(takes ? { target: join(dir, 'fs') } : {}) });
  if (result.isMoved) writeFileSync(join(dir, usageFile), JSON.stringify({ bytes: result.diskBytes, inodes: result.inodes }));
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
