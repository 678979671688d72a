import { closeSync, readFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { constants } from 'node:os';
import { UmiakError } from '#base/errors.ts';
import { callInThread, check, declare, errno, SyscallError } from './libc.ts';

const ESRCH = 3;
const EINTR = 4;
const O_CLOEXEC = 0o2000000;
const POLLIN = 1;
const WNOHANG = 1;
const PF_EXITING = 0x4;
const PF_KTHREAD = 0x200000;
/** Milliseconds. */
const EXECVE_PATIENCE = 100;
const SYS_PIDFD_SEND_SIGNAL = 424;
const SYS_PIDFD_OPEN = 434;

const POSIX_SPAWN_SETSIGDEF = 0x04;
const POSIX_SPAWN_SETSIGMASK = 0x08;
const POSIX_SPAWN_SETSID = 0x80;
const F_SETPIPE_SZ = 1031;
/** glibc's opaque structures have 80 and 336 bytes; room to spare. */
const FILE_ACTIONS_BYTES = 256;
const ATTRIBUTES_BYTES = 512;
const SIGSET_BYTES = 128;

const spawnCall = declare(
  'int posix_spawn(_Out_ int *pid, const char *path, const void *actions, const void *attributes, const char **argv, const char **envp)',
);
const actionsInit = declare('int posix_spawn_file_actions_init(void *actions)');
const actionsDestroy = declare('int posix_spawn_file_actions_destroy(void *actions)');
const actionsDup2 = declare('int posix_spawn_file_actions_adddup2(void *actions, int fd, int target)');
const actionsOpen = declare(
  'int posix_spawn_file_actions_addopen(void *actions, int target, const char *path, int flags, unsigned int mode)',
);
const actionsChdir = declare('int posix_spawn_file_actions_addchdir_np(void *actions, const char *path)');
const actionsCloseFrom = declare('int posix_spawn_file_actions_addclosefrom_np(void *actions, int from)');
const attributesInit = declare('int posix_spawnattr_init(void *attributes)');
const attributesDestroy = declare('int posix_spawnattr_destroy(void *attributes)');
const attributesSetFlags = declare('int posix_spawnattr_setflags(void *attributes, short flags)');
const attributesSetDefault = declare('int posix_spawnattr_setsigdefault(void *attributes, const void *set)');
const attributesSetMask = declare('int posix_spawnattr_setsigmask(void *attributes, const void *set)');
const pipeCall = declare('int pipe2(_Out_ int *fds, int flags)');
const fcntlCall = declare('int fcntl(int fd, int command, int argument)');
const waitCall = declare('int waitpid(int pid, _Out_ int *status, int options)');
const pollCall = declare('int poll(void *fds, unsigned long count, int timeout)');
const syscall = declare('long syscall(long number, long a, long b, void *c, long d)');

/** A process that can't be mistaken for another one with the same number: its pid and its start in clock ticks since boot. */
export interface ProcessIdentity {
  pid: number;
  startTime: number;
}

/** What a child gets as one of its descriptors: one of ours, or a file that is opened in the child. */
export type ChildDescriptor = number | { open: string; flags: number };

export interface SpawnOptions {
  /** Absolute path. */
  file: string;
  /** Without `argv[0]`. */
  args: readonly string[];
  env: Readonly<Record<string, string>>;
  /** Descriptors 0, 1, … of the child; all others of ours are closed in it. */
  descriptors: readonly ChildDescriptor[];
  cwd?: string;
}

/**
 * Starts a program by `posix_spawn(3)` in a session of its own, with default signal dispositions. Costs the same whatever our memory
 * is, unlike fork; on a thread of libuv's pool, since the caller is held until the kernel has opened the program. `descriptors` must
 * stay open until then. Nobody reaps it but `reap`.
 * @throws SyscallError
 */
export async function spawnProcess({ file, args, env, descriptors, cwd }: SpawnOptions): Promise<number> {
  const actions = Buffer.alloc(FILE_ACTIONS_BYTES);
  const attributes = Buffer.alloc(ATTRIBUTES_BYTES);
  actionsInit(actions);
  attributesInit(attributes);
  try {
    for (const [target, descriptor] of descriptors.entries()) {
      if (typeof descriptor === 'number' && descriptor < descriptors.length && descriptor !== target)
        throw new UmiakError('InternalError', `descriptor ${descriptor} would be overwritten before the child of ${file} gets it`);
      const failed =
        typeof descriptor === 'number'
          ? actionsDup2(actions, descriptor, target)
          : actionsOpen(actions, target, descriptor.open, descriptor.flags, 0o600);
      if (failed) throw new SyscallError(`prepare descriptor ${target} of ${file}`, failed);
    }
    actionsCloseFrom(actions, descriptors.length); // also what our own starter left open
    if (cwd !== undefined) actionsChdir(actions, cwd);
    attributesSetFlags(attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    attributesSetDefault(attributes, Buffer.alloc(SIGSET_BYTES, 0xff));
    attributesSetMask(attributes, Buffer.alloc(SIGSET_BYTES));
    const pid = [0];
    const environment = Object.entries(env).map(([name, value]) => `${name}=${value}`);
    const failed = await callInThread(spawnCall, pid, file, actions, attributes, [file, ...args, null], [...environment, null]);
    if (failed) throw new SyscallError(`start ${file}`, failed);
    return pid[0]!;
  } finally {
    actionsDestroy(actions);
    attributesDestroy(attributes);
  }
}

/** Waits for a child of `spawnProcess` that is known to be at its end, and returns its exit code (128 + signal if it was killed). */
export function reap(pid: number, { block = true }: { block?: boolean } = {}): number | undefined {
  const status = [0];
  for (;;) {
    const result: number = waitCall(pid, status, block ? 0 : WNOHANG);
    if (result === pid) return toExitCode(status[0]!);
    if (result === 0) return undefined;
    if (errno() !== EINTR) throw new SyscallError(`wait for process ${pid}`, errno());
  }
}

function toExitCode(status: number): number {
  const signal = status & 0x7f;
  return signal === 0 ? (status >> 8) & 0xff : 128 + signal;
}

/**
 * Like `spawnProcess`, for a program that we wait for: it holds one more descriptor, whose end tells of its exit.
 * Descendants that keep that descriptor open would delay the news.
 */
export async function spawnChild(options: SpawnOptions): Promise<{ pid: number; exited: Promise<number> }> {
  const [read, write] = pipe();
  let pid: number;
  try {
    pid = await spawnProcess({ ...options, descriptors: [...options.descriptors, write] });
  } catch (error) {
    closeSync(read);
    throw error;
  } finally {
    closeSync(write);
  }
  const { promise: exited, resolve } = Promise.withResolvers<number>();
  const lifeline = new Socket({ fd: read, readable: true, writable: false });
  lifeline.on('close', () => resolve(reap(pid) ?? 255));
  lifeline.on('error', () => lifeline.destroy());
  lifeline.resume();
  return { pid, exited };
}

/** `pipe2(2)`, close-on-exec: the reading and the writing end. */
export function pipe(): [read: number, write: number] {
  const fds = [0, 0];
  check(pipeCall(fds, O_CLOEXEC), 'pipe2');
  return [fds[0]!, fds[1]!];
}

/** Lets a pipe hold so many bytes, where the kernel allows it. */
export function growPipe(fd: number, bytes: number): void {
  fcntlCall(fd, F_SETPIPE_SZ, bytes);
}

/** Fields of `/proc/<pid>/stat` from the state on: field n of proc(5) is at n - 3. Undefined when there is none (a zombie is none). */
function readStat(pid: number): string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields;
  } catch {
    return undefined;
  }
}

