import type { Pod } from '#kinds/pod.ts';
import { type TestCluster, until } from './cluster.ts';

/** What tests of real pods do with a cluster that is up by the time they call. */
export function podsOf(cluster: () => TestCluster) {
  const apply = (...items: object[]) => cluster().apply(JSON.stringify({ apiVersion: 'v1', kind: 'List', items }));
  const read = async (name: string): Promise<Pod> => JSON.parse(await cluster().kubectl('get', 'pod', name, '-o', 'json'));
  /** The pod as soon as that holds; what it said and its status are told when it doesn't. */
  const when = (name: string, what: string, holds: (found: Pod) => boolean | undefined) =>
    until(`pod ${name}: ${what}`, async () => {
      const found = await read(name);
      return holds(found) ? found : undefined;
    }).catch(async error => {
      const said = (await cluster().tryKubectl('logs', name, '--all-containers', '--prefix')).stdout;
      throw new Error(`${error.message}\n${said}\n${JSON.stringify((await read(name)).status, undefined, 1)}`);
    });
  const inPhase = (name: string, phase: string) => when(name, phase, found => found.status?.phase === phase);
  return { apply, read, when, inPhase };
}
