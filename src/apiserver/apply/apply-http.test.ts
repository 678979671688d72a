import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { definition } from '../crd/test-definitions.ts';
import { establish } from '../crd/testing.ts';
import { at, startTestCluster, type TestCluster } from '../test-cluster.ts';

let cluster: TestCluster;
before(async () => {
  cluster = await startTestCluster();
});
after(() => cluster?.[Symbol.asyncDispose]());

const APPLY = { 'content-type': 'application/apply-patch+yaml' };
const MERGE = { 'content-type': 'application/merge-patch+json' };
const maps = '/api/v1/namespaces/default/configmaps';
const deployments = '/apis/apps/v1/namespaces/default/deployments';
const apply = (path: string, object: unknown, manager: string, query = '') =>
  cluster.call('PATCH', `${path}?fieldManager=${manager}${query}`, object, APPLY);
const owners = (body: unknown) =>
  (at(body, 'metadata.managedFields') as { manager: string; operation: string; subresource?: string }[] | undefined)?.map(
    ({ manager, operation, subresource }) => `${manager} ${operation}${subresource ? ` ${subresource}` : ''}`,
  );
const fieldsOf = (body: unknown, manager: string, operation = 'Update', subresource?: string) =>
  (at(body, 'metadata.managedFields') as { manager: string; operation: string; subresource?: string; fieldsV1: unknown }[]).find(
    entry => entry.manager === manager && entry.operation === operation && entry.subresource === subresource,
  )?.fieldsV1;
const configMap = (name: string, data: Record<string, string>) => ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data });
const deployment = (name: string, spec: object = {}, image = 'nginx') => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name },
  spec: {
    selector: { matchLabels: { app: name } },
    template: { metadata: { labels: { app: name } }, spec: { containers: [{ name: 'web', image, ports: [{ containerPort: 80 }] }] } },
    ...spec,
  },
});