/** Start of a process in clock ticks since boot, or undefined when there is none (a zombie is none). */
function readStartTime(pid: number): number | undefined {
  const fields = readStat(pid);
  return fields && Number(fields[19]);
}

/** The identity of a living process. */
export function identify(pid: number): ProcessIdentity | undefined {
  const startTime = readStartTime(pid);
  return startTime === undefined ? undefined : { pid, startTime };
}

export function isAlive({ pid, startTime }: ProcessIdentity): boolean {
  return readStartTime(pid) === startTime;
}

/**
 * The command line of a process, or nothing if it has ended. In the middle of an `execve` a process has none for a moment, and whoever
 * started it goes on already: that moment is waited for.
 */
export function readCommandLine(pid: number): string[] {
  return readSettled(pid, 'cmdline');
}

/** The environment that a process was started with, as `NAME=value`, or nothing if it has ended; the moment of an `execve` is waited for. */
export function readEnvironment(pid: number): string[] {
  return readSettled(pid, 'environ');
}

function readSettled(pid: number, file: 'cmdline' | 'environ'): string[] {
  for (let patience = EXECVE_PATIENCE; ; patience--) {
    const line = readProcFile(`/proc/${pid}/${file}`);
    if (line !== '' || patience === 0 || !isInExecve(pid)) return line.split('\0').slice(0, -1);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
  }
}

