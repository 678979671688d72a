import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { cache, root } from './places.ts';

const run = promisify(execFile);
const module = join(root, 'conformance');

/** What the specs and the images need that is written in Go: the file it becomes and the package it is, all from one module. */
const PROGRAMS = {
  agnhost: 'k8s.io/kubernetes/test/images/agnhost',
  sh: './sh',
  nnp: 'k8s.io/kubernetes/test/images/nonewprivs',
  'e2e.test': 'k8s.io/kubernetes/test/e2e',
} as const;

/** Files of Kubernetes' tree that images hold. */
const FILES = ['test/images/agnhost/porter/localhost.crt', 'test/images/agnhost/porter/localhost.key'];

/**
 * Builds what is not yet there for the required version, and returns the path of the suite's program. The first time takes minutes and
 * needs Go and its module proxy; `conformance/go.mod` says which versions, `go.sum` that they are what they were.
 */
export async function buildSuite(): Promise<{ program: string; version: string }> {
  const version = /^require k8s\.io\/kubernetes (v\S+)/m.exec(readFileSync(join(module, 'go.mod'), 'utf8'))?.[1];
  if (version === undefined) throw new Error('conformance/go.mod requires no k8s.io/kubernetes');
  const directory = join(cache, 'bin');
  const stamp = join(directory, 'version');
  const isCurrent = existsSync(stamp) && readFileSync(stamp, 'utf8') === version;
  mkdirSync(directory, { recursive: true });
  for (const [name, path] of Object.entries(PROGRAMS)) {
    if (isCurrent && existsSync(join(directory, name))) continue;
    console.log(`building ${name} of Kubernetes ${version} …`);
    await build(path, join(directory, name), version);
  }
  await copyFiles(version);
  if (!isCurrent) writeFileSync(stamp, version);
  return { program: join(directory, 'e2e.test'), version };
}

/** The compiler runs behind everything else on the machine. */
async function build(path: string, output: string, version: string): Promise<void> {
  const isSuite = path.endsWith('/e2e');
  const [, major, minor] = /^v(\d+)\.(\d+)/.exec(version) ?? [];
  const stamps = { gitVersion: version, gitMajor: major, gitMinor: minor };
  const flags = Object.entries(stamps).map(([name, value]) => `-X k8s.io/component-base/version.${name}=${value}`);
  const args = isSuite ? ['test', '-c', '-vet=off'] : ['build'];
  args.push('-p', '2', '-trimpath', '-ldflags', ['-s -w', ...flags].join(' '), '-o', `${output}.part`, path);
  const child = spawn('nice', ['-n', '19', go(), ...args], { cwd: module, stdio: 'inherit', env: goEnvironment() });
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code !== 0) throw new Error(`go ${args[0]} ${path} ended with ${code}`);
  renameSync(`${output}.part`, output);
}

async function copyFiles(version: string): Promise<void> {
  const directory = join(cache, 'kubernetes');
  mkdirSync(directory, { recursive: true });
  const { stdout } = await run(go(), ['mod', 'download', '-json', `k8s.io/kubernetes@${version}`], { cwd: module, env: goEnvironment() });
  const { Dir } = JSON.parse(stdout) as { Dir: string };
  for (const file of FILES) copyFileSync(join(Dir, file), join(directory, file.slice(file.lastIndexOf('/') + 1)));
}

function go(): string {
  const usual = '/usr/local/go/bin/go';
  return existsSync(usual) ? usual : 'go';
}

function goEnvironment(): NodeJS.ProcessEnv {
  return { ...process.env, GOFLAGS: '-buildvcs=false -mod=mod', CGO_ENABLED: '0' };
}