test('a creation owns what was sent and defaulted, by its user agent', async () => {
  const { body, status } = await cluster.call('POST', deployments, deployment('created'), { 'user-agent': 'kubectl-create/v1.36 (linux)' });
  assert.equal(status, 201);
  const [entry] = at(body, 'metadata.managedFields') as Record<string, unknown>[];
  assert.deepEqual(Object.keys(entry!), ['manager', 'operation', 'apiVersion', 'time', 'fieldsType', 'fieldsV1']);
  assert.deepEqual(
    [entry!.manager, entry!.operation, entry!.apiVersion, entry!.fieldsType],
    ['kubectl-create', 'Update', 'apps/v1', 'FieldsV1'],
  );
  assert.match(String(entry!.time), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  assert.deepEqual(entry!.fieldsV1, {
    'f:spec': {
      'f:progressDeadlineSeconds': {},
      'f:replicas': {},
      'f:revisionHistoryLimit': {},
      'f:selector': {},
      'f:strategy': { 'f:rollingUpdate': { '.': {}, 'f:maxSurge': {}, 'f:maxUnavailable': {} }, 'f:type': {} },
      'f:template': {
        'f:metadata': { 'f:labels': { '.': {}, 'f:app': {} } },
        'f:spec': {
          'f:containers': {
            'k:{"name":"web"}': {
              '.': {},
              'f:image': {},
              'f:imagePullPolicy': {},
              'f:name': {},
              'f:ports': {
                '.': {},
                'k:{"containerPort":80,"protocol":"TCP"}': { '.': {}, 'f:containerPort': {}, 'f:protocol': {} },
              },
              'f:resources': {},
              'f:terminationMessagePath': {},
              'f:terminationMessagePolicy': {},
            },
          },
          'f:dnsPolicy': {},
          'f:restartPolicy': {},
          'f:schedulerName': {},
          'f:securityContext': {},
          'f:terminationGracePeriodSeconds': {},
        },
      },
    },
  });
});

test('updates own what they change; what changes nothing is no write', async () => {
  await cluster.call('POST', `${maps}?fieldManager=maker`, configMap('updated', { a: '1', b: '1' }));
  const changed = await cluster.call('PATCH', `${maps}/updated?fieldManager=changer`, { data: { b: '2', c: '3' } }, MERGE);
  // In the order of their seconds, which may be the same.
  assert.deepEqual(owners(changed.body)?.sort(), ['changer Update', 'maker Update']);
  assert.deepEqual(fieldsOf(changed.body, 'maker'), { 'f:data': { '.': {}, 'f:a': {} } });
  assert.deepEqual(fieldsOf(changed.body, 'changer'), { 'f:data': { 'f:b': {}, 'f:c': {} } });
  const same = await cluster.call('PATCH', `${maps}/updated?fieldManager=other`, { data: { b: '2' } }, MERGE);
  assert.equal(at(same.body, 'metadata.resourceVersion'), at(changed.body, 'metadata.resourceVersion'));
  const put = await cluster.call('PUT', `${maps}/updated?fieldManager=third`, { ...(same.body as object), data: { a: '1', c: '3' } });
  assert.deepEqual(fieldsOf(put.body, 'changer'), { 'f:data': { 'f:c': {} } });
  assert.equal(owners(put.body)?.length, 2);
  const reset = await cluster.call('PATCH', `${maps}/updated`, { metadata: { managedFields: [{}] } }, MERGE);
  assert.equal(at(reset.body, 'metadata.managedFields'), undefined);
});

test('apply creates, keeps, conflicts, forces, and takes away what it no longer says', async () => {
  const made = await apply(`${maps}/applied`, configMap('applied', { a: '1', b: '1' }), 'one');
  assert.equal(made.status, 201);
  assert.deepEqual(owners(made.body), ['one Apply']);
  const again = await apply(`${maps}/applied`, configMap('applied', { a: '1', b: '1' }), 'one');
  assert.equal(again.status, 200);
  assert.equal(again.text, made.text);

  const refused = await apply(`${maps}/applied`, configMap('applied', { a: '2' }), 'two');
  assert.equal(refused.status, 409);
  assert.equal(at(refused.body, 'message'), 'Apply failed with 1 conflict: conflict with "one": .data.a');
  assert.deepEqual(at(refused.body, 'details.causes'), [
    { reason: 'FieldManagerConflict', message: 'conflict with "one"', field: '.data.a' },
  ]);
  const forced = await apply(`${maps}/applied`, configMap('applied', { a: '2' }), 'two', '&force=true');
  assert.deepEqual(at(forced.body, 'data'), { a: '2', b: '1' });
  assert.deepEqual(fieldsOf(forced.body, 'one', 'Apply'), { 'f:data': { 'f:b': {} } });

  const shared = await apply(`${maps}/applied`, configMap('applied', { a: '2' }), 'one');
  assert.deepEqual(at(shared.body, 'data'), { a: '2' });
  const left = await apply(`${maps}/applied`, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'applied' } }, 'two');
  assert.deepEqual(at(left.body, 'data'), { a: '2' });
  assert.deepEqual(owners(left.body), ['one Apply']);
});

test('apply asks for what it needs', async () => {
  const none = await cluster.call('PATCH', `${maps}/x`, configMap('x', {}), APPLY);
  assert.equal(none.status, 422);
  assert.match(String(at(none.body, 'message')), /fieldManager: Required value: is required for apply patch/);
  assert.equal((await cluster.call('PATCH', `${maps}/x?force=true`, {}, MERGE)).status, 422);
  const unknown = await apply(`${deployments}/x`, deployment('x', { replicaz: 1 }), 'me');
  assert.match(
    String(at(unknown.body, 'message')),
    /failed to create typed patch object \(default\/x; apps\/v1, Kind=Deployment\): .spec.replicaz: field not declared in schema/,
  );
  const managed = { ...configMap('x', {}), metadata: { name: 'x', managedFields: [] } };
  assert.match(String(at((await apply(`${maps}/x`, managed, 'me')).body, 'message')), /metadata.managedFields must be nil/);
  assert.equal((await apply(`${maps}/y`, configMap('x', {}), 'me')).status, 400);
  assert.equal((await apply(`${maps}/x`, { kind: 'ConfigMap' }, 'me')).status, 400);
  assert.equal((await apply(`${maps}/x`, 'a: [', 'me')).status, 400);
  const yaml = await apply(`${maps}/yaml`, 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: yaml}\ndata: {a: "1"}\n', 'me');
  assert.equal(yaml.status, 201);
  const dry = await apply(`${maps}/dry`, configMap('dry', {}), 'me', '&dryRun=All');
  assert.deepEqual([dry.status, owners(dry.body)], [201, ['me Apply']]);
  assert.equal((await cluster.call('GET', `${maps}/dry`)).status, 404);
});

