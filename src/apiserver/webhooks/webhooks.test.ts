import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { type Answer, at, startTestCluster, type TestCluster } from '../test-cluster.ts';
import { patchOf, startTestWebhook, type TestWebhook } from './test-webhook.ts';

const ROOT = '/apis/admissionregistration.k8s.io/v1';
const MAPS = '/api/v1/namespaces/default/configmaps';
const MERGE = { 'content-type': 'application/merge-patch+json' };

let cluster: TestCluster;
let webhook: TestWebhook;
before(async () => {
  cluster = await startTestCluster();
  webhook = await startTestWebhook();
});
after(async () => {
  await webhook[Symbol.asyncDispose]();
  await cluster[Symbol.asyncDispose]();
});
beforeEach(async () => {
  for (const plural of ['mutatingwebhookconfigurations', 'validatingwebhookconfigurations'])
    await cluster.call('DELETE', `${ROOT}/${plural}`);
  webhook.requests.length = 0;
});

const message = (answer: Answer) => String(at(answer.body, 'message'));
const map = (name: string, data: Record<string, string> = {}, labels: Record<string, string> = {}) => ({
  metadata: { name, labels },
  data,
});
const rule = (resources: string[], operations = ['CREATE', 'UPDATE', 'DELETE'], more: object = {}) => ({
  apiGroups: ['*'],
  apiVersions: ['*'],
  operations,
  resources,
  ...more,
});

function hook(path: string, more: object = {}): Record<string, unknown> {
  return {
    name: `${path.slice(1)}.hooks.example.com`,
    admissionReviewVersions: ['v1'],
    sideEffects: 'None',
    clientConfig: { url: webhook.url(path), caBundle: webhook.caBundle },
    rules: [rule(['configmaps'])],
    ...more,
  };
}

async function register(sort: 'mutating' | 'validating', name: string, ...webhooks: object[]): Promise<void> {
  const answer = await cluster.call('POST', `${ROOT}/${sort}webhookconfigurations`, { metadata: { name }, webhooks });
  assert.equal(answer.status, 201, answer.text);
}

test('a validating webhook sees the request and refuses with its own words and code', async () => {
  webhook.on('/deny', request =>
    request.object && at(request.object, 'data.bad')
      ? { allowed: false, status: { message: 'it is bad', code: 409, reason: 'Conflict' } }
      : { allowed: true, warnings: ['look out'] },
  );
  await register('validating', 'deny', hook('/deny'));
  const refused = await cluster.call('POST', MAPS, map('bad', { bad: '1' }));
  assert.equal(refused.status, 409);
  assert.equal(message(refused), 'admission webhook "deny.hooks.example.com" denied the request: it is bad');
  assert.equal(at(refused.body, 'reason'), 'Conflict');
  const allowed = await cluster.call('POST', MAPS, map('good'));
  assert.equal(allowed.status, 201);
  assert.match(String(allowed.headers.warning), /look out/);
  const { request, query } = webhook.requests[0]!;
  assert.equal(query, '?timeout=10s');
  assert.deepEqual(request.kind, { group: '', version: 'v1', kind: 'ConfigMap' });
  assert.deepEqual(request.resource, { group: '', version: 'v1', resource: 'configmaps' });
  assert.deepEqual(
    [request.operation, request.name, request.namespace, request.dryRun, request.oldObject],
    ['CREATE', 'bad', 'default', false, null],
  );
  assert.equal(at(request.options, 'kind'), 'CreateOptions');
  assert.equal(at(request.object, 'kind'), 'ConfigMap');
  assert.ok(request.userInfo.groups.includes('system:masters'));
  assert.equal((await cluster.call('PATCH', `${MAPS}/good`, { data: { bad: 'x' } }, MERGE)).status, 409);
  assert.equal(at(webhook.requests.at(-1)!.request.oldObject, 'metadata.name'), 'good');
});

