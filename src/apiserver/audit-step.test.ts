import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { type AuditRecord, parseAuditPolicy } from '#audit/index.ts';
import { systemClock } from '#base/clock.ts';
import { auditStep } from './audit-step.ts';
import { openWatch, startTestCluster, type TestCluster } from './test-cluster.ts';

let cluster: TestCluster;
let records: AuditRecord[] = [];
let told = () => {};

before(async () => {
  const rules = [
    { level: 'None', users: ['system:apiserver'] },
    { level: 'RequestResponse', omitManagedFields: true, resources: [{ resources: ['configmaps'] }] },
    { level: 'Request', omitStages: ['RequestReceived'], resources: [{ resources: ['secrets'] }] },
    { level: 'Metadata', nonResourceURLs: ['/version'] },
    { level: 'Metadata', verbs: ['watch'] },
    { level: 'Metadata', users: ['jane'] },
    { level: 'Metadata', resources: [{ resources: ['nodes'] }], users: [''] },
  ];
  const policy = parseAuditPolicy({ apiVersion: 'audit.k8s.io/v1', kind: 'Policy', rules });
  const sink = {
    write(record: AuditRecord) {
      records.push(JSON.parse(JSON.stringify(record)));
      told();
    },
    async [Symbol.asyncDispose]() {},
  };
  cluster = await startTestCluster({ audit: auditStep({ policy, sink, clock: systemClock }) });
});
after(() => cluster?.[Symbol.asyncDispose]());
beforeEach(() => {
  records = [];
});

const stages = () => records.map(({ stage }) => stage);

test('a change with all that was sent and answered', async () => {
  const body = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a' }, data: { a: '1' } };
  const sent = { 'user-agent': 'tests/1', 'audit-id': 'my-id' };
  const { headers } = await cluster.call('POST', '/api/v1/namespaces/default/configmaps', body, sent);
  assert.equal(headers['audit-id'], 'my-id');
  assert.deepEqual(stages(), ['RequestReceived', 'ResponseComplete']);
  const [received, complete] = records as [AuditRecord, AuditRecord];
  assert.equal(received.requestObject, undefined);
  assert.equal(complete.auditID, 'my-id');
  assert.equal(complete.userAgent, 'tests/1');
  assert.equal(complete.user.username, 'kubernetes-admin');
  assert.deepEqual(complete.sourceIPs, ['127.0.0.1']);
  assert.equal(complete.verb, 'create');
  assert.deepEqual((complete.requestObject as typeof body).data, { a: '1' });
  const { metadata } = complete.responseObject as { metadata: { uid: string; managedFields?: unknown } };
  assert.equal(complete.objectRef?.uid, metadata.uid);
  assert.equal(metadata.managedFields, undefined);
  assert.equal(complete.responseStatus?.code, 201);
  assert.equal(complete.annotations?.['authorization.k8s.io/decision'], 'allow');
  assert.match(complete.requestReceivedTimestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
});

test('a list that is written down is answered, too', async () => {
  await cluster.call('POST', '/api/v1/namespaces/default/configmaps', { metadata: { name: 'listed' } });
  records = [];
  const { body } = await cluster.call('GET', '/api/v1/namespaces/default/configmaps');
  const names = (list: unknown) => (list as { items: { metadata: { name: string } }[] }).items.map(({ metadata }) => metadata.name);
  assert.ok(names(body).includes('listed'));
  assert.deepEqual(names(records.at(-1)?.responseObject), names(body));
});

test('no more than the level says', async () => {
  await cluster.call(
    'PATCH',
    '/api/v1/namespaces/default/secrets/none',
    { data: { a: 'eA==' } },
    { 'content-type': 'application/merge-patch+json' },
  );
  assert.deepEqual(stages(), ['ResponseComplete']);
  assert.deepEqual(records[0]?.requestObject, { data: { a: 'eA==' } });
  assert.equal(records[0]?.responseObject, undefined);
  assert.equal(records[0]?.responseStatus?.reason, 'NotFound');
  records = [];
  await cluster.call('GET', '/version');
  assert.deepEqual(
    records.map(({ requestURI, objectRef }) => [requestURI, objectRef]),
    [
      ['/version', undefined],
      ['/version', undefined],
    ],
  );
  records = [];
  await cluster.call('GET', '/api/v1/nodes');
  assert.deepEqual(records, []);
});

test('who asks, as whom, and why it was refused', async () => {
  const headers = { 'impersonate-user': 'jane', 'impersonate-group': 'dev' };
  assert.equal((await cluster.call('GET', '/api/v1/namespaces/default/secrets/x', undefined, headers)).status, 403);
  const [record] = records;
  assert.equal(record?.user.username, 'kubernetes-admin');
  assert.deepEqual(record?.impersonatedUser, { username: 'jane', groups: ['dev', 'system:authenticated'] });
  assert.equal(record?.responseStatus?.code, 403);
  assert.equal(record?.annotations?.['authorization.k8s.io/decision'], 'forbid');
});

test('who was not let in', async () => {
  assert.equal((await cluster.call('GET', '/api/v1/nodes', undefined, { authorization: 'Bearer nonsense' })).status, 401);
  assert.deepEqual(
    records.map(({ stage, responseStatus, user }) => [stage, responseStatus?.code, user.username]),
    [
      ['RequestReceived', undefined, ''],
      ['ResponseComplete', 401, ''],
    ],
  );
});

test('a watch: when it began and when it ended', { timeout: 20_000 }, async () => {
  const ended = Promise.withResolvers<void>();
  {
    await using watch = await openWatch(cluster, '/api/v1/nodes?watch=1&timeoutSeconds=60');
    assert.equal(watch.status, 200);
    assert.deepEqual(stages(), ['RequestReceived', 'ResponseStarted']);
    told = () => ended.resolve();
  }
  await ended.promise;
  assert.deepEqual(stages(), ['RequestReceived', 'ResponseStarted', 'ResponseComplete']);
});