test('lists are merged by their keys; the status and the scale have owners of their own', async () => {
  await apply(`${deployments}/web`, deployment('web', { replicas: 2 }), 'one');
  const side = {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'web' },
    spec: { template: { spec: { containers: [{ name: 'side', image: 'envoy', resources: { limits: { cpu: '1000m' } } }] } } },
  };
  const both = await apply(`${deployments}/web`, side, 'two');
  assert.deepEqual(
    (at(both.body, 'spec.template.spec.containers') as { name: string }[]).map(({ name }) => name),
    ['web', 'side'],
  );
  assert.equal((await apply(`${deployments}/web`, side, 'two')).text, both.text);
  const status = { ...side, spec: undefined, status: { replicas: 1, observedGeneration: 1 } };
  const shown = await apply(`${deployments}/web/status`, status, 'kubelet');
  assert.equal(at(shown.body, 'status.replicas'), 1);
  assert.deepEqual(fieldsOf(shown.body, 'kubelet', 'Apply', 'status'), { 'f:status': { 'f:observedGeneration': {}, 'f:replicas': {} } });
  const scaled = await cluster.call('PATCH', `${deployments}/web/scale?fieldManager=scaler`, { spec: { replicas: 5 } }, MERGE);
  assert.equal(scaled.status, 200);
  const read = await cluster.call('GET', `${deployments}/web`);
  assert.deepEqual(fieldsOf(read.body, 'scaler', 'Update', 'scale'), { 'f:spec': { 'f:replicas': {} } });
  const conflict = await apply(`${deployments}/web`, deployment('web', { replicas: 2 }), 'one');
  assert.equal(at(conflict.body, 'details.causes.0.message'), 'conflict with "scaler" with subresource "scale" using apps/v1');
  const without = await apply(`${deployments}/web`, deployment('web'), 'one');
  assert.deepEqual([without.status, at(without.body, 'spec.replicas')], [200, 5]);
  const gone = await apply(`${deployments}/web`, { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'web' } }, 'two');
  assert.deepEqual(
    (at(gone.body, 'spec.template.spec.containers') as { name: string }[]).map(({ name }) => name),
    ['web'],
  );
});

test('apply of a scale owns the replicas', async () => {
  await apply(`${deployments}/scaled`, deployment('scaled', { replicas: 2 }), 'one');
  const scale = (replicas?: number) => ({ apiVersion: 'autoscaling/v1', kind: 'Scale', metadata: { name: 'scaled' }, spec: { replicas } });
  const path = `${deployments}/scaled/scale`;
  const refused = await apply(path, scale(3), 'scaler');
  assert.deepEqual([refused.status, at(refused.body, 'details.causes.0.field')], [409, '.spec.replicas']);
  const forced = await apply(path, scale(3), 'scaler', '&force=true');
  assert.deepEqual([forced.status, at(forced.body, 'spec.replicas')], [200, 3]);
  const { body } = await cluster.call('GET', `${deployments}/scaled`);
  assert.deepEqual(fieldsOf(body, 'scaler', 'Apply', 'scale'), { 'f:spec': { 'f:replicas': {} } });
  const again = await apply(path, scale(3), 'scaler');
  assert.equal(at(again.body, 'metadata.resourceVersion'), at(body, 'metadata.resourceVersion'));
  assert.equal((await apply(path, scale(-1), 'scaler')).status, 422);
  assert.equal((await apply(path, { ...scale(1), kind: 'Deployment' }, 'scaler')).status, 400);
});

test('what was there before tracking has an owner of its own at the first apply', async () => {
  await cluster.call('POST', maps, configMap('old', { a: '1', b: '1' }));
  await cluster.call('PATCH', `${maps}/old`, { metadata: { managedFields: [] } }, MERGE);
  const applied = await apply(`${maps}/old`, configMap('old', { a: '1' }), 'me');
  assert.deepEqual(owners(applied.body), ['me Apply', 'before-first-apply Update']);
  const conflict = await apply(`${maps}/old`, configMap('old', { a: '2' }), 'me');
  assert.equal(at(conflict.body, 'message'), 'Apply failed with 1 conflict: conflict with "before-first-apply" using v1: .data.a');
});

