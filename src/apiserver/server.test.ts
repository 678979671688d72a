import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { at, type Frame, openWatch, startTestCluster, type TestCluster } from './test-cluster.ts';

let cluster: TestCluster;
before(async () => {
  cluster = await startTestCluster();
  await cluster.call('POST', '/api/v1/namespaces/default/serviceaccounts', { metadata: { name: 'default' } });
});
after(() => cluster?.[Symbol.asyncDispose]());

const MAPS = '/api/v1/namespaces/default/configmaps';
const MERGE = { 'content-type': 'application/merge-patch+json' };
const map = (name: string, labels: Record<string, string> = {}, data: Record<string, string> = {}) => ({
  metadata: { name, labels },
  data,
});
const nameOf = ({ object }: Frame) => at(object, 'metadata.name');
const post = async (path: string, body: unknown, code = 201) => {
  const answer = await cluster.call('POST', path, body);
  assert.equal(answer.status, code, answer.text);
  return answer.body;
};
const namespace = async (name: string) => {
  await post('/api/v1/namespaces', { metadata: { name } });
  await post(`/api/v1/namespaces/${name}/serviceaccounts`, { metadata: { name: 'default' } });
};

test('an object is created, read, replaced, patched and deleted', async () => {
  const made = await post(MAPS, map('first', {}, { a: '1' }));
  assert.match(String(at(made, 'metadata.uid')), /^[0-9a-f-]{36}$/);
  assert.equal(at(made, 'kind'), 'ConfigMap');
  assert.deepEqual((await cluster.call('GET', `${MAPS}/first`)).body, made);

  const twice = await cluster.call('POST', MAPS, map('first'));
  assert.equal(twice.status, 409);
  assert.equal(at(twice.body, 'reason'), 'AlreadyExists');
  assert.equal(at(twice.body, 'message'), 'configmaps "first" already exists');

  const replaced = await cluster.call('PUT', `${MAPS}/first`, { ...(made as object), data: { a: '2' } });
  assert.equal(replaced.status, 200, replaced.text);
  const stale = await cluster.call('PUT', `${MAPS}/first`, { ...(made as object), data: { a: '3' } });
  assert.equal(stale.status, 409);
  assert.equal(
    at(stale.body, 'message'),
    'Operation cannot be fulfilled on configmaps "first": the object has been modified; please apply your changes to the latest version and try again',
  );

  const patched = await cluster.call('PATCH', `${MAPS}/first`, { data: { b: '4' } }, MERGE);
  assert.deepEqual(at(patched.body, 'data'), { a: '2', b: '4' });
  const same = await cluster.call('PATCH', `${MAPS}/first`, { data: { b: '4' } }, MERGE);
  assert.equal(
    at(same.body, 'metadata.resourceVersion'),
    at(patched.body, 'metadata.resourceVersion'),
    'a patch that changes nothing writes nothing',
  );

  const deleted = await cluster.call('DELETE', `${MAPS}/first`);
  assert.equal(at(deleted.body, 'status'), 'Success');
  const gone = await cluster.call('GET', `${MAPS}/first`);
  assert.equal(gone.status, 404);
  assert.equal(at(gone.body, 'message'), 'configmaps "first" not found');
});

test('many writers of one object: patches all arrive, conditional updates lose all but one', async () => {
  await post(MAPS, map('busy'));
  const patches = await Promise.all(
    Array.from({ length: 30 }, (_, i) => cluster.call('PATCH', `${MAPS}/busy`, { data: { [`k${i}`]: 'x' } }, MERGE)),
  );
  assert.deepEqual(new Set(patches.map(({ status }) => status)), new Set([200]));
  const now = (await cluster.call('GET', `${MAPS}/busy`)).body as object;
  assert.equal(Object.keys(at(now, 'data') as object).length, 30);
  const updates = await Promise.all(
    Array.from({ length: 10 }, (_, i) => cluster.call('PUT', `${MAPS}/busy`, { ...now, data: { winner: `${i}` } })),
  );
  assert.equal(updates.filter(({ status }) => status === 200).length, 1);
  assert.equal(updates.filter(({ status }) => status === 409).length, 9);
});

test('generateName makes names', async () => {
  const made = await post(MAPS, { metadata: { generateName: 'gen-' } });
  assert.match(String(at(made, 'metadata.name')), /^gen-[a-z0-9]{5}$/);
});

test('dry run changes nothing', async () => {
  const answer = await post(`${MAPS}?dryRun=All`, map('ghost'));
  assert.equal(at(answer, 'metadata.resourceVersion'), undefined);
  assert.equal((await cluster.call('GET', `${MAPS}/ghost`)).status, 404);
});

