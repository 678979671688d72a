import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';
import { UmiakError } from '#base/errors.ts';
import { callInThread, check, declare, errno, SyscallError } from './libc.ts';

const LOCK_EX = 2;
const LOCK_NB = 4;
const EAGAIN = 11;

const flock = declare('int flock(int fd, int operation)');

/** Runs `work` while nobody else holds `path`, waiting for who does. The kernel lets go when we die. */
export function withLock<T>(path: string, work: () => T): T {
  const fd = openSync(path, 'w', 0o600);
  try {
    check(flock(fd, LOCK_EX), `flock ${path}`);
    return work();
  } finally {
    closeSync(fd);
  }
}

/**
 * Holds `path` against every other process until disposed; the kernel lets go when we die, however we die.
 * The file itself stays: removing it would let two processes lock two files of one name.
 * @throws `Conflict` while another holds it.
 */
export function lockFile(path: string, purpose: string): Disposable {
  const fd = openSync(path, 'a+', 0o600);
  try {
    if (flock(fd, LOCK_EX | LOCK_NB) !== 0) {
      const code = errno();
      if (code !== EAGAIN) throw new SyscallError(`flock ${path}`, code);
      const holder = readFileSync(path, 'utf8').trim();
      throw new UmiakError('Conflict', `${purpose} is in use by ${holder ? `process ${holder}` : 'another process'}`, {
        hint: 'Stop that process first (umiak down), or use another --data-dir.',
      });
    }
    return held(fd);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** The same as soon as nobody else holds it. A thread of libuv's pool waits meanwhile. */
export async function lockFileWhenFree(path: string): Promise<Disposable> {
  const fd = openSync(path, 'a+', 0o600);
  if ((await callInThread(flock, fd, LOCK_EX)) !== 0) {
    closeSync(fd);
    throw new UmiakError('InternalError', `flock ${path} failed`);
  }
  return held(fd);
}

function held(fd: number): Disposable {
  ftruncateSync(fd);
  writeSync(fd, `${process.pid}\n`);
  return { [Symbol.dispose]: () => closeSync(fd) };
}
