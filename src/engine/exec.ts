import { closeSync, constants, openSync, readFileSync, rmSync, watch, writeFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { dirname } from 'node:path';
import { PassThrough, type Readable, type Writable } from 'node:stream';
import { ReadStream } from 'node:tty';
import { UmiakError } from '#base/errors.ts';
import { newNameSuffix } from '#base/ids.ts';
import { type ChildDescriptor, identify, pipe, signalProcess, spawnChild } from '#linux/process.ts';
import { openPty, resizeTerminalOf, type TerminalSize } from '#linux/pty.ts';
import type { ExecOptions, ExecSession } from './engine.ts';
import type { OciProcess, OciSpec } from './oci-types.ts';
import type { OciRuntime } from './runtime.ts';
import type { ResolvedUser } from './user.ts';

const SIGKILL = 9;

/** The process of an exec: like the container's first one but for what is asked; privileged, with `all` capabilities. Pure. */
export function planExecProcess(
  spec: OciSpec,
  options: ExecOptions,
  user?: ResolvedUser,
  all: ReadonlySet<string> = new Set(),
): OciProcess {
  const { process } = spec;
  const env = new Map(process.env.map(pair => [pair.split('=', 1)[0]!, pair]));
  if (user) env.set('HOME', `HOME=${user.home}`);
  if (options.tty && !env.has('TERM')) env.set('TERM', 'TERM=xterm');
  for (const { name, value } of options.env ?? []) env.set(name, `${name}=${value}`);
  const capabilities = options.privileged ? [...all] : process.capabilities.bounding;
  return {
    ...process,
    terminal: options.tty ?? false,
    ...(options.tty && options.size ? { consoleSize: { height: options.size.rows, width: options.size.columns } } : {}),
    args: options.command,
    env: [...env.values()],
    cwd: options.workingDir ?? process.cwd,
    ...(user
      ? { user: { uid: user.uid, gid: user.gid, ...(user.additionalGids.length > 0 ? { additionalGids: user.additionalGids } : {}) } }
      : {}),
    capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
  };
}

export interface StartExecOptions {
  id: string;
  runtime: OciRuntime;
  bundle: string;
  process: OciProcess;
  stdin: boolean;
  signal?: AbortSignal;
}

/** Runs a process in a running container. It ends with the container, with `close`, or by itself. */
export async function startExec({ id, runtime, bundle, process, stdin, signal }: StartExecOptions): Promise<ExecSession> {
  signal?.throwIfAborted();
  const files = `${bundle}/exec-${newNameSuffix(10)}`;
  const pidFile = `${files}.pid`;
  writeFileSync(`${files}.json`, JSON.stringify(process), { mode: 0o600 });
  const ends = process.terminal ? terminalEnds(process.consoleSize) : pipeEnds(stdin);
  let child: Awaited<ReturnType<typeof spawnChild>>;
  try {
    child = await spawnChild({
      file: runtime.path,
      args: [
        ...runtime.args,
        'exec',
        '--process',
        `${files}.json`,
        runtime.type === 'runsc' ? '--internal-pid-file' : '--pid-file',
        pidFile,
        id,
      ],
      env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' },
      descriptors: ends.child,
      cwd: bundle,
    });
  } catch (error) {
    ends.abandon();
    rmSync(`${files}.json`, { force: true });
    throw error;
  } finally {
    ends.handOver();
  }
  let isClosed = false;
  const close = () => {
    if (isClosed) return;
    isClosed = true;
    killExec({ id, runtime, pidFile }, child.exited);
  };
  signal?.addEventListener('abort', close, { once: true });
  if (signal?.aborted) close(); // while it was started
  const exitCode = child.exited.then(code => {
    signal?.removeEventListener('abort', close);
    if (isClosed) ends.abandon();
    for (const file of [`${files}.json`, pidFile]) rmSync(file, { force: true });
    return code;
  });
  /** The process has a terminal of the runtime's; a new size of ours would reach it as a signal without a size. */
  const resize = (size: TerminalSize) => {
    if (process.terminal && runtime.hasHostProcesses) onceInside(pidFile, child.exited, pid => resizeTerminalOf(pid, size));
  };
  return { ...ends.session, exitCode, close, resize };
}

/** Kills the process inside, as soon as the runtime has told its pid; the runtime outside then ends by itself. */
function killExec({ id, runtime, pidFile }: { id: string; runtime: OciRuntime; pidFile: string }, exited: Promise<number>): void {
  onceInside(pidFile, exited, pid => {
    if (!runtime.hasHostProcesses) return void runtime.killExec(id, pid).catch(() => {}); // it has ended meanwhile
    const inner = identify(pid);
    if (inner) signalProcess(inner, SIGKILL);
  });
}

/** Acts on the process inside, now or as soon as the runtime has told its pid; not at all when the runtime ends before. */
function onceInside(pidFile: string, exited: Promise<number>, act: (pid: number) => void): void {
  let isDone = false;
  const attempt = () => {
    const pid = isDone ? -1 : readPid(pidFile);
    if (pid <= 0) return;
    end();
    act(pid);
  };
  const end = () => {
    isDone = true;
    watcher.close();
  };
  const watcher = watch(dirname(pidFile), attempt);
  attempt();
  if (!isDone) exited.finally(end);
}

/** -1 while there is none. */
function readPid(file: string): number {
  try {
    return Number(readFileSync(file, 'utf8') || -1);
  } catch {
    return -1;
  }
}

interface Ends {
  child: ChildDescriptor[];
  session: { stdin?: Writable; stdout: Readable; stderr?: Readable };
  /** Closes the child's ends on our side. */
  handOver(): void;
  /** Closes ours, read or not. */
  abandon(): void;
}

function pipeEnds(hasStdin: boolean): Ends {
  const input: readonly [number, number | undefined] = hasStdin ? pipe() : [openSync('/dev/null', 'r'), undefined];
  const output = pipe();
  const errors = pipe();
  const stdout = new Socket({ fd: output[0], readable: true, writable: false });
  const stderr = new Socket({ fd: errors[0], readable: true, writable: false });
  const stdin = input[1] === undefined ? undefined : new Socket({ fd: input[1], readable: false, writable: true });
  // The process may end before it has read everything: that is no error of ours.
  stdin?.on('error', () => stdin.destroy());
  return {
    child: [input[0], output[1], errors[1]],
    session: { ...(stdin ? { stdin } : {}), stdout, stderr },
    handOver: () => [input[0], output[1], errors[1]].forEach(fd => void closeSync(fd)),
    abandon: () => [stdin, stdout, stderr].forEach(socket => void socket?.destroy()),
  };
}

function terminalEnds(size: OciProcess['consoleSize']): Ends {
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
    child: [slave, slave, slave],
    session: {
      stdin: terminal,
      stdout,
    },
    handOver: () => {},
    abandon: () => terminal.destroy(),
  };
}