test('what was asked for besides is shown, and no name that is still to be made', async () => {
  webhook.on('/look', () => ({ allowed: true }));
  await register('mutating', 'look', hook('/look'));
  await register('validating', 'see', hook('/look'));
  const made = await cluster.call('POST', `${MAPS}?fieldManager=me&fieldValidation=Strict`, { metadata: { generateName: 'gen-' } });
  const [before, after] = webhook.requests.map(({ request }) => request);
  assert.deepEqual([before?.name, at(before?.object, 'metadata.name')], [undefined, undefined]);
  assert.deepEqual([after?.name, at(after?.object, 'metadata.name')], [at(made.body, 'metadata.name'), after?.name]);
  const common = { apiVersion: 'meta.k8s.io/v1', fieldManager: 'me', fieldValidation: 'Strict' };
  assert.deepEqual(after?.options, { kind: 'CreateOptions', ...common });
  const path = `${MAPS}/${after?.name}`;
  await cluster.call('PATCH', `${path}?fieldManager=me&fieldValidation=Strict&dryRun=All`, { data: { a: 'b' } }, MERGE);
  assert.deepEqual(webhook.requests.at(-1)?.request.options, { kind: 'UpdateOptions', ...common, dryRun: ['All'] });
  await cluster.call('DELETE', path, { gracePeriodSeconds: 3, propagationPolicy: 'Background' });
  assert.deepEqual(webhook.requests.at(-1)?.request.options, {
    kind: 'DeleteOptions',
    apiVersion: 'meta.k8s.io/v1',
    gracePeriodSeconds: 3,
    propagationPolicy: 'Background',
  });
});

test('a deletion is shown with the old object, a collection one by one', async () => {
  webhook.on('/keep', ({ operation, oldObject }) => ({
    allowed: operation !== 'DELETE' || at(oldObject, 'metadata.labels.keep') === undefined,
  }));
  await register('validating', 'keep', hook('/keep', { objectSelector: { matchLabels: { collected: 'yes' } } }));
  for (const [name, labels] of [
    ['col-a', { collected: 'yes' }],
    ['col-b', { collected: 'yes', keep: '1' }],
  ] as const)
    await cluster.call('POST', MAPS, map(name, {}, labels));
  const refused = await cluster.call('DELETE', `${MAPS}/col-b`);
  assert.equal(refused.status, 400);
  assert.equal(message(refused), 'admission webhook "keep.hooks.example.com" denied the request without explanation');
  assert.equal((await cluster.call('DELETE', `${MAPS}/col-a`)).status, 200);
  await cluster.call('DELETE', `${MAPS}?labelSelector=collected%3Dyes`);
  assert.equal((await cluster.call('GET', `${MAPS}/col-b`)).status, 200);
});

test('mutating webhooks work one after another, by name; what they make is checked like what a client sends', async () => {
  webhook.on('/first', () => patchOf({ op: 'add', path: '/data/order', value: 'first' }));
  webhook.on('/second', ({ object }) => patchOf({ op: 'replace', path: '/data/order', value: `${at(object, 'data.order')},second` }));
  await register('mutating', 'b', hook('/second'));
  await register('mutating', 'a', hook('/first'));
  const made = await cluster.call('POST', MAPS, map('mutated', { x: 'y' }));
  assert.equal(at(made.body, 'data.order'), 'first,second');

  webhook.on('/second', () => patchOf({ op: 'replace', path: '/data', value: { 'not a key!': 'x' } }));
  const invalid = await cluster.call('POST', MAPS, map('mutated2', {}));
  assert.equal(invalid.status, 422, 'validated after the mutation');
  webhook.on('/second', () => patchOf({ op: 'replace', path: '/data', value: 5 }));
  assert.equal((await cluster.call('POST', MAPS, map('mutated3', {}))).status, 500);
});

