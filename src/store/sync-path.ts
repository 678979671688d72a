import { closeSync, fsyncSync, openSync } from 'node:fs';

/** Flushes a file or a directory to the disk: a new name is durable only once its directory is. */
export function syncPath(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
