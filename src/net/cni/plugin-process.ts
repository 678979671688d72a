import { closeSync, constants, existsSync } from 'node:fs';
import { access } from 'node:fs/promises';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { UmiakError } from '#base/errors.ts';
import { identify, pipe, reap, spawnProcess, waitForEnd } from '#linux/process.ts';

const MAX_OUTPUT_BYTES = 1 << 20;
const MAX_STDERR_BYTES = 16 << 10;
/** What is at its end has ended by then. */
const END_MS = 5_000;
const UNKNOWN_EXIT_CODE = 255;

/** One call of a plugin's program. */
export interface PluginCall {
  file: string;
  env: Readonly<Record<string, string>>;
  /** What it reads. */
  input: string;
  timeoutMs: number;
}

/** How a plugin's program ended. */
export interface PluginEnd {
  exitCode: number;
  stdout: string;
  /** Its last words, bounded. */
  stderr: string;
  /** It was killed, since it took too long or said too much. */
  killedFor?: 'time' | 'output';
}

/** The program of a plugin: the first of that name in the directories. @throws UmiakError `NotFound` */
export async function findPlugin(type: string, binDirs: readonly string[]): Promise<string> {
  for (const directory of binDirs) {
    const file = join(directory, type);
    try {
      await access(file, constants.X_OK);
      return file;
    } catch {
      if (existsSync(file)) throw new UmiakError('Forbidden', `CNI plugin ${file} is not executable`, { hint: `chmod +x ${file}` });
    }
  }
  throw new UmiakError('NotFound', `there is no CNI plugin ${type} in ${binDirs.join(', ')}`, {
    hint: 'Install it there, or name its directory with --cni-bin-dirs.',
  });
}

/**
 * Runs a plugin to its end, in a process group of its own, which is killed when it takes too long or says too much. The end of what it says tells of
 * its end, so that a daemon which it leaves behind with descriptors of its own holds nobody up.
 */
export async function runPlugin({ file, env, input, timeoutMs }: PluginCall): Promise<PluginEnd> {
  const [stdin, stdout, stderr] = [pipe(), pipe(), pipe()];
  let pid: number;
  try {
    pid = await spawnProcess({ file, args: [], env, descriptors: [stdin[0], stdout[1], stderr[1]] });
  } catch (error) {
    for (const fd of [stdin[1], stdout[0], stderr[0]]) closeSync(fd);
    throw error;
  } finally {
    for (const fd of [stdin[0], stdout[1], stderr[1]]) closeSync(fd);
  }
  let killedFor: PluginEnd['killedFor'];
  const stop = new AbortController();
  const kill = (why: NonNullable<PluginEnd['killedFor']>) => {
    killedFor ??= why;
    killGroup(pid);
    stop.abort(); // who left the group may hold the pipes for ever
  };
  const timer = setTimeout(() => kill('time'), timeoutMs);
  const said = collect(stdout[0], MAX_OUTPUT_BYTES, stop.signal, () => kill('output'));
  const complaint = collect(stderr[0], MAX_STDERR_BYTES, stop.signal, () => {});
  const feed = new Socket({ fd: stdin[1], readable: false, writable: true });
  feed.on('error', () => {}); // it need not read what it is told
  feed.end(input);
  const [out, err] = await Promise.all([said, complaint]);
  const exitCode = await untilEnded(pid);
  clearTimeout(timer);
  feed.destroy();
  return { exitCode, stdout: out, stderr: err.trim(), ...(killedFor ? { killedFor } : {}) };
}

/** A plugin that has closed its outputs, or was killed, is at its end; one that is not gets a moment and is killed. */
async function untilEnded(pid: number): Promise<number> {
  for (const act of [() => {}, killGroup]) {
    act(pid);
    const process = identify(pid); // a zombie is none
    if (!process || (await waitForEnd(process, END_MS))) return reap(pid) ?? UNKNOWN_EXIT_CODE;
  }
  return reap(pid, { block: false }) ?? UNKNOWN_EXIT_CODE; // in the middle of a system call that does not end
}

/** All that comes out of a pipe; what is more than `limit` is read and let go, and told once. */
function collect(fd: number, limit: number, signal: AbortSignal, onExcess: () => void): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const chunks: Buffer[] = [];
  let size = 0;
  const socket = new Socket({ fd, readable: true, writable: false });
  socket.on('data', (chunk: Buffer) => {
    if (size >= limit) return;
    chunks.push(chunk.subarray(0, limit - size));
    size += chunk.length;
    if (size >= limit) onExcess();
  });
  socket.on('error', () => socket.destroy());
  signal.addEventListener('abort', () => socket.destroy(), { once: true });
  socket.on('close', () => resolve(Buffer.concat(chunks).toString()));
  return promise;
}

/** It leads a session, so its group is all that it started, but for what left on purpose. */
function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
