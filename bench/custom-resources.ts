/** Custom resources: how soon a new definition is served, what 500 of them weigh, and what the creation of a large object with rules costs. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { establish } from '#apiserver/crd/testing.ts';
import { startTestCluster, type TestCluster } from '#apiserver/test-cluster.ts';
import type { CrdSchema } from '#kinds/crd-schema.ts';
import { quantile, report } from './table.ts';

const DEFINITIONS = 500;
const OBJECTS = 1_000;
const CRDS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

await using cluster = await startTestCluster();
await measureDefinitions(cluster);
await measureObjects(cluster);

/** A definition of `PLURAL.many.example.com` whose spec has this schema. */
function definition(plural: string, kind: string, spec: CrdSchema) {
  const versions = [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object', properties: { spec } } } }];
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.many.example.com` },
    spec: { group: 'many.example.com', scope: 'Namespaced', names: { plural, kind }, versions },
  };
}

async function measureDefinitions({ call, server }: TestCluster): Promise<void> {
  const description = 'what this is about, told in some words';
  const fields = Array.from({ length: 400 }, (_, i) => [`field${i}`, { type: 'string', maxLength: 100, description }] as const);
  const spec: CrdSchema = { type: 'object', properties: Object.fromEntries(fields) };
  await establish(cluster, definition('firsts', 'First', spec));
  const before = await settledMegabytes();
  const times: number[] = [];
  for (let i = 0; i < DEFINITIONS; i++) {
    const began = performance.now();
    await call('POST', CRDS, definition(`things${i}`, `Thing${i}`, spec));
    while ((await call('GET', `/apis/many.example.com/v1/namespaces/default/things${i}`)).status !== 200);
    times.push(performance.now() - began);
  }
  await server.settled();
  report({
    what: 'custom resource: definition created to objects served, p99',
    unit: 'ms',
    ours: quantile(times, 0.99),
    better: 'less',
    target: 100,
  });
  const after = await settledMegabytes();
  report({ what: `memory of ${DEFINITIONS} definitions of 40 KB`, unit: 'MB', ours: after - before, better: 'less', target: 120 });
}

async function measureObjects({ server }: TestCluster): Promise<void> {
  const fields = Array.from({ length: 200 }, (_, i): [string, CrdSchema] => [
    `f${i}`,
    i % 4 === 0 ? { type: 'integer', minimum: 0, maximum: 1000 } : { type: 'string', maxLength: 50 },
  ]);
  const rules = Array.from({ length: 10 }, (_, i) => ({ rule: `self.f${i * 4} < 2000 && self.f${i * 4 + 1}.startsWith('v')` }));
  await establish(
    cluster,
    definition('larges', 'Large', { type: 'object', properties: Object.fromEntries(fields), 'x-kubernetes-validations': rules }),
  );
  const spec = Object.fromEntries(fields.map(([name], i) => [name, i % 4 === 0 ? i : `value ${i}`]));
  const wire = server.local({ name: 'bench', groups: ['system:masters'] });
  const create = async (from: number) => {
    for (let i = from; i < from + OBJECTS; i++) {
      const body = { apiVersion: 'many.example.com/v1', kind: 'Large', metadata: { name: `l${i}` }, spec };
      const { status } = await wire.request({ method: 'POST', path: '/apis/many.example.com/v1/namespaces/default/larges', body });
      if (status !== 201) throw new Error(`a creation was answered with ${status}`);
    }
  };
  await create(0);
  const began = process.threadCpuUsage();
  await create(OBJECTS);
  const { user, system } = process.threadCpuUsage(began);
  const ours = (user + system) / 1000 / OBJECTS;
  report({ what: 'custom resource of 200 fields under 10 rules: CPU of a create', unit: 'ms', ours, better: 'less', target: 1 });
}

/** What the process holds once the collector has been through. */
async function settledMegabytes(): Promise<number> {
  for (let round = 0; round < 6; round++) {
    collectGarbage();
    await new Promise(resolve => setTimeout(resolve, 1_000));
  }
  return process.memoryUsage.rss() / 1e6;
}
