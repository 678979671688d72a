import koffi from 'koffi';
import { UmiakError } from '#base/errors.ts';

const libc = koffi.load('libc.so.6');

/** Declares one function of the C library; each file of this room declares what it uses. */
export function declare(prototype: string): ReturnType<typeof libc.func> {
  return libc.func(prototype);
}

/** Calls a declared function on a thread of libuv's pool; what it returns is the promise's value, its errno is lost. */
export function callInThread(call: ReturnType<typeof libc.func>, ...args: unknown[]): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  call.async(...args, (error: Error | null, result: number) => (error ? reject(error) : resolve(result)));
  return promise;
}

const strerror = declare('const char *strerror(int errnum)');

/** A system call that failed: `code` is the errno. */
export class SyscallError extends UmiakError {
  readonly errno: number;

  constructor(call: string, errno: number) {
    super('InternalError', `${call}: ${strerror(errno)} (errno ${errno})`);
    this.errno = errno;
  }
}

/** Returns `result`, or throws with the current errno when it is negative. Call at once after the system call. */
export function check(result: number, call: string): number {
  if (result < 0) throw new SyscallError(call, koffi.errno());
  return result;
}

/** The calling thread's errno, right after a failed call. */
export function errno(): number {
  return koffi.errno();
}