test('fieldValidation refuses, warns or is silent', async () => {
  const body = { metadata: { name: 'odd' }, data: {}, colour: 'red' };
  const strict = await cluster.call('POST', `${MAPS}?fieldValidation=Strict`, body);
  assert.equal(strict.status, 400);
  assert.match(String(at(strict.body, 'message')), /strict decoding error: unknown field "colour"/);
  const duplicate = await cluster.call('POST', `${MAPS}?fieldValidation=Strict`, '{"metadata":{"name":"odd"},"data":{"a":"1","a":"2"}}');
  assert.match(String(at(duplicate.body, 'message')), /duplicate field "data.a"/);
  const warned = await cluster.call('POST', `${MAPS}?dryRun=All`, body);
  assert.equal(warned.headers.warning, '299 - "unknown field \\"colour\\""');
  const silent = await cluster.call('POST', `${MAPS}?fieldValidation=Ignore`, body);
  assert.equal(silent.headers.warning, undefined);
  assert.equal(at(silent.body, 'colour'), undefined);
});

test('lists go by page over one revision, whatever happens meanwhile', async () => {
  await namespace('paged');
  const path = '/api/v1/namespaces/paged/configmaps';
  await Promise.all(Array.from({ length: 25 }, (_, i) => post(path, map(`m${String(i).padStart(2, '0')}`))));
  const first = (await cluster.call('GET', `${path}?limit=10`)).body;
  assert.equal(at(first, 'metadata.remainingItemCount'), 15);
  await cluster.call('DELETE', `${path}/m15`);
  await post(path, map('m00a'));
  const names: unknown[] = (at(first, 'items') as unknown[]).map(item => at(item, 'metadata.name'));
  let token = at(first, 'metadata.continue');
  while (token) {
    const page = (await cluster.call('GET', `${path}?limit=10&continue=${token}`)).body;
    assert.equal(at(page, 'metadata.resourceVersion'), at(first, 'metadata.resourceVersion'));
    names.push(...(at(page, 'items') as unknown[]).map(item => at(item, 'metadata.name')));
    token = at(page, 'metadata.continue');
  }
  assert.deepEqual(
    names,
    Array.from({ length: 25 }, (_, i) => `m${String(i).padStart(2, '0')}`),
  );
});

test('pages go on from the store when the memory has forgotten, and expire when the store has', async () => {
  const first = (await cluster.call('GET', '/api/v1/namespaces/paged/configmaps?limit=3')).body;
  for (let i = 0; i < 12; i++) {
    await post(MAPS, map(`filler-${i}`));
    await cluster.call('GET', `${MAPS}?limit=1`);
  }
  const next = `/api/v1/namespaces/paged/configmaps?limit=3&continue=${at(first, 'metadata.continue')}`;
  const second = await cluster.call('GET', next);
  assert.equal(second.status, 200, second.text);
  assert.deepEqual(
    (at(second.body, 'items') as unknown[]).map(item => at(item, 'metadata.name')),
    ['m02', 'm03', 'm04'],
  );
  assert.equal(at(second.body, 'metadata.remainingItemCount'), Number(at(first, 'metadata.remainingItemCount')) - 3);
  await cluster.store.compact(cluster.store.revision);
  const expired = await cluster.call('GET', next);
  assert.equal(expired.status, 410);
  assert.equal(at(expired.body, 'reason'), 'Expired');
  const rest = await cluster.call('GET', `/api/v1/namespaces/paged/configmaps?limit=100&continue=${at(expired.body, 'metadata.continue')}`);
  assert.equal(rest.status, 200);
  assert.equal(at(rest.body, 'items.0.metadata.name'), 'm02');
});

test('a continue token ends after five minutes', async () => {
  const { metadata } = (await cluster.call('GET', '/api/v1/namespaces/paged/configmaps?limit=3')).body as {
    metadata: { continue: string };
  };
  const token = JSON.parse(Buffer.from(metadata.continue, 'base64url').toString()) as { since: number };
  const old = Buffer.from(JSON.stringify({ ...token, since: token.since - 301 })).toString('base64url');
  const expired = await cluster.call('GET', `/api/v1/namespaces/paged/configmaps?limit=3&continue=${old}`);
  assert.deepEqual([expired.status, at(expired.body, 'reason')], [410, 'Expired']);
  const rest = await cluster.call('GET', `/api/v1/namespaces/paged/configmaps?limit=3&continue=${at(expired.body, 'metadata.continue')}`);
  assert.equal(at(rest.body, 'items.0.metadata.name'), 'm02');
});

test('a collection is deleted by page, too', async () => {
  await namespace('paged-sweep');
  const path = '/api/v1/namespaces/paged-sweep/configmaps';
  for (const name of ['a', 'b', 'c']) await post(path, map(name));
  const page = (await cluster.call('DELETE', `${path}?limit=2`)).body;
  assert.deepEqual(
    (at(page, 'items') as unknown[]).map(item => at(item, 'metadata.name')),
    ['a', 'b'],
  );
  assert.ok(at(page, 'metadata.continue'));
  const left = (await cluster.call('GET', path)).body;
  assert.deepEqual([at(left, 'items.0.metadata.name'), at(left, 'items.1')], ['c', undefined]);
});

