import { execFile } from 'node:child_process';
import { readdirSync, readFileSync, statfsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { UmiakError } from '#base/errors.ts';

/** File systems that another machine or program serves: one that doesn't answer holds whoever asks, for as long as it likes. */
const KINDS = 'fuse|fuseblk|nfs4?|cifs|smb3|9p|ceph|lustre|afs|beegfs|gpfs|virtiofs';
const SERVED = new RegExp(` - (${KINDS}|fuse\\.\\S+) `);
const IN_KERNEL = new RegExp(`\\t(${KINDS})$`, 'gm');
const FUSE_CONNECTIONS = '/sys/fs/fuse/connections';
const FUSE_CTL_MAGIC = 0x65735543;
const PATIENCE_MS = 5_000;

/**
 * Makes sure that looking at these paths holds nobody: where the machine has file systems that are served, another process looks first.
 * Costs nothing elsewhere. What is not there answers too.
 * @throws Timeout when it doesn't come back
 */
export async function requireAnswering(paths: readonly string[], { timeoutMs = PATIENCE_MS } = {}): Promise<void> {
  if (paths.length === 0 || !canBeServed(readFileSync('/proc/filesystems', 'utf8'), countFuse())) return;
  // With a thousand mounts the kernel takes milliseconds to tell of them.
  if (!SERVED.test(await readFile('/proc/self/mountinfo', 'utf8'))) return;
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

/** Whether there may be such mounts, by the file systems that the kernel has and by how many FUSE connections, if that is known. Pure. */
export function canBeServed(filesystems: string, fuseConnections: number | undefined): boolean {
  const kinds = [...filesystems.matchAll(IN_KERNEL)].map(([, kind = '']) => kind);
  return kinds.some(kind => !kind.startsWith('fuse') || fuseConnections !== 0);
}

function countFuse(): number | undefined {
  try {
    return statfsSync(FUSE_CONNECTIONS).type === FUSE_CTL_MAGIC ? readdirSync(FUSE_CONNECTIONS).length : undefined;
  } catch {
    return undefined;
  }
}
