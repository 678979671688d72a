import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { messageOf, UmiakError } from '#base/errors.ts';
import type { Streams } from './terminal.ts';

interface Named {
  name: string;
}
interface Kubeconfig {
  clusters?: Named[];
  users?: Named[];
  contexts?: (Named & { context?: { cluster?: string; user?: string } })[];
  'current-context'?: string;
}

async function readOwn(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new UmiakError('NotFound', `the kubeconfig ${path} can't be read: ${messageOf(cause)}`, {
      cause,
      hint: 'Has umiak been started? `umiak up` makes it.',
    });
  }
}

/** `umiak kubeconfig`: prints the instance's own. */
export async function printKubeconfig({ stdout }: Streams, path: string): Promise<void> {
  stdout.write(await readOwn(path));
}

/** `umiak kubeconfig --merge`: puts the instance's cluster, user and context into another file and makes it the current one. */
export async function mergeKubeconfig({ stderr }: Streams, path: string, into: string): Promise<void> {
  const { parse, stringify } = await import('#base/yaml.ts');
  const own = parse(await readOwn(path)) as Kubeconfig;
  const theirs = ((await readFile(into, 'utf8').then(parse, ignoreAbsence)) ?? {}) as Kubeconfig;
  const merged = planMerge(theirs, own);
  await mkdir(dirname(into), { recursive: true, mode: 0o700 });
  const part = `${into}.part-${process.pid}`;
  await writeFile(part, stringify(merged), { mode: 0o600 });
  await rename(part, into);
  stderr.write(`${into} now has the context ${own['current-context']}, and it is the current one\n`);
}

/** `theirs` with what `own` has in place of entries of the same names; all else stays. */
export function planMerge(theirs: Kubeconfig, own: Kubeconfig): Kubeconfig {
  const join = <T extends Named>(a: T[] = [], b: T[] = []) => [...a.filter(({ name }) => !b.some(each => each.name === name)), ...b];
  return {
    ...{ apiVersion: 'v1', kind: 'Config' },
    ...theirs,
    clusters: join(theirs.clusters, own.clusters),
    users: join(theirs.users, own.users),
    contexts: join(theirs.contexts, own.contexts),
    ...(own['current-context'] !== undefined ? { 'current-context': own['current-context'] } : {}),
  };
}

function ignoreAbsence(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
}