test('a webhook that wants to is asked again about what came after it; so is built-in admission', async () => {
  webhook.on('/again', ({ object }) =>
    at(object, 'metadata.annotations.late')
      ? patchOf({ op: 'add', path: '/metadata/annotations/seen', value: 'late' })
      : patchOf({ op: 'add', path: '/metadata/annotations', value: { early: '1' } }),
  );
  webhook.on('/late', ({ object }) =>
    patchOf(
      { op: 'add', path: '/metadata/annotations/late', value: '1' },
      { op: 'add', path: '/spec/containers/-', value: { name: 'sidecar', image: 'i' } },
      ...(object ? [] : []),
    ),
  );
  await cluster.call('POST', '/api/v1/namespaces', { metadata: { name: 'again' } });
  await cluster.call('POST', '/api/v1/namespaces/again/serviceaccounts', { metadata: { name: 'default' } });
  const limits = { metadata: { name: 'l' }, spec: { limits: [{ type: 'Container', default: { cpu: '1' } }] } };
  await cluster.call('POST', '/api/v1/namespaces/again/limitranges', limits);
  const pods = { rules: [rule(['pods'], ['CREATE'])] };
  await register('mutating', 'a', hook('/again', { ...pods, reinvocationPolicy: 'IfNeeded' }));
  await register('mutating', 'b', hook('/late', pods));
  const pod = await cluster.call('POST', '/api/v1/namespaces/again/pods', {
    metadata: { name: 'p' },
    spec: { containers: [{ name: 'c', image: 'i' }] },
  });
  assert.equal(pod.status, 201, pod.text);
  assert.equal(at(pod.body, 'metadata.annotations.seen'), 'late');
  const sidecar = at(pod.body, 'spec.containers.1');
  assert.equal(at(sidecar, 'imagePullPolicy'), 'Always', 'defaults of the schema');
  assert.equal(at(sidecar, 'resources.limits.cpu'), '1', 'defaults of the limit range');
  assert.ok(Array.isArray(at(sidecar, 'volumeMounts')), 'the token');
  assert.deepEqual(
    webhook.requests.map(({ path }) => path),
    ['/again', '/late', '/again'],
  );
});

