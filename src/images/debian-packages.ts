import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, mkdtemp, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { UmiakError } from '#base/errors.ts';
import { absent } from './content-store.ts';
import { identityPackage, packagesTakenAsGiven } from './debian-lists.ts';

/** One package as the lock names it. */
export interface LockedPackage {
  name: string;
  version: string;
  architecture: string;
  sha256: string;
  sizeBytes: number;
}

export interface DebianPackagesOptions {
  /** Packages are kept in `<cacheDir>/debs/<sha256>.deb`, apt's own indexes in `<cacheDir>/apt`. */
  cacheDir: string;
  architecture: string;
  signal?: AbortSignal;
}

/** Debian packages by the machine's apt sources, without touching the machine's own package state. */
export class DebianPackages {
  readonly #cacheDir: string;
  readonly #debs: string;
  readonly #architecture: string;
  readonly #signal: AbortSignal | undefined;

  constructor({ cacheDir, architecture, signal }: DebianPackagesOptions) {
    this.#cacheDir = cacheDir;
    this.#debs = join(cacheDir, 'debs');
    this.#architecture = architecture;
    this.#signal = signal;
  }

  /** The packages and all they depend on, newest versions, sorted by name. @throws NotFound when apt does not know one. */
  async resolve(names: readonly string[]): Promise<LockedPackage[]> {
    await mkdir(join(this.#cacheDir, 'apt', 'archives', 'partial'), { recursive: true });
    const work = await mkdtemp(join(this.#cacheDir, 'resolve-'));
    try {
      const status = join(work, 'status');
      await writeFile(status, await this.#givenStatus(new Set(names)));
      const options = ['-o', `Dir::State::status=${status}`, '--no-install-recommends', '--no-remove', '-y', '-s'];
      const simulated = await this.#run('apt-get', [...this.#aptOptions(), ...options, 'install', ...names, identityPackage]);
      return await this.#describe(parseSimulation(simulated));
    } finally {
      await rm(work, { recursive: true, force: true });
    }
  }

  /** Paths of the packages' files, each verified against its sha256, fetched where the cache lacks it. @throws NotFound when a version is gone. */
  async fetch(packages: readonly LockedPackage[]): Promise<string[]> {
    await mkdir(this.#debs, { recursive: true });
    const paths = packages.map(({ sha256 }) => join(this.#debs, `${sha256}.deb`));
    const missing: LockedPackage[] = [];
    for (const [i, path] of paths.entries()) if ((await stat(path).catch(absent)) === undefined) missing.push(packages[i]!);
    if (missing.length > 0) await this.#download(missing);
    return paths;
  }

  async #download(packages: readonly LockedPackage[]): Promise<void> {
    const work = await mkdtemp(join(this.#cacheDir, 'fetch-'));
    try {
      const wanted = packages.map(
        ({ name, version, architecture }) => `${name}${architecture === 'all' ? '' : `:${architecture}`}=${version}`,
      );
      await this.#run('apt-get', [...this.#aptOptions(), '-q', 'download', ...wanted], work);
      const bySha256 = new Map<string, string>();
      for (const file of await readdir(work)) bySha256.set(await sha256Of(join(work, file)), file);
      for (const { name, version, sha256 } of packages) {
        const file = bySha256.get(sha256);
        if (file === undefined)
          throw new UmiakError('Invalid', `package ${name} ${version}: what apt fetched does not have the sha256 of the lock, ${sha256}`, {
            hint: 'The archive holds another build under this version; renew the lock to take it.',
          });
        await rename(join(work, file), join(this.#debs, `${sha256}.deb`));
      }
    } finally {
      await rm(work, { recursive: true, force: true });
    }
  }

  /** A package state in which what is taken as given is installed, so that apt leaves it out. */
  async #givenStatus(asked: ReadonlySet<string>): Promise<string> {
    const names = packagesTakenAsGiven.filter(name => !asked.has(name));
    const shown = await this.#run('apt-cache', [...this.#aptOptions(), '--no-all-versions', 'show', ...names], undefined, true);
    const kept = ['Package', 'Version', 'Architecture', 'Multi-Arch', 'Provides'];
    return parseStanzas(shown)
      .map(
        stanza =>
          `${kept.flatMap(key => (stanza[key] ? [`${key}: ${stanza[key]}\n`] : [])).join('')}Status: install ok installed\nMaintainer: none\nDescription: given\n\n`,
      )
      .join('');
  }

  async #describe(planned: { name: string; version: string }[]): Promise<LockedPackage[]> {
    const shown = await this.#run('apt-cache', [
      ...this.#aptOptions(),
      'show',
      ...planned.map(({ name, version }) => `${name}=${version}`),
    ]);
    const stanzas = new Map(parseStanzas(shown).map(stanza => [`${stanza.Package}=${stanza.Version}`, stanza]));
    return planned
      .map(({ name, version }) => {
        const { SHA256: sha256, Size, Architecture } = stanzas.get(`${name}=${version}`) ?? {};
        if (!sha256 || !Architecture)
          throw new UmiakError('NotFound', `apt names no sha256 for package ${name} ${version}`, { hint: 'Run apt-get update.' });
        return { name, version, architecture: Architecture, sha256, sizeBytes: Number(Size) };
      })
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  #aptOptions(): string[] {
    const settings = {
      'Dir::Cache': join(this.#cacheDir, 'apt'),
      'APT::Architecture': this.#architecture,
      'APT::Sandbox::User': 'root',
      'Debug::NoLocking': 'true',
      'APT::Get::AllowUnauthenticated': 'false',
    };
    return Object.entries(settings).flatMap(([key, value]) => ['-o', `${key}=${value}`]);
  }

  async #run(command: string, args: string[], cwd?: string, isPartialFine = false): Promise<string> {
    const { code, stdout, stderr } = await run(command, args, cwd, this.#signal);
    if (code === 0 || (isPartialFine && stdout !== '')) return stdout;
    throw toAptError(command, stderr || stdout);
  }
}

/** apt's complaint with what to do about it. */
export function toAptError(command: string, stderr: string): UmiakError {
  const complaints = stderr.split('\n').flatMap(line => (line.startsWith('E: ') ? [line.slice(3)] : []));
  const text = complaints.join(' ') || stderr.trim().split('\n').at(-1) || 'it failed without a word';
  if (/Version .* was not found|Can't find a source to download version/.test(text))
    return new UmiakError('NotFound', `a package version of the lock is no longer in the machine's apt sources: ${text}`, {
      hint: 'Renew the lock (--update), or add a source that still has it, as snapshot.debian.org.',
    });
  if (/Unable to locate package|has no installation candidate|No packages found|Couldn't find any package/.test(text))
    return new UmiakError('NotFound', `apt does not know a package: ${text}`, {
      hint: 'Check its name; run apt-get update if the lists are old or missing.',
    });
  return new UmiakError('ServiceUnavailable', `${command}: ${text}`, {
    hint: 'Check the machine’s apt sources and its network; run apt-get update.',
  });
}

/** The `Inst name (version source [arch])` lines of `apt-get -s install`. */
export function parseSimulation(text: string): { name: string; version: string }[] {
  return [...text.matchAll(/^Inst (\S+?)(?::\S+)? (?:\[[^\]]*\] )?\((\S+) /gm)].map(([, name = '', version = '']) => ({ name, version }));
}

/** Debian's control format (Debian policy 5.1): stanzas of fields, folded lines joined. */
export function parseStanzas(text: string): Record<string, string>[] {
  return text
    .split(/\n\s*\n/)
    .filter(stanza => stanza.trim() !== '')
    .map(stanza =>
      Object.fromEntries(
        [...stanza.matchAll(/^([^\s:]+):[ \t]*(.*(?:\n[ \t].*)*)$/gm)].map(([, key = '', value = '']) => [key, value.trim()]),
      ),
    );
}

/** A package's data or control archive as a plain tar stream, by dpkg-deb, which knows xz. */
export async function* readPackage(path: string, part: 'fsys' | 'ctrl'): AsyncGenerator<Uint8Array, void, undefined> {
  const child = spawn('dpkg-deb', [`--${part}-tarfile`, path], { stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = new Promise<{ code: number | null; error?: Error }>(resolve => {
    child.once('error', error => resolve({ code: null, error }));
    child.once('close', code => resolve({ code }));
  });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-2000);
  });
  try {
    yield* child.stdout as AsyncIterable<Uint8Array>;
    const { code, error } = await ended;
    if (code !== 0) throw new UmiakError('InternalError', `dpkg-deb could not read ${path}: ${error?.message ?? stderr.trim()}`);
  } finally {
    child.kill();
  }
}

async function run(command: string, args: string[], cwd: string | undefined, signal: AbortSignal | undefined) {
  const child = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, LC_ALL: 'C', LANGUAGE: 'C' },
    ...(cwd ? { cwd } : {}),
    ...(signal ? { signal } : {}),
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', cause =>
      reject(new UmiakError('InternalError', `${command} can't be run`, { hint: 'Packages become images on Debian and its kin.', cause })),
    );
    child.once('close', resolve);
  });
  signal?.throwIfAborted();
  return { code, stdout, stderr };
}

async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk);
  return hash.digest('hex');
}
