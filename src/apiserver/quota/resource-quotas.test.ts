import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Answer, at, openWatch, startTestCluster, type TestCluster } from '../test-cluster.ts';

let cluster: TestCluster;
before(async () => {
  cluster = await startTestCluster();
});
after(() => cluster[Symbol.asyncDispose]());

async function newNamespace(name: string): Promise<string> {
  await cluster.call('POST', '/api/v1/namespaces', { metadata: { name } });
  await cluster.call('POST', `/api/v1/namespaces/${name}/serviceaccounts`, { metadata: { name: 'default' } });
  return `/api/v1/namespaces/${name}`;
}

const quota = (name: string, hard: Record<string, string>, more: object = {}) => ({ metadata: { name }, spec: { hard, ...more } });
const pod = (name: string, resources: object = {}, more: object = {}) => ({
  metadata: { name },
  spec: { containers: [{ name: 'c', image: 'i', resources }], ...more },
});
const message = (answer: Answer) => String(at(answer.body, 'message'));

async function usedBecomes(path: string, name: string, used: Record<string, string>): Promise<void> {
  await using watch = await openWatch(cluster, `${path}/resourcequotas?watch=true&fieldSelector=metadata.name=${name}`);
  const isThere = (object: unknown) =>
    Object.entries(used).every(([key, value]) => (at(object, 'status.used') as Record<string, string> | undefined)?.[key] === value);
  await watch.until(({ object }) => isThere(object));
}

test('of a hundred creations at once as many succeed as the quota allows', async () => {
  const path = await newNamespace('exact');
  await cluster.call('POST', `${path}/resourcequotas`, quota('q', { 'count/configmaps': '10', configmaps: '20' }));
  const make = (i: number) => cluster.call('POST', `${path}/configmaps`, { metadata: { name: `c-${i}` } });
  const answers = await Promise.all(Array.from({ length: 100 }, (_, i) => make(i)));
  assert.equal(answers.filter(({ status }) => status === 201).length, 10);
  const refused = answers.find(({ status }) => status !== 201)!;
  assert.equal(refused.status, 403);
  assert.match(
    message(refused),
    /^configmaps "c-\d+" is forbidden: exceeded quota: q, requested: count\/configmaps=1, used: count\/configmaps=10, limited: count\/configmaps=10$/,
  );
  await usedBecomes(path, 'q', { 'count/configmaps': '10', configmaps: '10' });

  const items = at((await cluster.call('GET', `${path}/configmaps`)).body, 'items') as { metadata: { name: string } }[];
  await cluster.call('DELETE', `${path}/configmaps/${items[0]!.metadata.name}`);
  assert.equal((await make(200)).status, 201, 'what is deleted makes room at once');
  assert.equal((await make(201)).status, 403);
});

test('a new start counts again, before it lets anybody in', async () => {
  const path = await newNamespace('restarted');
  await cluster.call('POST', `${path}/resourcequotas`, quota('q', { secrets: '2' }));
  await cluster.call('POST', `${path}/secrets`, { metadata: { name: 'a' } });
  await using again = await startTestCluster({ store: cluster.store });
  const make = (name: string) => again.call('POST', `${path}/secrets`, { metadata: { name } });
  const answers = await Promise.all(['b', 'c', 'd'].map(make));
  assert.equal(answers.filter(({ status }) => status === 201).length, 1);
});

test('the room of a write that fails is given back', async () => {
  const path = await newNamespace('failing');
  await cluster.call('POST', `${path}/resourcequotas`, quota('q', { secrets: '2' }));
  const make = (name: string) => cluster.call('POST', `${path}/secrets`, { metadata: { name } });
  const same = await Promise.all(Array.from({ length: 20 }, () => make('same')));
  assert.equal(same.filter(({ status }) => status === 201).length, 1);
  assert.equal((await make('same')).status, 409);
  assert.equal((await make('other')).status, 201, 'attempts that lost hold nothing');
  assert.equal((await make('third')).status, 403);
});

