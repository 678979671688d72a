import { closeSync, constants, fstatSync } from 'node:fs';
import { PassThrough, Readable } from 'node:stream';
import { openBelow } from '#linux/open-below.ts';
import type { ExecSession } from './engine.ts';
import type { OciProcess } from './oci-types.ts';

const O_PATH = 0o10000000;
/** Docker's and the shells' codes. */
const NOT_EXECUTABLE = 126;
const NOT_FOUND = 127;

/** Why a program can not be executed. */
export interface ExecRefusal {
  exitCode: number;
  message: string;
}

/** What is found under one name. */
type Found = 'program' | 'directory' | 'other' | 'nothing';

/** Where a process looks for its program, in this order; nothing for what only the kernel can tell (a relative path, `/proc/self/exe`). Pure. */
export function planCandidates({ args: [command = ''], env }: Pick<OciProcess, 'args' | 'env'>): string[] {
  if (command.includes('/')) return command.startsWith('/') && !/^\/(proc|dev)\//.test(command) ? [command] : [];
  const path = env.find(pair => pair.startsWith('PATH='))?.slice('PATH='.length);
  const directories = path?.split(':').filter(directory => directory.startsWith('/')) ?? [];
  return directories.map(directory => `${directory}/${command}`);
}

/** Reads the refusal from what was found under each candidate. Pure. */
export function planRefusal(command: string, found: readonly Found[]): ExecRefusal | undefined {
  if (found.length === 0 || found.includes('program')) return undefined;
  if (found.includes('other') || found.includes('directory'))
    return { exitCode: NOT_EXECUTABLE, message: `exec: ${JSON.stringify(command)}: permission denied` };
  const why = command.includes('/') ? 'no such file or directory' : 'executable file not found in $PATH';
  return { exitCode: NOT_FOUND, message: `exec: ${JSON.stringify(command)}: ${why}` };
}

/** Reads the refusal of a working directory from what was found there. Pure. */
export function planDirectoryRefusal(directory: string, found: Found): ExecRefusal | undefined {
  if (found === 'directory') return undefined;
  const why = found === 'nothing' ? 'no such file or directory' : 'not a directory';
  const message = `chdir to cwd (${JSON.stringify(directory)}) failed: ${why}`;
  return { exitCode: found === 'nothing' ? NOT_FOUND : NOT_EXECUTABLE, message };
}

/**
 * Whether a process's program can be executed, in its working directory, by a process whose root is `root`. Asked before the runtime is: crun
 * that fails in a container leaves its half of the work behind as a zombie, and a container can't end before whoever takes it in has reaped it.
 */
export function refuseExec(root: string, process: OciProcess): ExecRefusal | undefined {
  const candidates = planCandidates(process);
  const found: Found[] = [];
  for (const candidate of candidates) {
    found.push(lookUp(root, candidate));
    if (found.at(-1) === 'program') break;
  }
  return planRefusal(process.args[0] ?? '', found) ?? refuseDirectory(root, process.cwd);
}

/** What only the kernel can tell is left to it. */
function refuseDirectory(root: string, cwd: string): ExecRefusal | undefined {
  if (cwd === '/' || /^\/(proc|dev)(\/|$)/.test(cwd)) return undefined;
  return planDirectoryRefusal(cwd, cwd.startsWith('/') ? lookUp(root, cwd) : 'nothing');
}

function lookUp(root: string, path: string): Found {
  const fd = openBelow(root, path, O_PATH);
  if (fd === undefined) return 'nothing';
  try {
    const stat = fstatSync(fd);
    if (stat.isDirectory()) return 'directory';
    return stat.isFile() && (stat.mode & (constants.S_IXUSR | constants.S_IXGRP | constants.S_IXOTH)) !== 0 ? 'program' : 'other';
  } finally {
    closeSync(fd);
  }
}

/** A session that was over before it began: it says why where errors go. */
export function refusedSession(
  { exitCode, message }: ExecRefusal,
  { terminal, stdin }: { terminal: boolean; stdin: boolean },
): ExecSession {
  const said = Readable.from([Buffer.from(`${message}${terminal ? '\r\n' : '\n'}`)]);
  return {
    stdout: terminal ? said : Readable.from([]),
    ...(terminal ? {} : { stderr: said }),
    ...(stdin || terminal ? { stdin: new PassThrough().resume() } : {}),
    exitCode: Promise.resolve(exitCode),
    refusal: { exitCode, message },
    resize: () => {},
    close: () => {},
  };
}