test('components have no statuses, in every form', async () => {
  const path = '/api/v1/componentstatuses';
  const { body } = await cluster.call('GET', path);
  assert.deepEqual([at(body, 'kind'), at(body, 'items')], ['ComponentStatusList', []]);
  const table = await cluster.call('GET', path, undefined, { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' });
  assert.deepEqual([at(table.body, 'kind'), at(table.body, 'rows')], ['Table', []]);
  assert.equal((await cluster.call('GET', `${path}/scheduler`)).status, 404);
});

test('a timeout that is no time is refused', async () => {
  for (const [timeout, status] of [
    ['invalid', 400],
    ['3m', 200],
    ['0s', 200],
    ['1.5h30m', 200],
    ['5', 400],
  ] as const)
    assert.equal((await cluster.call('GET', `/version?timeout=${timeout}`)).status, status, timeout);
});

test('what is stored says in which version', async () => {
  const hashOf = async (path: string, name: string) => {
    const { resources } = (await cluster.call('GET', path)).body as { resources: { name: string; storageVersionHash?: string }[] };
    return resources.find(resource => resource.name === name)?.storageVersionHash;
  };
  assert.equal(await hashOf('/api/v1', 'configmaps'), 'qFsyl6wFWjQ=');
  assert.equal(
    await hashOf('/apis/autoscaling/v1', 'horizontalpodautoscalers'),
    await hashOf('/apis/autoscaling/v2', 'horizontalpodautoscalers'),
  );
  assert.equal(await hashOf('/apis/authorization.k8s.io/v1', 'subjectaccessreviews'), undefined);
});

test('tables and metadata under the version they had before', async () => {
  await namespace('beta');
  const path = '/api/v1/namespaces/beta/configmaps';
  await post(path, map('row'));
  const as = (form: string, version: string) => ({ accept: `application/json;as=${form};v=${version};g=meta.k8s.io` });
  for (const version of ['v1', 'v1beta1']) {
    const kindOf = ({ body }: { body: unknown }) => [at(body, 'kind'), at(body, 'apiVersion')];
    assert.deepEqual(kindOf(await cluster.call('GET', `${path}/row`, undefined, as('Table', version))), [
      'Table',
      `meta.k8s.io/${version}`,
    ]);
    assert.deepEqual(kindOf(await cluster.call('GET', path, undefined, as('Table', version))), ['Table', `meta.k8s.io/${version}`]);
    const list = await cluster.call('GET', path, undefined, as('PartialObjectMetadataList', version));
    assert.deepEqual(kindOf(list), ['PartialObjectMetadataList', `meta.k8s.io/${version}`]);
    await using watch = await openWatch(cluster, `${path}?watch=1&fieldSelector=metadata.name%3Drow`, as('Table', version));
    assert.equal(at((await watch.next())?.object, 'apiVersion'), `meta.k8s.io/${version}`);
  }
});

test('discovery is told once to those who remember it', async () => {
  const accept = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList';
  const first = await cluster.call('GET', '/apis', undefined, { accept });
  const { etag, vary } = first.headers;
  assert.deepEqual([at(first.body, 'kind'), vary], ['APIGroupDiscoveryList', 'Accept']);
  const again = await cluster.call('GET', '/apis', undefined, { accept, 'if-none-match': String(etag) });
  assert.deepEqual([again.status, again.text, again.headers.etag], [304, '', etag]);
  const core = await cluster.call('GET', '/api', undefined, { accept, 'if-none-match': String(etag) });
  assert.equal(core.status, 200);
  assert.equal((await cluster.call('GET', '/apis')).headers.vary, 'Accept');
});

test('the paths of old watch, too', async () => {
  await namespace('watched');
  for (const path of ['namespaces/watched/configmaps', 'namespaces/watched/configmaps/seen', 'configmaps']) {
    await using watch = await openWatch(cluster, `/api/v1/watch/${path}?fieldSelector=metadata.name%3Dseen`);
    const made = await post('/api/v1/namespaces/watched/configmaps', map('seen'));
    const event = await watch.next();
    assert.deepEqual([event?.type, at(event?.object, 'metadata.uid')], ['ADDED', at(made, 'metadata.uid')]);
    await cluster.call('DELETE', '/api/v1/namespaces/watched/configmaps/seen');
  }
  assert.equal((await cluster.call('GET', '/apis/authorization.k8s.io/v1/watch/subjectaccessreviews')).status, 405);
  assert.equal((await cluster.call('GET', '/api/v1/watch/nothings')).status, 404);
});

test('selectors choose by label and field', async () => {
  await namespace('chosen');
  const path = '/api/v1/namespaces/chosen/configmaps';
  for (const [name, tier] of [
    ['a', 'x'],
    ['b', 'y'],
    ['c', 'x'],
  ] as const)
    await post(path, map(name, { tier }));
  const names = async (query: string) =>
    (at((await cluster.call('GET', `${path}?${query}`)).body, 'items') as unknown[]).map(item => at(item, 'metadata.name'));
  assert.deepEqual(await names('labelSelector=tier%3Dx'), ['a', 'c']);
  assert.deepEqual(await names('labelSelector=tier+notin+(x)'), ['b']);
  assert.deepEqual(await names('fieldSelector=metadata.name%3Db'), ['b']);
  assert.deepEqual(await names('labelSelector=tier%3Dx&limit=1'), ['a']);
  const unknown = await cluster.call('GET', `${path}?fieldSelector=spec.x%3D1`);
  assert.equal(unknown.status, 400);
  assert.equal(at(unknown.body, 'message'), '"spec.x" is not a known field selector: only "metadata.name", "metadata.namespace"');
  const ofPods = await cluster.call('GET', '/api/v1/pods?fieldSelector=spec.x%3D1');
  assert.equal(at(ofPods.body, 'message'), 'field label not supported: spec.x');
});

test('a watch shows what is there and then what happens, with the deletion at its own revision', async () => {
  await namespace('seen');
  const path = '/api/v1/namespaces/seen/configmaps';
  await post(path, map('a'));
  await using watch = await openWatch(cluster, `${path}?watch=1`);
  assert.deepEqual(
    [(await watch.next())!].map(frame => [frame.type, nameOf(frame)]),
    [['ADDED', 'a']],
  );
  await cluster.call('PATCH', `${path}/a`, { data: { x: 'y' } }, MERGE);
  const modified = (await watch.next())!;
  assert.equal(modified.type, 'MODIFIED');
  await cluster.call('DELETE', `${path}/a`);
  const deleted = (await watch.next())!;
  assert.equal(deleted.type, 'DELETED');
  assert.ok(Number(at(deleted.object, 'metadata.resourceVersion')) > Number(at(modified.object, 'metadata.resourceVersion')));
  assert.deepEqual(at(deleted.object, 'data'), { x: 'y' });
});

test('to a watch with a selector, objects come and go as they match', async () => {
  await namespace('matched');
  const path = '/api/v1/namespaces/matched/configmaps';
  await using watch = await openWatch(cluster, `${path}?watch=1&labelSelector=on%3Dyes`);
  await post(path, map('a', { on: 'no' }));
  for (const on of ['yes', 'yes2', 'yes', null]) await cluster.call('PATCH', `${path}/a`, { metadata: { labels: { on } } }, MERGE);
  await post(path, map('b', { on: 'yes' }));
  await cluster.call('PATCH', `${path}/b`, { data: { x: '1' } }, MERGE);
  await cluster.call('DELETE', `${path}/b`);
  const frames = await watch.until(frame => frame.type === 'DELETED' && nameOf(frame) === 'b');
  assert.deepEqual(
    frames.map(frame => `${frame.type} ${nameOf(frame)}`),
    ['ADDED a', 'DELETED a', 'ADDED a', 'DELETED a', 'ADDED b', 'MODIFIED b', 'DELETED b'],
  );
});

test('a watch resumes after a revision without gap or repetition', async () => {
  await namespace('resumed');
  const path = '/api/v1/namespaces/resumed/configmaps';
  const made = await Promise.all(Array.from({ length: 20 }, (_, i) => post(path, map(`m${i}`))));
  const revisions = made.map(object => Number(at(object, 'metadata.resourceVersion'))).sort((a, b) => a - b);
  await using watch = await openWatch(cluster, `${path}?watch=1&resourceVersion=${revisions[9]}`);
  const frames = await watch.until(frame => Number(at(frame.object, 'metadata.resourceVersion')) === revisions[19]);
  assert.deepEqual(
    frames.map(({ object }) => Number(at(object, 'metadata.resourceVersion'))),
    revisions.slice(10),
  );
});

test('sendInitialEvents ends what was there with a marked bookmark', async () => {
  await using watch = await openWatch(
    cluster,
    '/api/v1/namespaces?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true',
  );
  const frames = await watch.until(({ type }) => type === 'BOOKMARK');
  assert.ok(frames.length > 4);
  assert.equal((at(frames.at(-1)!.object, 'metadata.annotations') as Record<string, string>)['k8s.io/initial-events-end'], 'true');
  for (const query of [
    'sendInitialEvents=true',
    'sendInitialEvents=false',
    'sendInitialEvents=true&resourceVersionMatch=Exact',
    'resourceVersionMatch=NotOlderThan&resourceVersion=1',
  ]) {
    assert.equal((await cluster.call('GET', `/api/v1/namespaces?watch=1&${query}`)).status, 422);
  }
});

test('a watch ends by its timeout, with a last bookmark', async () => {
  await using watch = await openWatch(cluster, '/api/v1/namespaces?watch=1&timeoutSeconds=1&allowWatchBookmarks=true&resourceVersion=1');
  const frames = await watch.until(() => false);
  assert.equal(frames.at(-1)!.type, 'BOOKMARK');
});

test('revisions of the future are refused', async () => {
  for (const path of [
    '/api/v1/namespaces?resourceVersion=999999999&resourceVersionMatch=Exact',
    '/api/v1/namespaces?resourceVersion=999999999&resourceVersionMatch=NotOlderThan',
    '/api/v1/namespaces?resourceVersion=999999999',
    '/api/v1/namespaces?watch=1&resourceVersion=999999999',
    '/api/v1/namespaces/default?resourceVersion=999999999',
  ]) {
    const answer = await cluster.call('GET', path);
    assert.equal(answer.status, 504, path);
    assert.equal(at(answer.body, 'details.causes.0.reason'), 'ResourceVersionTooLarge');
  }
});

const POD = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p' }, spec: { containers: [{ name: 'c', image: 'x' }] } };

test('pods: token volume, binding once, graceful deletion, eviction', async () => {
  await namespace('pods');
  const path = '/api/v1/namespaces/pods/pods';
  const pod = await post(path, POD);
  assert.match(String(at(pod, 'spec.volumes.0.name')), /^kube-api-access-/);
  assert.equal(at(pod, 'spec.serviceAccountName'), 'default');
  assert.equal(at(pod, 'status.phase'), 'Pending');
  const binding = { metadata: { name: 'p' }, target: { kind: 'Node', name: 'n1' } };
  await post(`${path}/p/binding`, binding);
  const again = await cluster.call('POST', `${path}/p/binding`, binding);
  assert.equal(again.status, 409);
  assert.match(String(at(again.body, 'message')), /already assigned to node "n1"/);
  assert.equal(at((await cluster.call('GET', `${path}/p`)).body, 'spec.nodeName'), 'n1');

  const marked = (await cluster.call('DELETE', `${path}/p`, { gracePeriodSeconds: 7 })).body;
  assert.equal(at(marked, 'metadata.deletionGracePeriodSeconds'), 7);
  assert.ok(at(marked, 'metadata.deletionTimestamp'));
  const sooner = (await cluster.call('DELETE', `${path}/p?gracePeriodSeconds=2`)).body;
  assert.equal(at(sooner, 'metadata.deletionGracePeriodSeconds'), 2);
  assert.equal((await cluster.call('DELETE', `${path}/p?gracePeriodSeconds=0`)).status, 200);
  assert.equal((await cluster.call('GET', `${path}/p`)).status, 404);

  await post(path, POD);
  assert.equal(
    at(await post(`${path}/p/eviction`, { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name: 'p' } }), 'status'),
    'Success',
  );
  assert.equal((await cluster.call('GET', `${path}/p`)).status, 404, 'a pod that no node runs goes at once');
});

test('a pod whose tolerations are replaced keeps those it was given; ephemeral containers and resizes are new generations', async () => {
  await namespace('generations');
  const path = '/api/v1/namespaces/generations/pods';
  await post(path, POD);
  const read = async () => (await cluster.call('GET', `${path}/p`)).body as { spec: Record<string, unknown> };
  const pod = await read();
  pod.spec.tolerations = [{ key: 'own', operator: 'Exists', effect: 'NoSchedule' }];
  const updated = await cluster.call('PUT', `${path}/p`, pod);
  assert.equal(updated.status, 200, updated.text);
  assert.deepEqual(
    (at(updated.body, 'spec.tolerations') as { key: string }[]).map(({ key }) => key),
    ['own', 'node.kubernetes.io/not-ready', 'node.kubernetes.io/unreachable'],
  );
  assert.equal(at(updated.body, 'metadata.generation'), 2);
  const debug = { spec: { ephemeralContainers: [{ name: 'debugger', image: 'x' }] } };
  const strategic = { 'content-type': 'application/strategic-merge-patch+json' };
  const debugged = await cluster.call('PATCH', `${path}/p/ephemeralcontainers`, debug, strategic);
  assert.equal(at(debugged.body, 'metadata.generation'), 3, debugged.text);
});

test('finalizers hold an object until they are gone; preconditions guard it', async () => {
  const made = await post(MAPS, { metadata: { name: 'held', finalizers: ['example.com/x'] } });
  const wrong = await cluster.call('DELETE', `${MAPS}/held`, { preconditions: { uid: 'other' } });
  assert.equal(wrong.status, 409);
  const marked = (await cluster.call('DELETE', `${MAPS}/held`, { preconditions: { uid: at(made, 'metadata.uid') } })).body;
  assert.ok(at(marked, 'metadata.deletionTimestamp'));
  const more = await cluster.call('PATCH', `${MAPS}/held`, { metadata: { finalizers: ['example.com/x', 'example.com/y'] } }, MERGE);
  assert.equal(more.status, 422);
  await cluster.call('PATCH', `${MAPS}/held`, { metadata: { finalizers: null } }, MERGE);
  assert.equal((await cluster.call('GET', `${MAPS}/held`)).status, 404);
});

test('propagation is written into finalizers', async () => {
  await post(MAPS, map('owner'));
  const marked = (await cluster.call('DELETE', `${MAPS}/owner?propagationPolicy=Foreground`)).body;
  assert.deepEqual(at(marked, 'metadata.finalizers'), ['foregroundDeletion']);
});

test('a namespace goes when its finalizer is gone, and takes nothing new meanwhile', async () => {
  await namespace('going');
  const marked = (await cluster.call('DELETE', '/api/v1/namespaces/going')).body;
  assert.equal(at(marked, 'status.phase'), 'Terminating');
  const late = await cluster.call('POST', '/api/v1/namespaces/going/configmaps', map('late'));
  assert.equal(late.status, 403);
  assert.equal(at(late.body, 'details.causes.0.reason'), 'NamespaceTerminating');
  const finalized = await cluster.call('PUT', '/api/v1/namespaces/going/finalize', {
    metadata: { name: 'going' },
    spec: { finalizers: [] },
  });
  assert.equal(finalized.status, 200, finalized.text);
  assert.equal((await cluster.call('GET', '/api/v1/namespaces/going')).status, 404);
  assert.equal((await cluster.call('POST', '/api/v1/namespaces/nowhere/configmaps', map('x'))).status, 404);
  assert.equal((await cluster.call('DELETE', '/api/v1/namespaces/default')).status, 403);
});

test('status and spec are written apart, and generation counts the spec', async () => {
  await namespace('apart');
  const path = '/apis/apps/v1/namespaces/apart/deployments';
  const template = { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'x' }] } };
  const made = (await post(path, {
    metadata: { name: 'd' },
    spec: { selector: { matchLabels: { a: 'b' } }, template },
    status: { replicas: 9 },
  })) as object;
  assert.equal(at(made, 'metadata.generation'), 1);
  assert.equal(at(made, 'status.replicas'), undefined);
  const add = [{ op: 'add', path: '/status/replicas', value: 2 }];
  const added = await cluster.call('PATCH', `${path}/d/status`, add, { 'content-type': 'application/json-patch+json' });
  assert.equal(at(added.body, 'status.replicas'), 2, added.text);
  Object.assign(at(made, 'metadata') as object, at(added.body, 'metadata'));
  const withStatus = (
    await cluster.call('PUT', `${path}/d/status`, {
      ...made,
      metadata: { ...(at(made, 'metadata') as object), annotations: { said: 'too' } },
      spec: { ...(at(made, 'spec') as object), replicas: 7 },
      status: { replicas: 3 },
    })
  ).body;
  assert.equal(at(withStatus, 'spec.replicas'), 1);
  assert.equal(at(withStatus, 'status.replicas'), 3);
  assert.equal(at(withStatus, 'metadata.annotations.said'), 'too', 'labels and annotations come along');
  assert.equal(at(withStatus, 'metadata.generation'), 1);
  const scaled = await cluster.call('PATCH', `${path}/d/scale`, { spec: { replicas: 4 } }, MERGE);
  assert.equal(at(scaled.body, 'spec.replicas'), 4, scaled.text);
  assert.equal(at(scaled.body, 'status.selector'), 'a=b');
  const now = (await cluster.call('GET', `${path}/d`)).body;
  assert.equal(at(now, 'metadata.generation'), 2);
  assert.equal(at(now, 'status.replicas'), 3);
});

