import { closeSync, constants, openSync } from 'node:fs';
import { Socket, type SocketConstructorOpts } from 'node:net';
import { basename } from 'node:path';
import { PassThrough, type Readable, type Writable } from 'node:stream';
import { ReadStream } from 'node:tty';
import { ConsoleSocket } from '#linux/console-socket.ts';
import { type ChildDescriptor, growPipe, pipe } from '#linux/process.ts';
import { openPty, resizePty, type TerminalSize } from '#linux/pty.ts';
import type { OciProcess } from './oci-types.ts';
import type { OciRuntime } from './runtime.ts';

/** What is kept of a runtime's own words. */
const MAX_ERROR_BYTES = 4096;
/** The kernel takes memory for it only while there is something in it. */
const PIPE_BYTES = 256 << 10;
/** After a process with a terminal has ended, for what it started to let go of the terminal. */
const LEFT_OPEN_MS = 1_000;

/** Both ends of what goes into a process of `exec` and comes out of it. */
export interface ExecEnds {
  /** Further options of the runtime's `exec`. */
  args: string[];
  /** Standard input, output and error of the runtime's program. */
  child: ChildDescriptor[];
  session: { stdin?: Writable; stdout: Readable; stderr?: Readable };
  /** Closes the child's ends on our side. */
  handOver(): void;
  /** To be called when the runtime has told the pid, */
  begun?: () => void;
  /** and when it has ended. */
  ended?: () => void;
  /** Absent where the terminal is the runtime's. */
  resize?: (size: TerminalSize) => void;
  /** Closes ours, read or not. */
  abandon(): void;
}

/**
 * Pipes, or a terminal. crun hands over the terminal that it makes: copied by it to one of ours, it would put what a process wrote at its
 * very end among its own messages. Others copy; runc hands over only to those who do not wait for the exit.
 */
export function openEnds({
  process,
  runtime,
  consolePath,
  stdin,
}: {
  process: OciProcess;
  runtime: OciRuntime;
  consolePath: string;
  stdin: boolean;
}): ExecEnds {
  if (!process.terminal) return pipeEnds(stdin);
  return runtime.type === 'crun' ? handedEnds(consolePath) : copiedEnds(process.consoleSize);
}

function pipeEnds(hasStdin: boolean): ExecEnds {
  const input: readonly [number, number | undefined] = hasStdin ? pipe() : [openSync('/dev/null', 'r'), undefined];
  const output = pipe();
  const errors = pipe();
  const stdout = openOutput(output[0]);
  const stderr = openOutput(errors[0]);
  const stdin = input[1] === undefined ? undefined : new Socket({ fd: input[1], readable: false, writable: true });
  // The process may end before it has read everything: that is no error of ours.
  stdin?.on('error', () => stdin.destroy());
  return {
    args: [],
    child: [input[0], output[1], errors[1]],
    session: { ...(stdin ? { stdin } : {}), stdout, stderr },
    handOver: () => [input[0], output[1], errors[1]].forEach(fd => void closeSync(fd)),
    abandon: () => [stdin, stdout, stderr].forEach(socket => void socket?.destroy()),
  };
}

/** What is not asked for yet stays in the pipe, where little writes become large reads. */
function openOutput(fd: number): Socket {
  growPipe(fd, PIPE_BYTES);
  return new Socket({ fd, readable: true, writable: false, readableHighWaterMark: 1 } as SocketConstructorOpts);
}

/** The terminal that the runtime makes inside and hands over. What is typed before waits for it. */
function handedEnds(consolePath: string): ExecEnds {
  const console = new ConsoleSocket(consolePath);
  const errors = pipe();
  const words = new Socket({ fd: errors[0], readable: true, writable: false });
  const said: Buffer[] = [];
  words.on('data', (chunk: Buffer) => void (said.length < MAX_ERROR_BYTES / 64 && said.push(chunk.subarray(0, MAX_ERROR_BYTES))));
  const stdin = new PassThrough();
  const stdout = new PassThrough();
  let terminal: ReadStream | undefined;
  let master = -1;
  let size: TerminalSize | undefined;
  let patience: NodeJS.Timeout | undefined;
  let isOver = false;

  const open = () => {
    const received = terminal || isOver ? undefined : console.receive();
    if (received === undefined) return;
    master = received;
    terminal = new ReadStream(master);
    if (size) resizePty(master, size);
    terminal.pipe(stdout);
    stdin.pipe(terminal);
    // Reading fails with EIO when the other end is closed: that is a terminal's end of file.
    terminal.on('error', () => terminal?.destroy());
    terminal.on('close', abandon);
    stdout.on('close', abandon);
  };
  const abandon = () => {
    if (isOver) return;
    isOver = true;
    clearTimeout(patience);
    console[Symbol.dispose]();
    words.destroy();
    terminal?.destroy();
    stdin.destroy();
    stdout.end();
  };
  /** What it left behind may hold the terminal open for ever: what it said itself has come by then, if somebody reads. */
  const letGoLater = () => {
    patience = setTimeout(() => (stdout.readableLength > 0 ? letGoLater() : abandon()), LEFT_OPEN_MS).unref();
  };
  return {
    args: ['--console-socket', basename(consolePath)], // below its working directory: a whole path may be too long for a socket
    child: [{ open: '/dev/null', flags: constants.O_RDONLY }, { open: '/dev/null', flags: constants.O_WRONLY }, errors[1]],
    session: { stdin, stdout },
    handOver: () => closeSync(errors[1]),
    begun: open,
    ended: () => {
      open();
      if (isOver) return;
      if (terminal) return letGoLater();
      // It failed before there was a terminal.
      const tell = () => {
        for (const chunk of said) stdout.write(chunk);
        abandon();
      };
      if (words.readableEnded) tell();
      else words.once('end', tell);
    },
    resize: next => {
      size = next;
      if (terminal && !terminal.destroyed) resizePty(master, next);
    },
    abandon,
  };
}

/** A terminal of ours, whose other end the runtime copies to and from the one it makes inside. */
function copiedEnds(size: OciProcess['consoleSize']): ExecEnds {
  const { master, path } = openPty(size ? { size: { rows: size.height, columns: size.width } } : {});
  const terminal = new ReadStream(master);
  const stdout = new PassThrough();
  terminal.pipe(stdout);
  // Reading fails with EIO when the other end is closed: that is a terminal's end of file.
  const end = () => {
    stdout.end();
    terminal.destroy();
  };
  terminal.on('error', end);
  terminal.on('close', () => stdout.end());
  stdout.on('close', () => terminal.destroy());
  const slave = { open: path, flags: constants.O_RDWR };
  return {
    args: [],
    child: [slave, slave, slave],
    session: {
      stdin: terminal,
      stdout,
    },
    handOver: () => {},
    abandon: () => terminal.destroy(),
  };
}
