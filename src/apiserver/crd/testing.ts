/** Definitions for tests, and the way to have them served. */
import type { CrdSchema } from '#kinds/crd-schema.ts';
import { at, type TestCluster } from '../test-cluster.ts';

const CRDS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';

/** A definition of `crontabs.GROUP` with one version `v1` of this schema; `version` adds to it. */
export function definition(group: string, schema: CrdSchema, version: object = {}, spec: object = {}): CustomDefinition {
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `crontabs.${group}` },
    spec: {
      group,
      scope: 'Namespaced',
      names: { plural: 'crontabs', kind: 'CronTab', shortNames: ['ct'] },
      versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: schema }, ...version }],
      ...spec,
    },
  };
}

/** What tests send as a definition. */
export interface CustomDefinition {
  apiVersion: string;
  kind: string;
  metadata: { name: string };
  spec: Record<string, unknown> & { versions: object[] };
}

/** The definition of the documentation's example. */
export function crontabs(group: string): CustomDefinition {
  const properties: Record<string, CrdSchema> = {
    cronSpec: { type: 'string', pattern: '^(\\d+|\\*)(/\\d+)?(\\s+(\\d+|\\*)(/\\d+)?){4}$' },
    image: { type: 'string' },
    replicas: { type: 'integer', minimum: 1, maximum: 10, default: 1 },
  };
  return definition(
    group,
    { type: 'object', properties: { spec: { type: 'object', required: ['cronSpec'], properties } } },
    {
      additionalPrinterColumns: [
        { name: 'Spec', type: 'string', jsonPath: '.spec.cronSpec' },
        { name: 'Replicas', type: 'integer', jsonPath: '.spec.replicas' },
      ],
    },
  );
}

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
