/** How tests have definitions served. */
import { at, type TestCluster } from '../test-cluster.ts';
import type { CustomDefinition } from './test-definitions.ts';

const CRDS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';

/** Creates the definition and waits until its objects can be made. @throws when it is refused */
export async function establish(cluster: TestCluster, crd: CustomDefinition): Promise<void> {
  const made = await cluster.call('POST', CRDS, crd);
  if (made.status !== 201) throw new Error(made.text);
  await untilDefinition(cluster, crd.metadata.name, body => conditionOf(body, 'Established') === 'True');
}

/** Follows a definition until `isSo`; a deleted one is undefined. */
export async function untilDefinition(cluster: TestCluster, name: string, isSo: (body: unknown) => boolean): Promise<void> {
  const signal = AbortSignal.timeout(10_000);
  const wire = cluster.server.local({ name: 'test', groups: ['system:masters'] });
  const { promise, resolve } = Promise.withResolvers<void>();
  const stop = new AbortController();
  signal.addEventListener('abort', () => stop.abort());
  const watching = wire.watch({
    path: `${CRDS}?watch=true&fieldSelector=metadata.name%3D${name}`,
    signal: stop.signal,
    receive: ({ type, object }) => {
      if (isSo(type === 'DELETED' ? undefined : object)) resolve();
    },
  });
  const none = await cluster.call('GET', `${CRDS}/${name}`);
  if (none.status === 404 && isSo(undefined)) resolve();
  await Promise.race([promise, watching]);
  if (signal.aborted) throw new Error(`${name} did not become so: ${(await cluster.call('GET', `${CRDS}/${name}`)).text}`);
  stop.abort();
  await watching;
}

/** The status of a condition. */
export function conditionOf(body: unknown, type: string): string | undefined {
  const conditions = (at(body, 'status.conditions') ?? []) as { type: string; status: string }[];
  return conditions.find(each => each.type === type)?.status;
}
