import { mkdirSync, statfsSync } from 'node:fs';
import { MS_NODEV, MS_NOSUID, mount } from './mount.ts';

const TMPFS_MAGIC = 0x0102_1994;

/**
 * A directory whose contents lie in memory: a tmpfs of its own is mounted on it, unless it lies on one already. What is made and removed
 * there costs microseconds, and never touches a disk. It stays until someone unmounts it.
 */
export function ensureMemoryDirectory(directory: string, { mode = 0o700, sizeBytes }: { mode?: number; sizeBytes?: number } = {}): void {
  mkdirSync(directory, { recursive: true, mode });
  if (statfsSync(directory).type === TMPFS_MAGIC) return;
  const size = sizeBytes === undefined ? [] : [`size=${sizeBytes}`];
  mount('tmpfs', directory, 'tmpfs', MS_NOSUID | MS_NODEV, [`mode=${mode.toString(8)}`, ...size].join());
}
