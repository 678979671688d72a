import { existsSync, mkdirSync, readdirSync, readlinkSync, watch } from 'node:fs';
import { dirname } from 'node:path';
import type { Clock } from '#base/clock.ts';
import { UmiakError } from '#base/errors.ts';

const DEADLINE_MS = 10_000;

/** Whether a process has that file open, by the name that the file has now. */
export function hasOpen(pid: number, path: string): boolean {
  const directory = `/proc/${pid}/fd`;
  try {
    return readdirSync(directory).some(fd => linkOf(`${directory}/${fd}`) === path);
  } catch {
    return false; // it has ended
  }
}

function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

/** Does what makes a file appear, and resolves when it is there. @throws `Timeout` */
export async function untilFileIs(path: string, clock: Clock, make: () => void): Promise<void> {
  const directory = dirname(path);
  mkdirSync(directory, { recursive: true });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const watcher = watch(directory, () => existsSync(path) && resolve());
  watcher.on('error', reject);
  using _late = clock.after(DEADLINE_MS, () =>
    reject(new UmiakError('Timeout', `${path} was not opened anew within ${DEADLINE_MS / 1000} s`)),
  );
  try {
    make();
    if (existsSync(path)) resolve();
    await promise;
  } finally {
    watcher.close();
  }
}
