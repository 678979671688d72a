import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, renameSync } from 'node:fs';

export interface GoBuild {
  /** The folder whose `go.mod` and `go.sum` say which versions. */
  module: string;
  /** What is built, as the module names it. */
  path: string;
  output: string;
  /** Its tests as a program. */
  isTest?: boolean;
  /** Strings stamped into the program, by the name of their variable. */
  stamps?: Readonly<Record<string, string>>;
}

/** Builds a program of a Go module, behind everything else that the machine does; there is none or a whole one. @throws when Go says no */
export async function buildGo({ module, path, output, isTest = false, stamps = {} }: GoBuild): Promise<void> {
  const flags = Object.entries(stamps).map(([name, value]) => `-X ${name}=${value}`);
  const args = isTest ? ['test', '-c', '-vet=off'] : ['build'];
  args.push('-p', '2', '-trimpath', '-ldflags', ['-s -w', ...flags].join(' '), '-o', `${output}.part`, path);
  const child = spawn('nice', ['-n', '19', goProgram(), ...args], { cwd: module, stdio: 'inherit', env: goEnvironment() });
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code !== 0) throw new Error(`go ${args[0]} ${path} ended with ${code}`);
  renameSync(`${output}.part`, output);
}

export function goProgram(): string {
  const usual = '/usr/local/go/bin/go';
  return existsSync(usual) ? usual : 'go';
}

export function goEnvironment(): NodeJS.ProcessEnv {
  return { ...process.env, GOFLAGS: '-buildvcs=false -mod=mod', CGO_ENABLED: '0' };
}
