import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';
import { UmiakError } from '#base/errors.ts';
import { declare, errno, SyscallError } from '#linux/libc.ts';

const LOCK_EX = 2;
const LOCK_NB = 4;
const EAGAIN = 11;

const flock = declare('int flock(int fd, int operation)');

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
    ftruncateSync(fd);
    writeSync(fd, `${process.pid}\n`);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  return { [Symbol.dispose]: () => closeSync(fd) };
}