test('no two Services get the same address or port, and what is deleted is free', async () => {
  await namespace('svc');
  const path = '/api/v1/namespaces/svc/services';
  const service = (name: string, spec: object = {}) => ({ metadata: { name }, spec: { type: 'NodePort', ports: [{ port: 80 }], ...spec } });
  const made = await Promise.all(Array.from({ length: 40 }, (_, i) => post(path, service(`s${i}`))));
  assert.equal(new Set(made.map(each => at(each, 'spec.clusterIP'))).size, 40);
  assert.equal(new Set(made.map(each => at(each, 'spec.ports.0.nodePort'))).size, 40);

  const wanted = { clusterIP: '10.43.7.7', ports: [{ port: 80, nodePort: 30777 }] };
  const race = await Promise.all(['x', 'y', 'z'].map(name => cluster.call('POST', path, service(name, wanted))));
  assert.deepEqual(race.map(({ status }) => status).sort(), [201, 422, 422]);
  assert.match(race.find(({ status }) => status === 422)!.text, /already allocated/);
  const winner = race.find(({ status }) => status === 201)!.body;
  await cluster.call('DELETE', `${path}/${at(winner, 'metadata.name')}`);
  await post(path, service('again', wanted));
  const outside = await cluster.call('POST', path, service('outside', { ports: [{ port: 80, nodePort: 80 }] }));
  assert.match(String(at(outside.body, 'message')), /not in the valid range/);
  const external = await cluster.call(
    'PATCH',
    `${path}/again`,
    { spec: { type: 'ClusterIP' } },
    { 'content-type': 'application/strategic-merge-patch+json' },
  );
  assert.equal(external.status, 200, external.text);
  await post(path, service('port-is-free', { ports: [{ port: 80, nodePort: 30777 }] }));
});