/** Runs to the end, both outputs in one, bounded. @throws Timeout */
export async function collectExec(
  session: ExecSession,
  {
    timeoutMs,
    maxBytes = 16 << 10,
    what,
    after,
  }: { timeoutMs: number; maxBytes?: number; what: string; after(ms: number, run: () => void): Disposable },
): Promise<{ exitCode: number; output: string }> {
  const chunks: Buffer[] = [];
  let size = 0;
  const collect = async (stream: Readable | undefined) => {
    for await (const chunk of stream ?? []) {
      const rest = (chunk as Buffer).subarray(0, maxBytes - size);
      size += rest.length;
      if (rest.length > 0) chunks.push(rest);
    }
  };
  const { promise: expired, reject } = Promise.withResolvers<never>();
  using _ = after(timeoutMs, () => {
    session.close();
    session.stdout.destroy();
    session.stderr?.destroy();
    reject(new UmiakError('Timeout', `${what} did not end within ${timeoutMs} ms and was killed`));
  });
  const done = Promise.all([session.exitCode, collect(session.stdout), collect(session.stderr)]);
  done.catch(() => {}); // streams that were destroyed by the timeout
  const [exitCode] = await Promise.race([done, expired]);
  return { exitCode, output: Buffer.concat(chunks).toString('utf8') };
}
