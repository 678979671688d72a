import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { promisify } from 'node:util';
import koffi from 'koffi';
import { criuProblem } from '../checkpoint.ts';
import type { RuntimeHandlers } from '../runtime-handlers.ts';
import { type Finding, findingsOf } from './finding.ts';

export interface ProgramFacts {
  /** The handler that is taken where none is asked for. */
  runtime: string;
  runtimes: RuntimeHandlers;
  /** What each program says of its version, by handler or name; those that are not there left out. */
  versions: Partial<Record<string, string>>;
  /** Why containers can't be checkpointed; absent where they can. */
  criu?: 'absent' | { says: string } | undefined;
  /** `libseccomp.so.2` can be loaded. */
  hasLibseccomp: boolean;
}

const PROGRAMS = ['conmon', 'nft'] as const;

const DIRECTORIES = ['/usr/bin', '/usr/sbin', '/usr/local/bin', '/usr/local/sbin'];
const TIMEOUT_MS = 10_000;

const { ok, fallsBack, missing } = findingsOf('programs');

/** Judges the programs that the engine starts, and the library beside them. Pure. */
export function planPrograms({ runtime, runtimes, versions, criu, hasLibseccomp }: ProgramFacts): Finding[] {
  return [
    ...Object.keys(runtimes).map(name => planRuntime(name, { runtime, runtimes, versions })),
    versions.conmon === undefined
      ? missing('conmon', 'It holds the output of containers while umiak restarts.', 'Install the package conmon.')
      : ok('conmon', `${versions.conmon}.`),
    versions.nft === undefined
      ? ok('nft', 'Not here, and not needed: its library does the work.')
      : ok('nft', `${versions.nft}; its library does the work.`),
    planCriu(criu),
    hasLibseccomp || runtimes[runtime]?.type !== 'crun'
      ? ok('libseccomp', hasLibseccomp ? 'Filters are compiled once a profile.' : `Not here; ${runtime} compiles filters itself.`)
      : missing('libseccomp', 'Filters are compiled by it before crun starts a container.', 'Install the package libseccomp2.'),
  ];
}

/** A convenience: nothing else needs it. */
function planCriu(criu: ProgramFacts['criu']): Finding {
  if (criu === undefined) return ok('criu', 'Containers can be checkpointed.');
  if (criu === 'absent') return ok('criu', 'Not here, and needed for checkpoints alone.');
  return fallsBack(
    'criu',
    `Its check fails, and checkpoints are refused: ${criu.says}`,
    'Boot a kernel that criu knows, or do without checkpoints.',
  );
}

/** One runtime handler: the one that is taken by itself must be there, one that was configured should be. */
function planRuntime(name: string, { runtime, runtimes, versions }: Pick<ProgramFacts, 'runtime' | 'runtimes' | 'versions'>): Finding {
  const { type, path } = runtimes[name]!;
  const version = versions[name];
  if (version !== undefined) return ok(name, path === undefined ? `${version}.` : `${version}, at ${path}.`);
  const remedy = path === undefined ? `Install the package ${type}.` : `Put the program there, or mend \`runtimes.${name}.path\`.`;
  if (name !== runtime)
    return path === undefined
      ? ok(name, `Not here, and not needed while the runtime is ${runtime}.`)
      : fallsBack(name, `${path} does not run: pods whose RuntimeClass names this handler do not start.`, remedy);
  const other = Object.keys(runtimes).find(each => versions[each] !== undefined);
  return missing(name, 'Containers are started by it.', other ? `${remedy} Or start umiak with --runtime ${other}.` : remedy);
}

/** Asks each program for its version: that is said nowhere else. */
export async function readPrograms({ runtime, runtimes }: Pick<ProgramFacts, 'runtime' | 'runtimes'>): Promise<ProgramFacts> {
  const programs = [
    ...Object.entries(runtimes).map(([name, { type, path }]) => ({ name, path: path ?? findProgram(type) })),
    ...PROGRAMS.map(name => ({ name, path: findProgram(name) })),
  ];
  const found = await Promise.all(programs.map(async ({ name, path }) => [name, await versionOf(path)] as const));
  const versions = Object.fromEntries(found.filter(([, version]) => version !== undefined));
  return { runtime, runtimes, versions, criu: await criuProblem(), hasLibseccomp: canLoad('libseccomp.so.2') };
}

function findProgram(name: string): string | undefined {
  return DIRECTORIES.map(directory => `${directory}/${name}`).find(existsSync);
}

async function versionOf(path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined;
  const options = { timeout: TIMEOUT_MS, killSignal: 'SIGKILL', maxBuffer: 64 << 10 } as const;
  try {
    const { stdout } = await promisify(execFile)(path, ['--version'], options);
    return stdout.split('\n')[0]?.trim() || path;
  } catch {
    return undefined; // what does not even tell its version does not work
  }
}

function canLoad(library: string): boolean {
  try {
    koffi.load(library).unload();
    return true;
  } catch {
    return false;
  }
}