test('a quota counts what was there before it, and its status says so', async () => {
  const path = await newNamespace('late');
  await cluster.call('POST', `${path}/secrets`, { metadata: { name: 'a' } });
  await cluster.call('POST', `${path}/resourcequotas`, quota('q', { secrets: '1', resourcequotas: '5' }));
  assert.equal((await cluster.call('POST', `${path}/secrets`, { metadata: { name: 'b' } })).status, 403);
  await usedBecomes(path, 'q', { secrets: '1', resourcequotas: '1' });
  await cluster.call(
    'PATCH',
    `${path}/resourcequotas/q`,
    { spec: { hard: { secrets: '2' } } },
    { 'content-type': 'application/merge-patch+json' },
  );
  assert.equal((await cluster.call('POST', `${path}/secrets`, { metadata: { name: 'b' } })).status, 201);
  await usedBecomes(path, 'q', { secrets: '2' });
});

test('pods have to say what they use of what is bounded, and use it', async () => {
  const path = await newNamespace('compute');
  await cluster.call('POST', `${path}/resourcequotas`, quota('q', { pods: '2', 'limits.cpu': '1', 'requests.memory': '200Mi' }));
  const unsaid = await cluster.call('POST', `${path}/pods`, pod('p'));
  assert.match(message(unsaid), /failed quota: q: must specify limits\.cpu for: c; requests\.memory for: c$/);
  const resources = { limits: { cpu: '500m', memory: '100Mi' } };
  assert.equal((await cluster.call('POST', `${path}/pods`, pod('p', resources))).status, 201);
  const big = await cluster.call('POST', `${path}/pods`, pod('q', { limits: { cpu: '600m', memory: '50Mi' } }));
  assert.match(message(big), /exceeded quota: q, requested: limits\.cpu=600m, used: limits\.cpu=500m, limited: limits\.cpu=1$/);
  const dry = await cluster.call('POST', `${path}/pods?dryRun=All`, pod('q', resources));
  assert.equal(dry.status, 201);
  assert.equal((await cluster.call('POST', `${path}/pods`, pod('q', resources))).status, 201, 'a dry run keeps nothing');
  await usedBecomes(path, 'q', { pods: '2', 'limits.cpu': '1', 'requests.memory': '200Mi' });
  const ended = { status: { phase: 'Succeeded' } };
  await cluster.call('PATCH', `${path}/pods/p/status`, ended, { 'content-type': 'application/merge-patch+json' });
  await usedBecomes(path, 'q', { pods: '1', 'limits.cpu': '500m', 'requests.memory': '100Mi' });
});

test('scopes choose the pods that count', async () => {
  const path = await newNamespace('scopes');
  const selector = (scopeName: string, operator: string, values?: string[]) => ({
    scopeSelector: { matchExpressions: [{ scopeName, operator, ...(values && { values }) }] },
  });
  const quotas = [
    quota('terminating', { pods: '1' }, { scopes: ['Terminating'] }),
    quota('best-effort', { pods: '1' }, selector('BestEffort', 'Exists')),
    quota('cross', { pods: '0' }, selector('CrossNamespacePodAffinity', 'Exists')),
    quota('critical', { pods: '0' }, selector('PriorityClass', 'In', ['system-node-critical'])),
  ];
  for (const each of quotas) assert.equal((await cluster.call('POST', `${path}/resourcequotas`, each)).status, 201);
  const some = { requests: { cpu: '1m' } };
  assert.equal((await cluster.call('POST', `${path}/pods`, pod('best'))).status, 201);
  assert.match(message(await cluster.call('POST', `${path}/pods`, pod('best2'))), /exceeded quota: best-effort/);
  assert.equal((await cluster.call('POST', `${path}/pods`, pod('burst', some))).status, 201);
  assert.equal((await cluster.call('POST', `${path}/pods`, pod('ends', some, { activeDeadlineSeconds: 5 }))).status, 201);
  assert.match(
    message(await cluster.call('POST', `${path}/pods`, pod('ends2', some, { activeDeadlineSeconds: 5 }))),
    /exceeded quota: terminating/,
  );
  const term = { namespaces: ['other'], topologyKey: 'zone', labelSelector: {} };
  const affinity = { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [term] } };
  assert.match(message(await cluster.call('POST', `${path}/pods`, pod('cross', some, { affinity }))), /exceeded quota: cross/);
  const critical = pod('crit', some, { priorityClassName: 'system-node-critical' });
  assert.match(message(await cluster.call('POST', `${path}/pods`, critical)), /exceeded quota: critical/);
  await usedBecomes(path, 'best-effort', { pods: '1' });
});

