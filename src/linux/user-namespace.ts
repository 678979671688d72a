import { closeSync, constants, openSync, writeFileSync, writeSync } from 'node:fs';
import { check, declare } from './libc.ts';
import { MS_BIND, mount } from './mount.ts';
import { type NamespaceKind, unpinNamespace } from './namespaces.ts';

const cloneCall = declare('int clone(void *run, void *stack, int flags, intptr_t argument)');
const addressOf = declare('void *dlsym(void *library, const char *name)');
const waitCall = declare('int waitpid(int pid, void *status, int options)');

const CLONE_VM = 0x00000100;
const CLONE_NEWUSER = 0x10000000;
const CLONE_NEW: Record<NamespaceKind, number> = { net: 0x40000000, ipc: 0x08000000, uts: 0x04000000 };
const WAIT_ANY_KIND = 0x40000000;
const STACK_BYTES = 64 * 1024;
const SIGCHLD = 17;
/** The child ends by itself then, should this process be killed before it has ended it: it holds our descriptors, with their locks and ports, as long. */
const CHILD_SECONDS = 2;

/** A range of ids inside a user namespace and where it lies outside. */
export interface IdRange {
  containerId: number;
  hostId: number;
  length: number;
}

export interface IdRanges {
  uids: readonly IdRange[];
  gids: readonly IdRange[];
}

/**
 * Pins a new user namespace with these ids, and new namespaces of the other kinds that it owns: so its root may do there what root does.
 * A threaded process cannot `unshare` one, so a child is made in it for a moment: nothing is executed and no memory copied.
 * On failure nothing remains.
 * @throws SyscallError, EINVAL from `write` for ranges that overlap or are too many (340)
 */
export function pinUserNamespace(pins: { user: string } & Partial<Record<NamespaceKind, string>>, { uids, gids }: IdRanges): void {
  const { user, ...others } = pins;
  const kinds = Object.keys(others) as NamespaceKind[];
  const stack = Buffer.alloc(STACK_BYTES);
  // The child sleeps, which touches nothing of this thread's: the other namespaces are gone once it has ended.
  const flags = kinds.reduce((sum, kind) => sum | CLONE_NEW[kind], CLONE_VM | CLONE_NEWUSER | SIGCHLD);
  const pid = check(cloneCall(addressOf(null, 'sleep'), stack.subarray(STACK_BYTES - 64), flags, CHILD_SECONDS), 'clone newuser');
  try {
    writeOnce(`/proc/${pid}/uid_map`, formatRanges(uids));
    writeOnce(`/proc/${pid}/gid_map`, formatRanges(gids));
    for (const kind of ['user', ...kinds] as const) {
      writeFileSync(pins[kind]!, '', { mode: 0o444, flag: 'wx' });
      mount(`/proc/${pid}/ns/${kind}`, pins[kind]!, null, MS_BIND);
    }
  } catch (error) {
    for (const path of [user, ...Object.values(others)]) unpinNamespace(path);
    throw error;
  } finally {
    process.kill(pid, 'SIGKILL');
    check(waitCall(pid, null, WAIT_ANY_KIND), 'waitpid');
  }
}

/** Lines of `uid_map` and `gid_map`, see user_namespaces(7). Pure. */
function formatRanges(ranges: readonly IdRange[]): string {
  return ranges.map(({ containerId, hostId, length }) => `${containerId} ${hostId} ${length}\n`).join('');
}

/** The kernel takes such a file in one write only. */
function writeOnce(path: string, text: string): void {
  const fd = openSync(path, constants.O_WRONLY);
  try {
    writeSync(fd, text);
  } finally {
    closeSync(fd);
  }
}