test('at most ten updaters are told apart', async () => {
  await cluster.call('POST', `${maps}?fieldManager=m0`, configMap('many', { a: '0' }));
  let body: unknown;
  for (let i = 1; i <= 13; i++)
    ({ body } = await cluster.call('PATCH', `${maps}/many?fieldManager=m${i}`, { data: { [`k${i}`]: 'x' } }, MERGE));
  const names = owners(body)!;
  assert.equal(names.length, 10);
  assert.ok(names.includes('ancient-changes Update') && names.includes('m13 Update'), names.join());
});

test('custom resources: lists by their schema, several versions, unknown fields', async () => {
  const schema = {
    type: 'object',
    properties: {
      spec: {
        type: 'object',
        properties: {
          replicas: { type: 'integer' },
          ports: {
            type: 'array',
            'x-kubernetes-list-type': 'map',
            'x-kubernetes-list-map-keys': ['port', 'protocol'],
            items: {
              type: 'object',
              required: ['port'],
              properties: { port: { type: 'integer' }, protocol: { type: 'string', default: 'TCP' }, name: { type: 'string' } },
            },
          },
          open: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true, properties: { known: { type: 'string' } } },
        },
      },
      status: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
    },
  };
  const crd = definition('apply.example.com', schema, { subresources: { status: {} } });
  crd.spec.versions.push({ ...crd.spec.versions[0], name: 'v1beta1', storage: false });
  await establish(cluster, crd);
  const path = (version: string) => `/apis/apply.example.com/${version}/namespaces/default/crontabs/x`;
  const custom = (spec: object, version = 'v1') => ({
    apiVersion: `apply.example.com/${version}`,
    kind: 'CronTab',
    metadata: { name: 'x', finalizers: version === 'v1' ? ['example.com/one'] : [] },
    spec,
  });
  const made = await apply(path('v1'), custom({ replicas: 1, ports: [{ port: 80, name: 'x' }] }), 'one');
  assert.equal(made.status, 201, made.text);
  assert.deepEqual(fieldsOf(made.body, 'one', 'Apply'), {
    'f:metadata': { 'f:finalizers': { 'v:"example.com/one"': {} } },
    'f:spec': { 'f:ports': { 'k:{"port":80,"protocol":"TCP"}': { '.': {}, 'f:name': {}, 'f:port': {} } }, 'f:replicas': {} },
  });
  const taken = await apply(path('v1'), custom({ ports: [{ port: 80, name: 'y' }] }), 'two');
  assert.deepEqual([taken.status, (at(taken.body, 'details.causes') as object[]).length], [409, 1]);
  const added = await apply(path('v1'), custom({ ports: [{ port: 8080, name: 'y' }], open: { any: { thing: [1] } } }), 'two');
  assert.equal((at(added.body, 'spec.ports') as object[]).length, 2);
  const beta = await apply(path('v1beta1'), custom({ replicas: 2, ports: [{ port: 80, name: 'x' }] }, 'v1beta1'), 'one');
  assert.deepEqual([beta.status, at(beta.body, 'spec.replicas'), at(beta.body, 'metadata.finalizers')], [200, 2, ['example.com/one']]);
  assert.deepEqual(owners(beta.body)?.sort(), ['one Apply', 'two Apply']);
  const unknown = await apply(path('v1'), { ...custom({ nope: 1 }), metadata: { name: 'x', nor: 1 } }, 'one');
  assert.match(
    String(at(unknown.body, 'message')),
    /\.metadata\.nor: field not declared in schema\n.*\.spec\.nope: field not declared in schema/,
  );
  const status = await apply(`${path('v1')}/status`, { ...custom({}), metadata: { name: 'x' }, status: { ready: true } }, 'three');
  assert.deepEqual([at(status.body, 'status.ready'), owners(status.body)?.length], [true, 3]);
});

test('YAML that is nearly JSON, and keys that stand twice', async () => {
  const nearly = await apply(
    `${maps}/nearly`,
    `{\n\t"apiVersion": "v1",\n\t"kind": "ConfigMap",\n\t"metadata": {\n\t\t"name": "nearly",\n\t}\n}`,
    'me',
  );
  assert.equal(nearly.status, 201, nearly.text);
  const twice = await apply(
    `${maps}/twice`,
    '\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: twice\n  name: again\n',
    'me',
    '&fieldValidation=Strict',
  );
  assert.match(String(at(twice.body, 'message')), /line 6: key "name" already set in map/);
});

