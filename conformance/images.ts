import { createWriteStream, existsSync, mkdirSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { assembleArchive } from '#images/assemble.ts';
import { parseReference } from '#images/reference.ts';
import type { TestCluster } from '../tests/cluster.ts';
import type { TestRegistry } from '../tests/registry.ts';
import { cache, root } from './places.ts';

/** Images we have a definition for, by the last part of the names that specs use. What is not here is not served; specs that need it fail. */
const DEFINITIONS: Readonly<Record<string, string>> = {
  agnhost: 'agnhost',
  busybox: 'busybox',
  'glibc-dns-testing': 'glibc-dns-testing',
  kitten: 'kitten',
  nautilus: 'nautilus',
  nginx: 'nginx',
  nonewprivs: 'nonewprivs',
  nonroot: 'nonroot',
  pause: 'pause',
};

/** Registries that specs expect to refuse: what is asked from them must stay absent. */
const NEVER_SERVED = /^(invalid\.registry\.k8s\.io|gcr\.io\/k8s-authenticated-test)\//;

/** Which of the names that the specs ask for are made from which definition, one definition once. */
export function planImages(asked: readonly string[]): { definition: string; names: string[] }[] {
  const plan = new Map<string, string[]>();
  for (const name of asked) {
    if (NEVER_SERVED.test(name)) continue;
    const definition = DEFINITIONS[parseReference(name).repository.split('/').at(-1) ?? ''];
    if (definition === undefined) continue;
    const names = plan.get(definition) ?? [];
    if (!names.includes(name)) names.push(name);
    plan.set(definition, names);
  }
  return [...plan].map(([definition, names]) => ({ definition, names }));
}

/** Makes the images and gives them the names that the specs use, so that nothing is fetched while they run. */
export async function serveImages(cluster: TestCluster, asked: readonly string[]): Promise<void> {
  for (const { definition, names } of planImages(asked)) {
    await cluster.must('image', 'load', '-i', await archiveOf(definition));
    for (const name of names) await cluster.must('image', 'tag', `localhost/conformance/${definition}:1`, name);
  }
}

/** What specs ask for at each start of a pod, whatever is there: these have a registry of their own. */
const PULLED = ['kitten', 'busybox'];
/** Specs that do so. */
export const PULLS = /pull policy of Always/;

/**
 * Puts what specs pull into a registry, and returns the suite's environment for it: a file that names this registry in place of the one
 * on the internet (`KUBE_TEST_REPO_LIST`).
 */
export async function serveRegistryImages(registry: TestRegistry, asked: readonly string[], directory: string): Promise<NodeJS.ProcessEnv> {
  for (const { definition, names } of planImages(asked)) {
    if (!PULLED.includes(definition)) continue;
    const archive = await archiveOf(definition);
    for (const name of names) await registry.push(archive, `e2e-test-images/${name.slice(name.lastIndexOf('/') + 1)}`);
  }
  const list = join(directory, 'registries.yaml');
  writeFileSync(list, `promoterE2eRegistry: ${registry.address}/e2e-test-images\n`);
  return { KUBE_TEST_REPO_LIST: list };
}

/** The image as an archive, assembled again only when its definition or a program in it is newer. */
async function archiveOf(definition: string): Promise<string> {
  const file = join(root, 'conformance/images', `${definition}.yaml`);
  const archive = join(cache, 'images', `${definition}.tar`);
  const newest = Math.max(...[file, join(cache, 'bin/version')].map(each => statSync(each).mtimeMs));
  if (existsSync(archive) && statSync(archive).mtimeMs > newest) return archive;
  console.log(`assembling ${definition} …`);
  mkdirSync(join(cache, 'images'), { recursive: true });
  const lockPath = join(cache, 'images', `${definition}.lock`);
  const assembled = await assembleArchive(file, { cacheDir: join(cache, 'packages'), lockPath });
  await pipeline(assembled.archive, createWriteStream(`${archive}.part`));
  renameSync(`${archive}.part`, archive);
  return archive;
}