test('services count ports, claims count storage by class', async () => {
  const path = await newNamespace('things');
  await cluster.call(
    'POST',
    `${path}/resourcequotas`,
    quota('q', { services: '3', 'services.nodeports': '2', 'services.loadbalancers': '0' }),
  );
  const service = (name: string, type: string, ports: number) => ({
    metadata: { name },
    spec: { type, ports: Array.from({ length: ports }, (_, i) => ({ name: `p${i}`, port: 80 + i })) },
  });
  assert.equal((await cluster.call('POST', `${path}/services`, service('a', 'NodePort', 1))).status, 201);
  assert.match(
    message(await cluster.call('POST', `${path}/services`, service('b', 'NodePort', 2))),
    /requested: services\.nodeports=2, used: services\.nodeports=1/,
  );
  assert.match(message(await cluster.call('POST', `${path}/services`, service('b', 'LoadBalancer', 1))), /services\.loadbalancers=1/);
  assert.equal((await cluster.call('POST', `${path}/services`, service('b', 'ClusterIP', 1))).status, 201);
  const more = {
    spec: {
      type: 'NodePort',
      ports: [
        { name: 'x', port: 1 },
        { name: 'y', port: 2 },
      ],
    },
  };
  const grown = await cluster.call('PATCH', `${path}/services/b`, more, { 'content-type': 'application/merge-patch+json' });
  assert.match(message(grown), /requested: services\.nodeports=2, used: services\.nodeports=1, limited: services\.nodeports=2/);

  const gold = 'gold.storageclass.storage.k8s.io/';
  await cluster.call('POST', `${path}/resourcequotas`, quota('s', { 'requests.storage': '10Gi', [`${gold}requests.storage`]: '2Gi' }));
  const claim = (name: string, storage: string, storageClassName: string) => ({
    metadata: { name },
    spec: { accessModes: ['ReadWriteOnce'], storageClassName, resources: { requests: { storage } } },
  });
  assert.equal((await cluster.call('POST', `${path}/persistentvolumeclaims`, claim('a', '2Gi', 'gold'))).status, 201);
  assert.match(
    message(await cluster.call('POST', `${path}/persistentvolumeclaims`, claim('b', '1Gi', 'gold'))),
    /exceeded quota: s, requested: gold/,
  );
  assert.equal((await cluster.call('POST', `${path}/persistentvolumeclaims`, claim('b', '8Gi', 'tin'))).status, 201);
  await usedBecomes(path, 's', { 'requests.storage': '10Gi', [`${gold}requests.storage`]: '2Gi' });
});

test('what a quota may not say is refused', async () => {
  const path = await newNamespace('wrong');
  const wrong: [object, RegExp][] = [
    [quota('q', { nonsense: '1' }), /spec\.hard\[nonsense\]: Invalid value: "nonsense": must be a standard resource for quota/],
    [quota('q', { pods: '1.5' }), /spec\.hard\[pods\]: .*must be an integer/],
    [quota('q', { pods: '-1' }), /must be greater than or equal to 0/],
    [quota('q', { pods: '1' }, { scopes: ['BestEffort', 'NotBestEffort'] }), /conflicting scopes/],
    [quota('q', { configmaps: '1' }, { scopes: ['BestEffort'] }), /unsupported scope applied to resource/],
  ];
  for (const [body, expected] of wrong) assert.match(message(await cluster.call('POST', `${path}/resourcequotas`, body)), expected);
});
