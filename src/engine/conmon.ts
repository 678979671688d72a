import { closeSync, constants, existsSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import { Socket } from 'node:net';
import type { Clock } from '#base/clock.ts';
import { messageOf, UmiakError } from '#base/errors.ts';
import { identify, type ProcessIdentity, pipe, reap, spawnProcess } from '#linux/process.ts';
import { watchCreation } from './creation-watch.ts';

const CONMON = '/usr/bin/conmon';
const ENXIO = 'ENXIO';
/** Where it complains until it has become a daemon. */
const COMPLAINTS = 'conmon.err';

export interface MonitorOptions {
  id: string;
  bundle: string;
  exitDir: string;
  /** Absent: what it writes is kept nowhere. */
  logPath: string | undefined;
  runtime: { path: string; args: readonly string[] };
  terminal: boolean;
  stdin: boolean;
  /** Stdin stays open when the one who attached leaves. */
  leaveStdinOpen: boolean;
  clock: Clock;
}

export interface MonitoredContainer {
  monitor: ProcessIdentity;
  /** The container's first process, waiting to be started. */
  pid: number;
}

/**
 * Creates a container under a conmon that outlives us: it holds the container's streams, writes its log and its exit code.
 * @throws UmiakError with the runtime's own words
 */
export async function createUnderMonitor(options: MonitorOptions): Promise<MonitoredContainer> {
  const [report, report_] = pipe();
  const nothing = openSync('/dev/null', 'r+');
  const complaints = { open: `${options.bundle}/${COMPLAINTS}`, flags: constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC };
  let starter: number;
  try {
    starter = await spawnProcess({
      file: CONMON,
      args: toConmonArgs(options),
      env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', _OCI_SYNCPIPE: '3' },
      descriptors: [nothing, nothing, complaints, report_],
      cwd: options.bundle, // where it leaves a note of lacking memory
    });
  } catch (error) {
    closeSync(report);
    const hint = existsSync(CONMON) ? {} : { hint: 'Install the package conmon.' };
    throw new UmiakError('InternalError', `the monitor can not be started: ${messageOf(error)}`, { cause: error, ...hint });
  } finally {
    closeSync(nothing);
    closeSync(report_);
  }
  const line = await readReport(report, options);
  reap(starter); // it forked the monitor and ended before the report came
  const { pid, message = 'the runtime gave no reason' } = parseReport(line, options.bundle);
  if (!(pid > 0)) throw new UmiakError('InternalError', toRuntimeMessage(message));
  const monitor = Number(readFileSync(`${options.bundle}/conmon.pid`, 'utf8'));
  return { monitor: identify(monitor) ?? { pid: monitor, startTime: -1 }, pid };
}

function parseReport(line: string, bundle: string): { pid: number; message?: string } {
  if (line) return JSON.parse(line) as { pid: number; message?: string };
  const complaint = readFileSync(`${bundle}/${COMPLAINTS}`, 'utf8')
    .trim()
    .split('\n')
    .at(-1)
    ?.replace(/^\[conmon:\w\]:? */, '');
  return { pid: -1, message: `the monitor (conmon) died${complaint ? `: ${complaint}` : ''}` };
}

function toConmonArgs({ id, bundle, exitDir, logPath, runtime, terminal, stdin, leaveStdinOpen }: MonitorOptions): string[] {
  return [
    ...['-c', id, '-u', id, '-n', id],
    ...['-r', runtime.path, ...runtime.args.map(arg => `--runtime-arg=${arg}`)],
    ...['-b', bundle, '-p', `${bundle}/pid`, '-P', `${bundle}/conmon.pid`],
    ...['-l', logPath === undefined ? 'none' : `k8s-file:${logPath}`, '--exit-dir', exitDir],
    ...['--full-attach', '--no-sync-log', '--log-level', 'error'],
    ...(terminal ? ['-t'] : []),
    ...(stdin ? ['-i', ...(leaveStdinOpen ? ['--leave-stdin-open'] : [])] : []),
  ];
}

/** The runtime's last message, without the log decoration. */
function toRuntimeMessage(message: string): string {
  const lines = message.trim().split('\n');
  const last = lines.at(-1) ?? message;
  return /msg="((?:[^"\\]|\\.)*)"/.exec(last)?.[1]?.replace(/\\(.)/g, '$1') ?? last;
}

/** Reads up to a newline or the end; conmon itself keeps the writing end for as long as it lives. */
async function readReport(fd: number, { id, bundle, clock }: MonitorOptions): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const socket = new Socket({ fd, readable: true, writable: false });
  let text = '';
  socket.setEncoding('utf8');
  socket.on('data', chunk => {
    text += chunk;
    if (text.includes('\n')) socket.destroy();
  });
  socket.on('error', () => socket.destroy());
  socket.on('close', () => resolve(text));
  const giveUp = (why: string) => {
    text = JSON.stringify({ pid: -1, message: why });
    socket.destroy();
  };
  using _ = watchCreation({ id, bundle, clock, onAbandoned: giveUp });
  return await promise;
}

/**
 * Calls `ended` once when the monitor has ended, by whatever cause. It holds conmon's `winsz` fifo, which only conmon writes to, and
 * whose end the kernel tells at once; works for monitors that a former process of ours started.
 */
export function watchMonitor(bundle: string, ended: () => void): Disposable {
  const fd = openSync(`${bundle}/winsz`, constants.O_RDONLY | constants.O_NONBLOCK);
  let isDisposed = false;
  const end = () => {
    if (!isDisposed) ended();
    isDisposed = true;
  };
  if (isAtEnd(fd)) {
    closeSync(fd); // it had ended before: the kernel would not tell
    setImmediate(end);
    return {
      [Symbol.dispose]: () => {
        isDisposed = true;
      },
    };
  }
  const socket = new Socket({ fd, readable: true, writable: false });
  socket.on('close', end);
  socket.on('error', () => socket.destroy());
  socket.resume();
  return {
    [Symbol.dispose]: () => {
      isDisposed = true;
      socket.destroy();
    },
  };
}

function isAtEnd(fd: number): boolean {
  try {
    return readSync(fd, Buffer.alloc(1)) === 0;
  } catch {
    return false; // EAGAIN: a writer is there
  }
}

/** Sets the size of the container's terminal. False when the monitor has ended. */
export function resizeTerminal(bundle: string, { rows, columns }: { rows: number; columns: number }): boolean {
  return writeFifo(`${bundle}/ctl`, `1 ${rows} ${columns}\n`);
}

/** Makes the monitor open its log file anew, after a rename. False when the monitor has ended. */
export function reopenLog(bundle: string): boolean {
  return writeFifo(`${bundle}/ctl`, '2 0 0\n');
}

/** Writes to a fifo that somebody reads; false when nobody does. */
export function writeFifo(fifo: string, message: string, opened: () => void = () => {}): boolean {
  let fd: number;
  try {
    fd = openSync(fifo, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === ENXIO || code === 'ENOENT') return false;
    throw error;
  }
  try {
    opened();
    writeSync(fd, message);
    return true;
  } finally {
    closeSync(fd);
  }
}
