import { execFile } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { buildGo, goEnvironment, goProgram } from '../tools/go-module.ts';
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
    const isTest = path.endsWith('/e2e');
    await buildGo({ module, path, output: join(directory, name), isTest, stamps: stampsOf(version) });
  }
  await copyFiles(version);
  if (!isCurrent) writeFileSync(stamp, version);
  return { program: join(directory, 'e2e.test'), version };
}

function stampsOf(version: string): Record<string, string> {
  const [, gitMajor = '', gitMinor = ''] = /^v(\d+)\.(\d+)/.exec(version) ?? [];
  const stamps = Object.entries({ gitVersion: version, gitMajor, gitMinor });
  return Object.fromEntries(stamps.map(([name, value]) => [`k8s.io/component-base/version.${name}`, value]));
}

async function copyFiles(version: string): Promise<void> {
  const directory = join(cache, 'kubernetes');
  mkdirSync(directory, { recursive: true });
  const { stdout } = await run(goProgram(), ['mod', 'download', '-json', `k8s.io/kubernetes@${version}`], {
    cwd: module,
    env: goEnvironment(),
  });
  const { Dir } = JSON.parse(stdout) as { Dir: string };
  for (const file of FILES) copyFileSync(join(Dir, file), join(directory, file.slice(file.lastIndexOf('/') + 1)));
}