test('a balanced Service with the external policy Local has a node port for health checks as long as it is one', async () => {
  await namespace('healthy');
  const path = '/api/v1/namespaces/healthy/services';
  const balanced = { type: 'LoadBalancer', externalTrafficPolicy: 'Local', ports: [{ port: 80 }] };
  const service = (name: string, spec: object = {}) => ({ metadata: { name }, spec: { ...balanced, ...spec } });
  const patch = (name: string, spec: object) => cluster.call('PATCH', `${path}/${name}`, { spec }, MERGE);
  const made = await post(path, service('web'));
  const port = Number(at(made, 'spec.healthCheckNodePort'));
  assert.ok(port >= 30_000 && port <= 32_767 && port !== at(made, 'spec.ports.0.nodePort'), `${port}`);
  const replaced = await cluster.call('PUT', `${path}/web`, service('web', { ports: [{ port: 81 }] }));
  assert.equal(at(replaced.body, 'spec.healthCheckNodePort'), port, 'what a client leaves out stays');
  const immutable = await patch('web', { healthCheckNodePort: port === 32_000 ? 32_001 : 32_000 });
  assert.equal(immutable.status, 422, immutable.text);
  assert.match(String(at(immutable.body, 'message')), /spec\.healthCheckNodePort: Forbidden: field is immutable/);

  const taken = await cluster.call('POST', path, service('other', { healthCheckNodePort: port }));
  assert.deepEqual(
    [taken.status, at(taken.body, 'message')],
    [500, `Internal error occurred: failed to allocate requested HealthCheck NodePort ${port}: provided port is already allocated`],
  );
  const elsewhere = await patch('web', { externalTrafficPolicy: 'Cluster' });
  assert.equal(at(elsewhere.body, 'spec.healthCheckNodePort'), undefined, elsewhere.text);
  await post(path, service('other', { healthCheckNodePort: port }));
  const both = service('both', { healthCheckNodePort: 31_999, ports: [{ port: 80, nodePort: 31_999 }] });
  assert.match((await cluster.call('POST', path, both)).text, /NodePort 31999: provided port is already allocated/);
  assert.equal(at((await patch('other', { type: 'ClusterIP' })).body, 'spec.healthCheckNodePort'), undefined);
});

