import { readFileSync, rmSync, statSync, watch, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Readable } from 'node:stream';
import { UmiakError } from '#base/errors.ts';
import { newNameSuffix } from '#base/ids.ts';
import { identify, signalProcess, spawnChild } from '#linux/process.ts';
import { resizeTerminalOf, type TerminalSize } from '#linux/pty.ts';
import type { ExecCutOff, ExecOptions, ExecSession } from './engine.ts';
import { openEnds } from './exec-ends.ts';
import type { OciProcess, OciSpec } from './oci-types.ts';
import type { OciRuntime } from './runtime.ts';
import type { ResolvedUser } from './user.ts';

const SIGKILL = 9;
/** Of the runtime, before what it is to run runs. */
const MOST_STARTING_MS = 30_000;
const LEAST_WAIT_MS = 100;

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
  const ends = openEnds({ process, runtime, consolePath: `${files}.sock`, stdin });
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
        ...ends.args,
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
  const { begun } = ends;
  if (begun) onceInside(pidFile, child.exited, begun); // the pid is told once the terminal is there
  let atEnd: number | undefined;
  signal?.addEventListener('abort', close, { once: true });
  if (signal?.aborted) close(); // while it was started
  const exitCode = child.exited.then(code => {
    signal?.removeEventListener('abort', close);
    if (isClosed) ends.abandon();
    else ends.ended?.();
    atEnd = readPid(pidFile);
    for (const file of [`${files}.json`, pidFile]) rmSync(file, { force: true });
    return code;
  });
  const resize = (size: TerminalSize) => {
    if (ends.resize) ends.resize(size);
    else if (process.terminal && runtime.hasHostProcesses) onceInside(pidFile, child.exited, pid => resizeTerminalOf(pid, size));
  };
  return { ...ends.session, exitCode, close, resize, pid: () => atEnd ?? readPid(pidFile), ranMs: () => ageOf(pidFile) };
}

function ageOf(file: string): number | undefined {
  const { mtimeMs } = statSync(file, { throwIfNoEntry: false }) ?? {};
  return mtimeMs === undefined ? undefined : Date.now() - mtimeMs;
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
    const pid = isDone ? undefined : readPid(pidFile);
    if (pid === undefined) return;
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

/** Undefined until the runtime has told it. */
function readPid(file: string): number | undefined {
  try {
    return Number(readFileSync(file, 'utf8')) || undefined;
  } catch {
    return undefined;
  }
}

/** Runs to the end, both outputs in one, bounded. The runtime's own time is none of the process's. @throws Timeout, with an `ExecCutOff` */
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
  const output = () => Buffer.concat(chunks).toString('utf8');
  const { promise: expired, reject } = Promise.withResolvers<never>();
  const expire = () => {
    session.close();
    session.stdout.destroy();
    session.stderr?.destroy();
    const cause: ExecCutOff = { output: output() };
    reject(new UmiakError('Timeout', `${what} did not end within ${timeoutMs} ms and was killed`, { cause }));
  };
  using timers = new DisposableStack();
  let waitedMs = 0;
  const wait = (ms: number) => {
    waitedMs += ms;
    timers.use(after(ms, look));
  };
  /** Its time would be over had it run at once: when it really began is asked only now. */
  const look = () => {
    const ranMs = session.ranMs?.();
    const leftMs = timeoutMs - (ranMs ?? 0);
    if (leftMs <= 0 || waitedMs >= MOST_STARTING_MS + timeoutMs) expire();
    else wait(ranMs === undefined ? Math.max(timeoutMs, LEAST_WAIT_MS) : Math.min(leftMs, timeoutMs));
  };
  wait(timeoutMs);
  const done = Promise.all([session.exitCode, collect(session.stdout), collect(session.stderr)]);
  done.catch(() => {}); // streams that were destroyed by the timeout
  const [exitCode] = await Promise.race([done, expired]);
  return { exitCode, output: output() };
}