test('failure policy, timeouts, TLS and wrong answers', async () => {
  webhook.on('/slow', () => new Promise(resolve => setTimeout(resolve, 3000, { allowed: true }).unref()));
  webhook.on('/garbage', () => 'no json');
  webhook.on('/other', () => ({ uid: 'another', allowed: true }));
  const wrong: [path: string, more: object, RegExp][] = [
    [
      '/slow',
      { timeoutSeconds: 1 },
      /failed to call webhook: Post "https:\/\/127\.0\.0\.1:\d+\/slow\?timeout=1s": context deadline exceeded/,
    ],
    ['/garbage', {}, /failed calling webhook "garbage\.hooks\.example\.com": failed to call webhook: .*not valid JSON/],
    ['/other', {}, /expected response\.uid="[-0-9a-f]+", got "another"/],
    ['/nobody', {}, /nobody answers here/],
    ['/deny', { clientConfig: { url: webhook.url('/deny') } }, /self.signed certificate|unable to (?:get|verify)/],
  ];
  for (const [path, more, expected] of wrong) {
    await register('validating', 'wrong', hook(path, more));
    const refused = await cluster.call('POST', MAPS, map('w'));
    assert.equal(refused.status, 500, path);
    assert.match(message(refused), expected);
    assert.match(message(refused), /^Internal error occurred: failed calling webhook "/);
    await cluster.call('DELETE', `${ROOT}/validatingwebhookconfigurations/wrong`);
    await register('validating', 'wrong', hook(path, { ...more, failurePolicy: 'Ignore' }));
    assert.equal((await cluster.call('POST', MAPS, map(`w${path.slice(1)}`))).status, 201, path);
    await cluster.call('DELETE', `${ROOT}/validatingwebhookconfigurations/wrong`);
  }
});

test('dry runs ask only webhooks without side effects; both review versions are spoken', async () => {
  const versions: string[] = [];
  webhook.on('/dry', (request, apiVersion) => {
    versions.push(apiVersion);
    return { allowed: true, auditAnnotations: { dry: String(request.dryRun) } };
  });
  await register('validating', 'dry', hook('/dry', { admissionReviewVersions: ['v9', 'v1beta1', 'v1'], sideEffects: 'NoneOnDryRun' }));
  assert.equal((await cluster.call('POST', `${MAPS}?dryRun=All`, map('dry'))).status, 201);
  assert.equal(webhook.requests[0]?.request.dryRun, true);
  assert.deepEqual(versions, ['admission.k8s.io/v1beta1']);
  const unsafe = await cluster.call('POST', `${ROOT}/validatingwebhookconfigurations`, {
    metadata: { name: 'unsafe' },
    webhooks: [hook('/dry', { sideEffects: 'Some' })],
  });
  assert.match(message(unsafe), /webhooks\[0\]\.sideEffects: Unsupported value: "Some": supported values: "None", "NoneOnDryRun"/);
});

test('selectors, scopes and conditions decide who is asked', async () => {
  await cluster.call('POST', '/api/v1/namespaces', { metadata: { name: 'chosen', labels: { hooks: 'on' } } });
  webhook.on('/never', () => ({ allowed: false }));
  await register('validating', 'never', hook('/never', { namespaceSelector: { matchLabels: { hooks: 'on' } } }));
  assert.equal((await cluster.call('POST', MAPS, map('elsewhere'))).status, 201);
  assert.equal((await cluster.call('POST', '/api/v1/namespaces/chosen/configmaps', map('here'))).status, 400);
  await cluster.call('DELETE', `${ROOT}/validatingwebhookconfigurations/never`);

  const matchConditions = [
    { name: 'creations', expression: 'request.operation == "CREATE"' },
    { name: 'named', expression: 'object.metadata.name.startsWith("cond-")' },
  ];
  await register('validating', 'never', hook('/never', { matchConditions }));
  assert.equal((await cluster.call('POST', MAPS, map('other-name'))).status, 201);
  assert.equal((await cluster.call('POST', MAPS, map('cond-1'))).status, 400);
  await cluster.call('DELETE', `${ROOT}/validatingwebhookconfigurations/never`);

  await register('validating', 'never', hook('/never', { matchConditions: [{ name: 'absent', expression: 'object.nothing == 1' }] }));
  const failed = await cluster.call('POST', MAPS, map('cond-2'));
  assert.equal(failed.status, 403);
  assert.match(message(failed), /no such key: nothing/);
  await cluster.call('DELETE', `${ROOT}/validatingwebhookconfigurations/never`);

  const broken = await cluster.call('POST', `${ROOT}/validatingwebhookconfigurations`, {
    metadata: { name: 'broken' },
    webhooks: [hook('/never', { matchConditions: [{ name: 'x', expression: 'object..' }] })],
  });
  assert.equal(broken.status, 422);
  assert.match(message(broken), /webhooks\[0\]\.matchConditions\[0\]\.expression: Invalid value: "object\.\.": compilation failed: /);
});

test('a Service is reached at its endpoint, under its own name', async () => {
  const service = { metadata: { name: 'hook' }, spec: { ports: [{ name: 'https', port: 443, targetPort: 1 }] } };
  assert.equal((await cluster.call('POST', '/api/v1/namespaces/default/services', service)).status, 201);
  webhook.on('/svc', () => ({ allowed: false, status: { message: 'by the service' } }));
  const clientConfig = { service: { namespace: 'default', name: 'hook', path: '/svc' }, caBundle: webhook.caBundle };
  await register('validating', 'svc', hook('/svc', { clientConfig }));
  assert.match(
    message(await cluster.call('POST', MAPS, map('s'))),
    /Post "https:\/\/hook\.default\.svc:443\/svc\?timeout=10s": no endpoints available for service "hook"/,
  );
  const endpoint = { addresses: ['10.9.9.9'], conditions: { ready: false } };
  const slice = {
    metadata: { name: 'hook-1', labels: { 'kubernetes.io/service-name': 'hook' } },
    addressType: 'IPv4',
    endpoints: [endpoint],
    ports: [{ name: 'https', port: webhook.port, protocol: 'TCP' }],
  };
  assert.equal((await cluster.call('POST', '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices', slice)).status, 201);
  assert.match(message(await cluster.call('POST', MAPS, map('s'))), /no endpoints available/);
});

test('configurations of admission are never shown, and are refused when wrong', async () => {
  webhook.on('/never', () => ({ allowed: false }));
  await register('validating', 'all', hook('/never', { rules: [rule(['*/*'])] }));
  assert.equal((await cluster.call('POST', MAPS, map('n'))).status, 400);
  const patched = await cluster.call('PATCH', `${ROOT}/validatingwebhookconfigurations/all`, { metadata: { labels: { a: 'b' } } }, MERGE);
  assert.equal(patched.status, 200);
  assert.equal((await cluster.call('DELETE', `${ROOT}/validatingwebhookconfigurations/all`)).status, 200);
  assert.equal((await cluster.call('POST', MAPS, map('n'))).status, 201);

  const wrong: [object, RegExp][] = [
    [{ name: 'short' }, /webhooks\[0\]\.name: Invalid value: "short": should be a domain with at least three segments separated by dots/],
    [{ clientConfig: {} }, /clientConfig: Required value: exactly one of url or service is required/],
    [{ clientConfig: { url: 'http://x/' } }, /'https' is the only allowed URL scheme/],
    [{ timeoutSeconds: 31 }, /the timeout value must be between 1 and 30 seconds/],
    [{ admissionReviewVersions: ['v9'] }, /must include at least one of v1, v1beta1/],
    [{ rules: [rule(['*/*', 'pods'])] }, /if '\*\/\*' is present, must not specify other resources/],
    [{ rules: [rule(['pods'], ['*', 'CREATE'])] }, /if '\*' is present, must not specify other operations/],
  ];
  for (const [more, expected] of wrong) {
    const answer = await cluster.call('POST', `${ROOT}/mutatingwebhookconfigurations`, {
      metadata: { name: 'x' },
      webhooks: [hook('/x', more)],
    });
    assert.match(message(answer), expected);
  }
  await register('mutating', 'defaults', hook('/x', { failurePolicy: 'Ignore', rules: [] }));
  const stored = (await cluster.call('GET', `${ROOT}/mutatingwebhookconfigurations/defaults`)).body;
  assert.deepEqual(
    ['matchPolicy', 'reinvocationPolicy', 'timeoutSeconds'].map(field => at(stored, `webhooks.0.${field}`)),
    ['Equivalent', 'Never', 10],
  );
});

test('connections are kept', async () => {
  webhook.on('/fast', () => ({ allowed: true }));
  await register('validating', 'fast', hook('/fast'));
  const before = webhook.connections;
  for (let i = 0; i < 20; i++) await cluster.call('POST', MAPS, map(`kept-${i}`));
  assert.ok(webhook.connections - before <= 1, `${webhook.connections - before} new connections`);
});

test('scale, binding and eviction are shown as what they are', async () => {
  await cluster.call('POST', '/api/v1/namespaces/default/serviceaccounts', { metadata: { name: 'default' } });
  const template = { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'i' }] } };
  const sets = '/apis/apps/v1/namespaces/default/replicasets';
  await cluster.call('POST', sets, { metadata: { name: 'r' }, spec: { replicas: 1, selector: { matchLabels: { a: 'b' } }, template } });
  await cluster.call('POST', '/api/v1/namespaces/default/pods', { metadata: { name: 'p' }, spec: template.spec });

  webhook.on('/scaled', () => patchOf({ op: 'replace', path: '/spec/replicas', value: 3 }));
  webhook.on('/seen', ({ operation }) => ({ allowed: operation !== 'CREATE', status: { message: 'not now' } }));
  await register('mutating', 'scaled', hook('/scaled', { rules: [rule(['*/scale'])] }));
  await register('validating', 'seen', hook('/seen', { rules: [rule(['replicasets/scale', 'pods/binding', 'pods/eviction'])] }));
  const scaled = await cluster.call('PATCH', `${sets}/r/scale`, { spec: { replicas: 9 } }, MERGE);
  assert.equal(at(scaled.body, 'spec.replicas'), 3, scaled.text);
  const { request } = webhook.requests.at(-1)!;
  assert.deepEqual(
    [request.kind, request.resource.resource, request.subResource, at(request.object, 'kind'), at(request.oldObject, 'spec.replicas')],
    [{ group: 'autoscaling', version: 'v1', kind: 'Scale' }, 'replicasets', 'scale', 'Scale', 1],
  );
  const binding = await cluster.call('POST', '/api/v1/namespaces/default/pods/p/binding', {
    metadata: { name: 'p' },
    target: { name: 'n' },
  });
  assert.match(message(binding), /denied the request: not now/);
  assert.equal(at(webhook.requests.at(-1)!.request.object, 'target.name'), 'n');
  const eviction = await cluster.call('POST', '/api/v1/namespaces/default/pods/p/eviction', {
    apiVersion: 'policy/v1',
    kind: 'Eviction',
    metadata: { name: 'p' },
  });
  assert.match(message(eviction), /denied the request: not now/);
  assert.deepEqual(webhook.requests.at(-1)!.request.kind, { group: 'policy', version: 'v1', kind: 'Eviction' });
});