test('tables, metadata alone, YAML', async () => {
  await post(MAPS, map('shown', {}, { a: '1', b: '2' }));
  const table = (
    await cluster.call('GET', `${MAPS}?fieldSelector=metadata.name%3Dshown`, undefined, {
      accept: 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json',
    })
  ).body;
  assert.equal(at(table, 'kind'), 'Table');
  assert.deepEqual((at(table, 'rows.0.cells') as unknown[]).slice(0, 2), ['shown', '2']);
  assert.equal(at(table, 'rows.0.object.kind'), 'PartialObjectMetadata');
  const partial = (
    await cluster.call('GET', `${MAPS}/shown`, undefined, { accept: 'application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io' })
  ).body;
  assert.equal(at(partial, 'kind'), 'PartialObjectMetadata');
  assert.equal(at(partial, 'data'), undefined);
  const yaml = await cluster.call('GET', `${MAPS}/shown`, undefined, { accept: 'application/yaml' });
  assert.match(yaml.text, /^kind: ConfigMap/m);
  assert.equal((await cluster.call('GET', MAPS, undefined, { accept: 'text/html' })).status, 406);
  assert.equal(
    (
      await cluster.call('POST', MAPS, 'kind: ConfigMap\napiVersion: v1\nmetadata:\n  name: from-yaml\n', {
        'content-type': 'application/yaml',
      })
    ).status,
    201,
  );
  assert.equal((await cluster.call('POST', MAPS, 'x', { 'content-type': 'application/cbor' })).status, 415);
  assert.equal((await cluster.call('PATCH', `${MAPS}/shown`, 'x: y', { 'content-type': 'application/apply-patch+yaml' })).status, 422);
});

