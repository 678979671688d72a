import { closeSync, constants, openSync } from 'node:fs';
import { isatty } from 'node:tty';
import { check, declare } from './libc.ts';

const TIOCGPTN = 0x80045430;
const TIOCSPTLCK = 0x40045431;
const TIOCSWINSZ = 0x5414;

const ioctl = declare('int ioctl(int fd, unsigned long request, void *argument)');

export interface TerminalSize {
  rows: number;
  columns: number;
}

/** A new pseudoterminal: our end as a descriptor, the other end's path. A session leader that opens the path gets it as its terminal. */
export function openPty({ size }: { size?: TerminalSize } = {}): { master: number; path: string } {
  const master = openSync('/dev/ptmx', constants.O_RDWR | constants.O_NOCTTY);
  try {
    const number = Buffer.alloc(4);
    check(ioctl(master, TIOCSPTLCK, number), 'unlock the pseudoterminal');
    check(ioctl(master, TIOCGPTN, number), 'number of the pseudoterminal');
    if (size) resizePty(master, size);
    return { master, path: `/dev/pts/${number.readUInt32LE()}` };
  } catch (error) {
    closeSync(master);
    throw error;
  }
}

/** Sets the terminal's size; its foreground processes get SIGWINCH. */
export function resizePty(master: number, { rows, columns }: TerminalSize): void {
  const size = Buffer.alloc(8);
  size.writeUInt16LE(Math.min(rows, 65535), 0);
  size.writeUInt16LE(Math.min(columns, 65535), 2);
  check(ioctl(master, TIOCSWINSZ, size), 'resize the terminal');
}

/** Sets the size of the terminal that a process has as its standard input; nothing happens where that is no terminal, or the process is gone. */
export function resizeTerminalOf(pid: number, size: TerminalSize): void {
  let terminal: number;
  try {
    terminal = openSync(`/proc/${pid}/fd/0`, constants.O_RDWR | constants.O_NOCTTY | constants.O_NONBLOCK);
  } catch {
    return;
  }
  try {
    if (isatty(terminal)) resizePty(terminal, size);
  } finally {
    closeSync(terminal);
  }
}
