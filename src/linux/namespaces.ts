import { closeSync, constants, existsSync, openSync, statfsSync, unlinkSync, writeFileSync } from 'node:fs';
import { check, declare } from './libc.ts';
import { MS_BIND, mount, umount } from './mount.ts';

const setnsCall = declare('int setns(int fd, int kind)');
/** unshare(2) on the calling thread. */
export const unshare = declare('int unshare(int flags)');
const sethostnameCall = declare('int sethostname(const char *name, unsigned long length)');

/** Kinds of namespaces that can be made and entered by one thread of a threaded process (mount and user ones cannot). */
export type NamespaceKind = 'net' | 'ipc' | 'uts';

const CLONE_FLAG: Record<NamespaceKind, number> = { net: 0x40000000, ipc: 0x08000000, uts: 0x04000000 };
const NSFS_MAGIC = 0x6e736673;

/** Where the calling thread's own namespace of that kind shows. */
function ownNamespace(kind: NamespaceKind): string {
  return `/proc/thread-self/ns/${kind}`;
}

/** Puts the calling thread into new namespaces for good. Threads and processes it starts later inherit them; others of the process do not. */
export function unshareNamespaces(kinds: readonly NamespaceKind[]): void {
  check(unshare(flagsOf(kinds)), `unshare ${kinds.join(', ')}`);
}

/** Puts the calling thread into the namespace at `path`. */
function enterNamespace(path: string, kind: NamespaceKind): void {
  const fd = openSync(path, constants.O_RDONLY);
  try {
    check(setnsCall(fd, CLONE_FLAG[kind]), `enter ${kind} namespace ${path}`);
  } finally {
    closeSync(fd);
  }
}

/** Runs `work`, which must be synchronous, on this thread inside the namespace at `path`, and returns to the thread's own. */
export function inNamespace<T>(path: string, kind: NamespaceKind, work: () => T): T {
  const own = openSync(ownNamespace(kind), constants.O_RDONLY);
  try {
    enterNamespace(path, kind);
    try {
      return work();
    } finally {
      check(setnsCall(own, CLONE_FLAG[kind]), `return to the own ${kind} namespace`);
    }
  } finally {
    closeSync(own);
  }
}

/**
 * Makes new namespaces and keeps each alive by a bind mount on its path, without a process in them; `inside` (synchronous) runs there.
 * The thread is back in its own namespaces afterwards. On failure nothing remains.
 */
export function pinNamespaces<T = void>(pins: Partial<Record<NamespaceKind, string>>, inside?: () => T): T | undefined {
  const kinds = Object.keys(pins) as NamespaceKind[];
  const own = kinds.map(kind => ({ kind, fd: openSync(ownNamespace(kind), constants.O_RDONLY) }));
  try {
    check(unshare(flagsOf(kinds)), `unshare ${kinds.join(', ')}`);
    try {
      for (const kind of kinds) pin(kind, pins[kind]!);
      return inside?.();
    } finally {
      for (const { kind, fd } of own) check(setnsCall(fd, CLONE_FLAG[kind]), `return to the own ${kind} namespace`);
    }
  } catch (error) {
    for (const path of Object.values(pins)) unpinNamespace(path);
    throw error;
  } finally {
    for (const { fd } of own) closeSync(fd);
  }
}

/** Removes a pin; the namespace ends with its last process. Without one, nothing happens. */
export function unpinNamespace(path: string): void {
  while (isPinned(path)) umount(path, { detach: true });
  if (existsSync(path)) unlinkSync(path);
}

/** True when a namespace is mounted at `path`. */
export function isPinned(path: string): boolean {
  return existsSync(path) && statfsSync(path).type === NSFS_MAGIC;
}

/** Sets the host name inside the UTS namespace at `path`. Five system calls, no thread and no process: about 0.02 ms. */
export function setHostname(path: string, hostname: string): void {
  inNamespace(path, 'uts', () => check(sethostnameCall(hostname, Buffer.byteLength(hostname)), `sethostname ${hostname}`));
}

function pin(kind: NamespaceKind, path: string): void {
  writeFileSync(path, '', { mode: 0o444, flag: 'wx' });
  mount(ownNamespace(kind), path, null, MS_BIND);
}

function flagsOf(kinds: readonly NamespaceKind[]): number {
  return kinds.reduce((flags, kind) => flags | CLONE_FLAG[kind], 0);
}
