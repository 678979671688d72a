import { closeSync, constants, openSync, readFileSync } from 'node:fs';
import { UmiakError } from '#base/errors.ts';
import { enterRoot, takeOwnRoot } from './confinement.ts';
import { check, declare, SyscallError } from './libc.ts';
import { MS_RDONLY, mount, umount } from './mount.ts';
import { unescapeOctal } from './mount-table.ts';
import { takePrivateMounts } from './private-mounts.ts';

const setnsCall = declare('int setns(int fd, int kind)');
const openatCall = declare('int openat(int directory, const char *path, int flags)');
const closeCall = declare('int close(int fd)');

const CLONE_NEWNS = 0x00020000;
const O_PATH = 0o10000000;
const O_CLOEXEC = 0o2000000;
const EINVAL = 22;
const MOST_MOUNTS = 10_000;

export interface CopyOptions {
  /** A descriptor of the mount namespace; by default the thread's own. */
  of?: number;
  /** Mounts what only the copy is to have. */
  prepare?: () => void;
}

/**
 * Takes this worker thread into a copy of a mount namespace: it sees what is mounted there, without proc file systems, and nobody sees what it mounts.
 * Disposing brings it back, and the copy ends. Synchronous work only. Worker threads only.
 */
export function enterCopy({ of, prepare }: CopyOptions): Disposable {
  takeOwnRoot();
  using opened = new DisposableStack();
  const open = (path: string, flags: number) => opened.adopt(openSync(path, flags), closeSync);
  const proc = open('/proc', constants.O_DIRECTORY | O_PATH);
  const ownNamespace = open('/proc/thread-self/ns/mnt', constants.O_RDONLY);
  const ownRoot = open('/', constants.O_DIRECTORY | O_PATH);
  opened.defer(() => {
    check(setnsCall(ownNamespace, CLONE_NEWNS), 'return to the own mnt namespace');
    enterRoot(ownRoot);
  });
  if (of !== undefined) check(setnsCall(of, CLONE_NEWNS), 'enter mnt namespace');
  takePrivateMounts();
  prepare?.();
  hideProc(proc);
  return opened.move();
}

/**
 * Takes every proc file system out of this thread's own mount table, or covers what can't be taken out: its links (`/proc/1/root`, `/proc/self/cwd`)
 * lead to wherever those processes are, whatever root the thread has. `proc` is a descriptor of the machine's own /proc.
 * @throws Conflict when that does not come to an end
 */
function hideProc(proc: number): void {
  for (let tries = 0; tries < MOST_MOUNTS; tries++) {
    const table = readTable(proc);
    const covers = new Set(table.flatMap(({ type, parent, target }) => (type === COVER ? [`${parent} ${target}`] : [])));
    const open = table.findLast(({ type, id, target }) => type === 'proc' && !covers.has(`${id} ${target}`));
    if (open === undefined) return;
    try {
      umount(open.target, { detach: true });
    } catch (error) {
      // Mounts that came from another user namespace stay where they are.
      if (!(error instanceof SyscallError && error.errno === EINVAL)) throw error;
      mount('none', open.target, COVER, MS_RDONLY, 'size=4k,nr_inodes=1');
    }
  }
  throw new UmiakError('Conflict', 'what is mounted in the container changes too quickly to be looked at');
}

const COVER = 'tmpfs';

function readTable(proc: number): { id: string; parent: string; target: string; type: string }[] {
  const fd = check(openatCall(proc, 'thread-self/mountinfo', O_CLOEXEC), 'openat mountinfo');
  try {
    return readFileSync(fd, 'utf8')
      .split('\n')
      .flatMap(line => {
        const [id, parent, , , target] = line.split(' ');
        const [type = ''] = line.slice(line.indexOf(' - ') + 3).split(' ');
        if (id === undefined || parent === undefined || target === undefined) return [];
        return [{ id, parent, target: unescapeOctal(target), type }];
      });
  } finally {
    closeCall(fd);
  }
}
