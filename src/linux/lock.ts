import { closeSync, fstatSync, ftruncateSync, openSync, readFileSync, statSync, writeSync } from 'node:fs';
import { isUmiakError, UmiakError } from '#base/errors.ts';
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

/**
 * The same as soon as nobody else holds it. A killed process's lock outlives it by the time that a child it was just starting needs to
 * become another program: who has waited knows that no such child is left. A thread of libuv's pool waits meanwhile.
 * @throws `Conflict` when that takes longer than `timeoutMs`
 */
export async function lockFileWhenFree(path: string, purpose: string, timeoutMs: number): Promise<Disposable> {
  try {
    return lockFile(path, purpose);
  } catch (error) {
    if (!isUmiakError(error, 'Conflict')) throw error;
    return await waitForLock(path, error, timeoutMs);
  }
}

async function waitForLock(path: string, refusal: UmiakError, timeoutMs: number): Promise<Disposable> {
  const fd = openSync(path, 'a+', 0o600);
  const { promise, resolve, reject } = Promise.withResolvers<Disposable>();
  const timer = setTimeout(() => reject(refusal), timeoutMs);
  void callInThread(flock, fd, LOCK_EX).then(result => {
    clearTimeout(timer);
    if (result === 0 && isStillAt(path, fd)) resolve(held(fd));
    else reject(refusal);
    // Granted too late, or not at all: nobody wants it any more.
    promise.catch(() => closeSync(fd));
  }, reject);
  return promise;
}

/** Whoever held it may have taken its directory away: what is locked then is nobody's any more. */
function isStillAt(path: string, fd: number): boolean {
  return statSync(path, { throwIfNoEntry: false })?.ino === fstatSync(fd).ino;
}

function held(fd: number): Disposable {
  ftruncateSync(fd);
  writeSync(fd, `${process.pid}\n`);
  let isHeld = true;
  return {
    [Symbol.dispose]() {
      if (isHeld) closeSync(fd);
      isHeld = false;
    },
  };
}
