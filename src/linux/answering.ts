import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { UmiakError } from '#base/errors.ts';

/** File systems that another machine or program serves: one that doesn't answer holds whoever asks, for as long as it likes. */
const SERVED = / - (fuse|fuseblk|fuse\.\S+|nfs4?|cifs|smb3|9p|ceph|glusterfs|lustre|afs|beegfs|gpfs|virtiofs) /;
const PATIENCE_MS = 5_000;

/**
 * Makes sure that looking at these paths holds nobody: where the machine has file systems that are served, another process looks first.
 * Costs nothing elsewhere. What is not there answers too.
 * @throws Timeout when it doesn't come back
 */
export async function requireAnswering(paths: readonly string[], { timeoutMs = PATIENCE_MS } = {}): Promise<void> {
  if (paths.length === 0 || !SERVED.test(readFileSync('/proc/self/mountinfo', 'utf8'))) return;
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const child = execFile('stat', ['-L', '-c', '', '--', ...paths], () => resolve(true));
  // One that even SIGKILL doesn't end is left behind: it ends with what it waits for.
  const timer = setTimeout(() => resolve(false), timeoutMs);
  const isAnswering = await promise;
  clearTimeout(timer);
  if (isAnswering) return;
  child.kill('SIGKILL');
  child.unref();
  throw new UmiakError('Timeout', `${paths.join(', ')}: the file system does not answer`, {
    hint: 'See whether its server is there; else unmount it (umount -l).',
  });
}
