import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf } from '#base/errors.ts';
import { buildGo } from '../tools/go-module.ts';
import { cache, root } from './places.ts';

/** Programs of the module in this folder: the file each becomes, the package it is, and whether that package is tests. */
const PROGRAMS = {
  crictl: { path: 'sigs.k8s.io/cri-tools/cmd/crictl', isTest: false },
  critest: { path: 'sigs.k8s.io/cri-tools/cmd/critest', isTest: true },
  nnp: { path: './nnp', isTest: false },
  sh: { path: './sh', isTest: false },
} as const;

export type Judge = keyof typeof PROGRAMS;

/**
 * Builds those that are not yet there for the required version of cri-tools, and says where they are. The first time takes a minute or two and
 * needs Go and its module proxy; `critest/go.mod` says which versions, `go.sum` that they are what they were.
 */
export async function buildJudges<T extends Judge>(...names: T[]): Promise<Record<T, string> & { version: string }> {
  const module = join(root, 'critest');
  const version = /^require sigs\.k8s\.io\/cri-tools v(\S+)/m.exec(readFileSync(join(module, 'go.mod'), 'utf8'))?.[1];
  if (version === undefined) throw new Error('critest/go.mod requires no sigs.k8s.io/cri-tools');
  const directory = join(cache, 'bin');
  const stamp = join(directory, 'version');
  mkdirSync(directory, { recursive: true });
  if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== version) {
    for (const name of Object.keys(PROGRAMS)) rmSync(join(directory, name), { force: true });
    writeFileSync(stamp, version);
  }
  for (const name of names) {
    const output = join(directory, name);
    if (existsSync(output)) continue;
    console.log(`building ${name} of cri-tools ${version} …`);
    await buildGo({ module, output, ...PROGRAMS[name], stamps: { 'sigs.k8s.io/cri-tools/pkg/version.Version': version } });
  }
  const found = Object.fromEntries(names.map(name => [name, join(directory, name)])) as Record<T, string>;
  return { ...found, version };
}

/** crictl, for tests: built if need be; without Go or its module proxy, why it is missing. */
export async function haveCrictl(): Promise<{ have?: string; missing?: string }> {
  try {
    return { have: (await buildJudges('crictl')).crictl };
  } catch (error) {
    return { missing: `crictl could not be built (make critest does it, with Go and its module proxy): ${messageOf(error)}` };
  }
}