test('events are the same in both their groups', async () => {
  const event = {
    metadata: { name: 'e.1' },
    involvedObject: { kind: 'Pod', namespace: 'default', name: 'p' },
    reason: 'R',
    message: 'M',
    type: 'Normal',
  };
  await post('/api/v1/namespaces/default/events', event);
  const other = (await cluster.call('GET', '/apis/events.k8s.io/v1/namespaces/default/events/e.1')).body;
  assert.equal(at(other, 'note'), 'M');
  assert.equal(at(other, 'regarding.name'), 'p');
  assert.equal(at(other, 'apiVersion'), 'events.k8s.io/v1');
  const newer = {
    metadata: { name: 'e.2' },
    regarding: { kind: 'Pod', namespace: 'default', name: 'q' },
    eventTime: '2026-01-01T00:00:00.000000Z',
  };
  const refused = await cluster.call('POST', '/apis/events.k8s.io/v1/namespaces/default/events', newer);
  assert.equal(refused.status, 422);
  assert.match(String(at(refused.body, 'message')), /reportingController: Required value/);
  const whole = { ...newer, reportingController: 'example.com/x', reportingInstance: 'x', action: 'A', reason: 'R' };
  await post('/apis/events.k8s.io/v1/namespaces/default/events', whole);
  const chosen = await cluster.call('GET', '/api/v1/namespaces/default/events?fieldSelector=involvedObject.name%3Dq');
  assert.equal(at(chosen.body, 'items.0.metadata.name'), 'e.2');
});