test('custom resources are shown, changed, pruned and completed; another version may be asked for', async () => {
  const properties = { spec: { type: 'object', properties: { size: { type: 'integer' }, colour: { type: 'string', default: 'red' } } } };
  const version = (name: string, storage: boolean) => ({
    name,
    served: true,
    storage,
    schema: { openAPIV3Schema: { type: 'object', properties } },
  });
  const definition = {
    metadata: { name: 'boats.hooks.example.com' },
    spec: {
      group: 'hooks.example.com',
      scope: 'Namespaced',
      names: { plural: 'boats', singular: 'boat', kind: 'Boat', listKind: 'BoatList' },
      versions: [version('v1', true), version('v2', false)],
    },
  };
  const made = await cluster.call('POST', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions', definition);
  assert.equal(made.status, 201, made.text);
  const boats = '/apis/hooks.example.com/v2/namespaces/default/boats';
  await waitFor(async () => (await cluster.call('GET', boats)).status === 200);
  webhook.on('/boat', () =>
    patchOf({ op: 'add', path: '/spec', value: { size: 3, sunk: true } }, { op: 'add', path: '/metadata/labels', value: { seen: 'yes' } }),
  );
  await register('mutating', 'boat', hook('/boat', { rules: [rule(['boats'], ['*'], { apiVersions: ['v1'] })] }));
  const boat = await cluster.call('POST', boats, { apiVersion: 'hooks.example.com/v2', kind: 'Boat', metadata: { name: 'b' } });
  assert.equal(boat.status, 201, boat.text);
  assert.deepEqual(at(boat.body, 'spec'), { size: 3, colour: 'red' });
  assert.equal(at(boat.body, 'apiVersion'), 'hooks.example.com/v2');
  const { request } = webhook.requests[0]!;
  assert.deepEqual(
    [request.resource.version, request.requestResource.version, at(request.object, 'apiVersion')],
    ['v1', 'v2', 'hooks.example.com/v1'],
  );
  webhook.on('/boat', () => patchOf({ op: 'add', path: '/spec', value: { size: 'large' } }));
  assert.ok(
    (await cluster.call('POST', boats, { apiVersion: 'hooks.example.com/v2', kind: 'Boat', metadata: { name: 'c' } })).status >= 400,
  );
});

async function waitFor(isThere: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!(await isThere())) {
    assert.ok(Date.now() < deadline, 'it did not come in time');
    await new Promise(resolve => setTimeout(resolve, 20));
  }
}
