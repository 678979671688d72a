import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { promisify } from 'node:util';
import koffi from 'koffi';
import { type Finding, findingsOf } from './finding.ts';

export interface ProgramFacts {
  /** The OCI runtime that is configured. */
  runtime: 'crun' | 'runc';
  /** What each program says of its version, those that are not there left out. */
  versions: Partial<Record<Program, string>>;
  /** `libseccomp.so.2` can be loaded. */
  hasLibseccomp: boolean;
}

const PROGRAMS = ['crun', 'runc', 'conmon', 'nft'] as const;
type Program = (typeof PROGRAMS)[number];

const DIRECTORIES = ['/usr/bin', '/usr/sbin', '/usr/local/bin', '/usr/local/sbin'];
const TIMEOUT_MS = 10_000;

const { ok, missing } = findingsOf('programs');

/** Judges the programs that the engine starts, and the library beside them. Pure. */
export function planPrograms({ runtime, versions, hasLibseccomp }: ProgramFacts): Finding[] {
  const other = runtime === 'crun' ? 'runc' : 'crun';
  const install = (name: Program) => `Install the package ${name}.`;
  return [
    versions[runtime] === undefined
      ? missing(
          runtime,
          'Containers are started by it.',
          versions[other] ? `${install(runtime)} Or start umiak with --runtime ${other}.` : install(runtime),
        )
      : ok(runtime, `${versions[runtime]}.`),
    ok(other, versions[other] === undefined ? `Not here, and not needed while the runtime is ${runtime}.` : `${versions[other]}.`),
    versions.conmon === undefined
      ? missing('conmon', 'It holds the output of containers while umiak restarts.', install('conmon'))
      : ok('conmon', `${versions.conmon}.`),
    versions.nft === undefined
      ? ok('nft', 'Not here, and not needed: its library does the work.')
      : ok('nft', `${versions.nft}; its library does the work.`),
    hasLibseccomp || runtime === 'runc'
      ? ok('libseccomp', hasLibseccomp ? 'Filters are compiled once a profile.' : 'Not here; runc compiles filters itself.')
      : missing('libseccomp', 'Filters are compiled by it before crun starts a container.', 'Install the package libseccomp2.'),
  ];
}

/** Asks each program for its version: that is said nowhere else. */
export async function readPrograms(runtime: 'crun' | 'runc'): Promise<ProgramFacts> {
  const found = await Promise.all(PROGRAMS.map(async name => [name, await versionOf(name)] as const));
  const versions = Object.fromEntries(found.filter(([, version]) => version !== undefined));
  return { runtime, versions, hasLibseccomp: canLoad('libseccomp.so.2') };
}

async function versionOf(name: Program): Promise<string | undefined> {
  const path = DIRECTORIES.map(directory => `${directory}/${name}`).find(existsSync);
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
