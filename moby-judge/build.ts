/**
 * moby's integration tests, each of its packages a program: `node moby-judge/build.ts` prints the folder they lie in. The module comes from Go's
 * proxy, checked by `go.sum`; its `vendor.mod` is the `go.mod` that moby itself is built with.
 */
import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { buildGo, goEnvironment, goProgram } from '../tools/go-module.ts';
import { cache, root } from './places.ts';

const run = promisify(execFile);
const MODULE = 'github.com/docker/docker';

/** Folders below `integration/` whose tests a daemon that is already there can be asked. */
export const PACKAGES = [
  'build',
  'container',
  'image',
  'network',
  'network/bridge',
  'network/ipvlan',
  'network/macvlan',
  'networking',
  'session',
  'system',
  'volume',
] as const;
export type Package = (typeof PACKAGES)[number];

/** Where the parts of the judge lie below what `buildMoby` gives. */
export const partsOf = (directory: string) => ({
  source: join(directory, 'source'),
  hello: join(directory, 'hello'),
  tests: (name: Package) => join(directory, `${name.replaceAll('/', '-')}.test`),
});

/** Fetches and builds what is not there yet, a few minutes the first time. @throws when Go or its proxy says no */
export async function buildMoby(): Promise<string> {
  const module = join(root, 'moby-judge');
  const env = goEnvironment();
  const { stdout } = await run(goProgram(), ['mod', 'download', '-json', MODULE], { cwd: module, env });
  const { Dir, Version } = JSON.parse(stdout) as { Dir: string; Version: string };
  const directory = join(cache, Version);
  const { source, hello, tests } = partsOf(directory);
  mkdirSync(directory, { recursive: true });
  if (!existsSync(source)) await copySource(Dir, source);
  if (!existsSync(hello)) await buildGo({ module, path: './hello', output: hello });
  for (const name of PACKAGES) {
    const output = tests(name);
    if (existsSync(output)) continue;
    console.error(`building moby ${Version}, integration/${name} …`);
    await buildGo({ module: source, path: `./integration/${name}`, output, isTest: true });
  }
  return directory;
}

/** Go's cache can't be written to, and the module has no `go.mod` of its own. */
async function copySource(from: string, to: string): Promise<void> {
  const unfinished = mkdtempSync(`${to}.`);
  try {
    cpSync(from, unfinished, { recursive: true });
    await run('chmod', ['-R', 'u+w', unfinished]);
    for (const kind of ['mod', 'sum']) renameSync(join(unfinished, `vendor.${kind}`), join(unfinished, `go.${kind}`));
    renameSync(unfinished, to);
  } finally {
    rmSync(unfinished, { recursive: true, force: true });
  }
}

if (import.meta.main) console.log(await buildMoby());