test('who wrote in one version loses what another version changes', async () => {
  const path = (version: string) => `/apis/autoscaling/${version}/namespaces/default/horizontalpodautoscalers`;
  const scaleTargetRef = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web' };
  const spec = { scaleTargetRef, maxReplicas: 3, targetCPUUtilizationPercentage: 50 };
  const made = await cluster.call('POST', `${path('v1')}?fieldManager=one`, { metadata: { name: 'two' }, spec });
  assert.equal(made.status, 201, made.text);
  const metrics = [{ type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 60 } } }];
  const { body } = await cluster.call('PATCH', `${path('v2')}/two?fieldManager=other`, { spec: { metrics } }, MERGE);
  assert.equal('f:targetCPUUtilizationPercentage' in (at(fieldsOf(body, 'one'), 'f:spec') as object), false);
  assert.equal('f:maxReplicas' in (at(fieldsOf(body, 'one'), 'f:spec') as object), true);
  assert.deepEqual(fieldsOf(body, 'other'), { 'f:spec': { 'f:metrics': {} } });
});

test('who applied in one version gives up in another what is no longer applied', async () => {
  const path = (version: string) => `/apis/autoscaling/${version}/namespaces/default/horizontalpodautoscalers/moved`;
  const scaleTargetRef = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web' };
  const autoscaler = (version: string, spec: object) => ({
    apiVersion: `autoscaling/${version}`,
    kind: 'HorizontalPodAutoscaler',
    metadata: { name: 'moved' },
    spec: { scaleTargetRef, maxReplicas: 9, ...spec },
  });
  const first = await apply(path('v1'), autoscaler('v1', { minReplicas: 3, targetCPUUtilizationPercentage: 50 }), 'me');
  assert.equal(first.status, 201, first.text);
  const second = await apply(path('v2'), autoscaler('v2', { behavior: { scaleDown: { stabilizationWindowSeconds: 5 } } }), 'me');
  assert.equal(second.status, 200, second.text);
  assert.deepEqual([at(second.body, 'spec.minReplicas'), at(second.body, 'spec.maxReplicas')], [1, 9]);
  const averages = (at(second.body, 'spec.metrics') as object[]).map(metric => at(metric, 'resource.target.averageUtilization'));
  assert.deepEqual(averages, [80]); // the default again
  const entries = at(second.body, 'metadata.managedFields') as { apiVersion: string }[];
  assert.deepEqual(
    entries.map(({ apiVersion }) => apiVersion),
    ['autoscaling/v2'],
  );
  const third = await apply(path('v1'), autoscaler('v1', { minReplicas: 2 }), 'me');
  assert.deepEqual([third.status, at(third.body, 'spec.minReplicas'), at(third.body, 'metadata.annotations')], [200, 2, undefined]);
});

test('the only label of a status, given up in another version, takes nothing else with it', async () => {
  const path = (version: string, rest = '') => `/apis/autoscaling/${version}/namespaces/default/horizontalpodautoscalers/labelled${rest}`;
  const autoscaler = (version: string, parts: object) => ({
    apiVersion: `autoscaling/${version}`,
    kind: 'HorizontalPodAutoscaler',
    ...parts,
  });
  const spec = { scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web' }, maxReplicas: 9 };
  assert.equal((await apply(path('v2'), autoscaler('v2', { spec }), 'me')).status, 201);
  const given = await apply(path('v2', '/status'), autoscaler('v2', { metadata: { labels: { a: 'b' } } }), 'status');
  assert.deepEqual([given.status, at(given.body, 'metadata.labels.a')], [200, 'b'], given.text);
  const taken = await apply(path('v1', '/status'), autoscaler('v1', {}), 'status');
  assert.deepEqual(
    [taken.status, at(taken.body, 'metadata.labels'), at(taken.body, 'metadata.name')],
    [200, undefined, 'labelled'],
    taken.text,
  );
});

test('a kind that can not even be shown is refused, not failed at', async () => {
  assert.equal((await apply(`${deployments}/odd`, deployment('odd'), 'me')).status, 201);
  for (const scale of [
    { kind: { toString: false }, apiVersion: 'autoscaling/v1' },
    { kind: 'Scale', apiVersion: { toString: false } },
  ])
    assert.equal((await apply(`${deployments}/odd/scale`, scale, 'me')).status, 400);
  assert.equal((await apply(`${deployments}/odd`, { kind: { toString: false }, apiVersion: 'apps/v1' }, 'me')).status, 400);
});
