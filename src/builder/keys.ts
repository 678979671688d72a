import { createHash } from 'node:crypto';
import type { CopyOperation, Operation, RunOperation } from './graph.ts';

/** What the cache knows results by. A change of what any of them says is a new version. */
const VERSION = 'umiak-build-1';

function hashOf(...parts: unknown[]): string {
  return createHash('sha256')
    .update(JSON.stringify([VERSION, ...parts]))
    .digest('hex');
}

/** An image's file system: the same layers are the same. */
export function imageResultId(diffIds: readonly string[]): string {
  return `image:${hashOf('image', diffIds)}`;
}

/** A command, where and as whom it runs, over what. Proxies and limits don't count. */
export function runKey({ args, env, workingDir, user }: RunOperation, baseId: string): string {
  return hashOf('run', args, env, workingDir, user, baseId);
}

/** A copy by the content that it brings. */
export function copyKey({ destination, chown = '', mode = -1, unpacks }: CopyOperation, contentDigest: string, baseId: string): string {
  return hashOf('copy', destination, chown, mode, unpacks, contentDigest, baseId);
}

/** A copy from a result that is known, its content not looked at. */
export function copyFromKey(operation: CopyOperation, paths: readonly string[], sourceId: string, baseId: string): string {
  const { destination, chown = '', mode = -1, unpacks } = operation;
  return hashOf('copy-from', destination, chown, mode, unpacks, paths, sourceId, baseId);
}

/** A directory, or a change of the configuration. */
export function plainKey(operation: Exclude<Operation, { kind: 'run' | 'copy' | 'image' }>, baseId: string): string {
  return operation.kind === 'mkdir' ? hashOf('mkdir', operation.path, baseId) : hashOf('config', operation.change, baseId);
}