/** Its new memory is there, its arguments and environment are not: proc(5)'s `env_end` is 0, as else only for kernel threads and who is ending. */
function isInExecve(pid: number): boolean {
  const fields = readStat(pid);
  return fields !== undefined && (Number(fields[6]) & (PF_KTHREAD | PF_EXITING)) === 0 && fields[48] === '0';
}

function readProcFile(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

/** Sends a signal to exactly this process; false when it has ended. */
export function signalProcess(process: ProcessIdentity, signal: number): boolean {
  const fd = openPidfd(process);
  if (fd === undefined) return false;
  try {
    const result: number = syscall(SYS_PIDFD_SEND_SIGNAL, fd, signal, null, 0);
    if (result < 0 && errno() !== ESRCH) throw new SyscallError(`signal process ${process.pid}`, errno());
    return result === 0;
  } finally {
    closeSync(fd);
  }
}

/** Resolves true when the process has ended, false after `timeoutMs`. For the rare waits of recovery: it holds one thread of libuv's pool. */
export async function waitForEnd(process: ProcessIdentity, timeoutMs: number): Promise<boolean> {
  const fd = openPidfd(process);
  if (fd === undefined) return true;
  try {
    const request = Buffer.alloc(8);
    request.writeInt32LE(fd);
    request.writeInt16LE(POLLIN, 4);
    const end = performance.now() + timeoutMs;
    for (let leftMs = timeoutMs; ; leftMs = end - performance.now()) {
      const ready = await callInThread(pollCall, request, 1, Math.max(0, Math.ceil(leftMs)));
      // Below 0: a signal of another child met that thread.
      if (ready >= 0 || leftMs <= 0) return ready > 0;
    }
  } finally {
    closeSync(fd);
  }
}

function openPidfd(process: ProcessIdentity): number | undefined {
  const fd: number = Number(syscall(SYS_PIDFD_OPEN, process.pid, 0, null, 0));
  if (fd < 0) {
    if (errno() === ESRCH) return undefined;
    throw new SyscallError(`open process ${process.pid}`, errno());
  }
  if (isAlive(process)) return fd;
  closeSync(fd);
  return undefined;
}

/** A signal's name: `SIGTERM`, `SIGRTMIN+3`, `SIGRTMAX-2`; the number where it has none. Pure. */
export function nameSignal(number: number): string {
  if (number >= 34 && number <= 49) return `SIGRTMIN${number === 34 ? '' : `+${number - 34}`}`;
  if (number >= 50 && number <= 64) return `SIGRTMAX${number === 64 ? '' : `-${64 - number}`}`;
  return Object.entries(constants.signals).find(([, value]) => value === number)?.[0] ?? String(number);
}

/** `SIGTERM`, `TERM`, `15`, `SIGRTMIN+3` to a number. @throws Invalid */
export function parseSignal(name: string): number {
  if (/^\d+$/.test(name)) {
    const number = Number(name);
    if (number >= 1 && number <= 64) return number;
  }
  const bare = name.toUpperCase().replace(/^SIG/, '');
  const realTime = /^RTM(IN|AX)(?:([+-])(\d+))?$/.exec(bare);
  if (realTime) {
    const number = (realTime[1] === 'IN' ? 34 : 64) + Number(`${realTime[2] ?? '+'}${realTime[3] ?? 0}`);
    if (number >= 34 && number <= 64) return number;
  }
  const number = (constants.signals as Record<string, number>)[`SIG${bare}`];
  if (number === undefined)
    throw new UmiakError('Invalid', `${JSON.stringify(name)} is not a signal`, { hint: 'Use a name as SIGTERM or a number from 1 to 64.' });
  return number;
}