test('who is nobody is refused, and reviews tell', async () => {
  const anonymous = await cluster.call('GET', MAPS, undefined, { 'x-anonymous': '1' });
  assert.equal(anonymous.status, 403);
  assert.match(
    String(at(anonymous.body, 'message')),
    /configmaps is forbidden: User "system:anonymous" cannot list resource "configmaps" in API group "" in the namespace "default"/,
  );
  assert.equal((await cluster.call('GET', MAPS, undefined, { authorization: 'Bearer nonsense' })).status, 401);
  const review = { spec: { resourceAttributes: { verb: 'delete', resource: 'nodes' } } };
  assert.equal(at(await post('/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', review), 'status.allowed'), true);
  const other = { spec: { ...review.spec, user: 'eve' } };
  assert.equal(at(await post('/apis/authorization.k8s.io/v1/subjectaccessreviews', other), 'status.allowed'), false);
  assert.equal(at(await post('/apis/authentication.k8s.io/v1/selfsubjectreviews', {}), 'status.userInfo.username'), 'kubernetes-admin');
  const eve = await cluster.call('GET', MAPS, undefined, { 'impersonate-user': 'eve' });
  assert.equal(eve.status, 403);
});

test('a token of a service account is it', async () => {
  const request = { spec: { audiences: [], expirationSeconds: 600 } };
  const token = at(await post('/api/v1/namespaces/default/serviceaccounts/default/token', request), 'status.token');
  const reviewed = await post('/apis/authentication.k8s.io/v1/tokenreviews', { spec: { token } });
  assert.equal(at(reviewed, 'status.user.username'), 'system:serviceaccount:default:default');
  const answer = await cluster.call('GET', MAPS, undefined, { authorization: `Bearer ${token}` });
  assert.match(String(at(answer.body, 'message')), /User "system:serviceaccount:default:default" cannot list/);
});

test('what nobody enforces is refused with 501; what nobody attends to warns', async () => {
  const service = await cluster.call('POST', '/apis/apiregistration.k8s.io/v1/apiservices', { metadata: { name: 'v1.b.c' } });
  assert.equal(service.status, 501);
  assert.equal(at(service.body, 'reason'), 'NotImplemented');
  const policy = await cluster.call('POST', '/apis/networking.k8s.io/v1/namespaces/default/networkpolicies', {
    metadata: { name: 'n' },
    spec: { podSelector: {} },
  });
  assert.equal(policy.status, 201, policy.text);
  assert.match(String(policy.headers.warning), /^299 - "/);
});

test('deletecollection takes what is selected', async () => {
  await namespace('swept');
  const path = '/api/v1/namespaces/swept/configmaps';
  for (const [name, on] of [
    ['a', 'x'],
    ['b', 'y'],
    ['c', 'x'],
  ] as const)
    await post(path, map(name, { on }));
  const answer = await cluster.call('DELETE', `${path}?labelSelector=on%3Dx`);
  assert.equal((at(answer.body, 'items') as unknown[]).length, 2);
  assert.deepEqual(
    (at((await cluster.call('GET', path)).body, 'items') as unknown[]).map(item => at(item, 'metadata.name')),
    ['b'],
  );
});

test('health, version, metrics, discovery, OpenAPI', async () => {
  const version = await cluster.call('GET', '/version', undefined, { accept: 'application/vnd.kubernetes.protobuf' });
  assert.equal(at(version.body, 'major'), '1', version.text);
  assert.equal((await cluster.call('GET', '/livez')).text, 'ok');
  assert.match((await cluster.call('GET', '/readyz?verbose')).text, /\[\+\]store ok[\s\S]*readyz check passed/);
  assert.equal(at((await cluster.call('GET', '/version')).body, 'minor'), '36');
  assert.match(
    (await cluster.call('GET', '/metrics')).text,
    /apiserver_request_total\{verb="CREATE",group="",version="v1",resource="configmaps",subresource="",code="201"\} \d+/,
  );
  const aggregated = await cluster.call('GET', '/apis', undefined, {
    accept: 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json',
  });
  assert.equal(at(aggregated.body, 'kind'), 'APIGroupDiscoveryList');
  assert.equal(at((await cluster.call('GET', '/apis/apps')).body, 'preferredVersion.version'), 'v1');
  assert.equal(at((await cluster.call('GET', '/api/v1')).body, 'kind'), 'APIResourceList');
  const index = (await cluster.call('GET', '/openapi/v3')).body;
  const url = String((at(index, 'paths') as Record<string, { serverRelativeURL: string }>)['apis/apps/v1']!.serverRelativeURL);
  const document = await cluster.call('GET', url);
  assert.equal(at(document.body, 'openapi'), '3.0.0');
  assert.match(String(document.headers['cache-control']), /immutable/);
  assert.equal(at((await cluster.call('GET', '/openapi/v2')).body, 'swagger'), '2.0');
  assert.equal((await cluster.call('GET', '/nowhere')).status, 404);
});
