import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { at, startTestCluster, type TestCluster } from './test-cluster.ts';

let cluster: TestCluster;
const RBAC = '/apis/rbac.authorization.k8s.io/v1';
const AUTHZ = '/apis/authorization.k8s.io/v1';
const jane = { 'impersonate-user': 'jane' };

before(async () => {
  cluster = await startTestCluster();
  await create('/api/v1/namespaces', { metadata: { name: 'shop' } });
  await create(`${RBAC}/namespaces/shop/roles`, {
    metadata: { name: 'reader' },
    rules: [{ apiGroups: [''], resources: ['pods'], verbs: ['get', 'list'] }],
  });
  await create(`${RBAC}/namespaces/shop/rolebindings`, {
    metadata: { name: 'jane' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'reader' },
    subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'jane' }],
  });
});
after(() => cluster?.[Symbol.asyncDispose]());

async function create(path: string, body: object) {
  const { status, text } = await cluster.call('POST', path, body);
  assert.equal(status, 201, text);
}

const review = (kind: string, spec: object, headers = {}, path = `${AUTHZ}/${kind.toLowerCase()}s`) =>
  cluster.call('POST', path, { kind, apiVersion: 'authorization.k8s.io/v1', spec }, headers);

test('access reviews answer as the request itself would be', async () => {
  const resourceAttributes = { verb: 'list', resource: 'pods', namespace: 'shop' };
  const cases: [string, object, boolean][] = [
    ['jane lists pods', { user: 'jane', resourceAttributes }, true],
    ['jane lists secrets', { user: 'jane', resourceAttributes: { ...resourceAttributes, resource: 'secrets' } }, false],
    ['a group alone', { groups: ['system:masters'], resourceAttributes }, true],
    ['a path', { user: 'x', groups: ['system:authenticated'], nonResourceAttributes: { verb: 'get', path: '/version' } }, true],
    ['with extra', { user: 'jane', extra: { 'example.com/a': ['b'] }, resourceAttributes }, true],
    [
      'a node, its own pods',
      {
        user: 'system:node:box',
        groups: ['system:nodes'],
        resourceAttributes: {
          ...resourceAttributes,
          fieldSelector: { requirements: [{ key: 'spec.nodeName', operator: 'In', values: ['box'] }] },
        },
      },
      true,
    ],
    ['a node, all pods', { user: 'system:node:box', groups: ['system:nodes'], resourceAttributes }, false],
    [
      'a node, with a selector nobody can read',
      {
        user: 'system:node:box',
        groups: ['system:nodes'],
        resourceAttributes: { ...resourceAttributes, fieldSelector: { rawSelector: '!!' } },
      },
      false,
    ],
  ];
  for (const [what, spec, allowed] of cases) {
    const { status, body, text } = await review('SubjectAccessReview', spec);
    assert.equal(status, 201, `${what}: ${text}`);
    assert.equal(at(body, 'status.allowed'), allowed, what);
  }
  const self = await review('SelfSubjectAccessReview', { resourceAttributes }, jane);
  assert.equal(at(self.body, 'status.allowed'), true, self.text);
  assert.match(String(at(self.body, 'status.reason')), /RBAC: allowed by RoleBinding "jane\/shop"/);
});

test('questions that make no sense are refused with the field', async () => {
  const resourceAttributes = { verb: 'list', resource: 'pods', namespace: 'shop' };
  const bad = {
    user: 'x',
    resourceAttributes: { ...resourceAttributes, labelSelector: { requirements: [{ key: 'a', operator: 'Near' }] } },
  };
  const cases: [object, string][] = [
    [{ resourceAttributes }, 'spec.user'],
    [{ user: 'x' }, 'spec.resourceAttributes'],
    [{ user: 'x', resourceAttributes, nonResourceAttributes: { path: '/', verb: 'get' } }, 'spec.nonResourceAttributes'],
    [bad, 'spec.resourceAttributes.labelSelector.requirements[0].operator'],
  ];
  for (const [spec, field] of cases) {
    const { status, body, text } = await review('SubjectAccessReview', spec);
    assert.equal(status, 422, text);
    assert.equal(at(body, 'details.causes.0.field'), field);
  }
  const local = `${AUTHZ}/namespaces/other/localsubjectaccessreviews`;
  assert.equal((await review('LocalSubjectAccessReview', { user: 'x', resourceAttributes }, {}, local)).status, 400);
});

test('rules reviews and self reviews say what the caller is and may', async () => {
  const rules = await review('SelfSubjectRulesReview', { namespace: 'shop' }, jane, `${AUTHZ}/selfsubjectrulesreviews`);
  const held = at(rules.body, 'status.resourceRules') as { resources: string[] }[];
  assert.ok(
    held.some(({ resources }) => resources.includes('pods')),
    rules.text,
  );
  const body = { kind: 'SelfSubjectReview', apiVersion: 'authentication.k8s.io/v1' };
  const headers = { ...jane, 'impersonate-group': 'dev', 'impersonate-uid': '7', 'impersonate-extra-example.com%2fteam': 'blue' };
  const who = await cluster.call('POST', '/apis/authentication.k8s.io/v1/selfsubjectreviews', body, headers);
  assert.deepEqual(at(who.body, 'status.userInfo'), {
    username: 'jane',
    uid: '7',
    groups: ['dev', 'system:authenticated'],
    extra: { 'example.com/team': ['blue'] },
  });
});

test('of a resource that is not served he learns who might have used it', async () => {
  const post = async (path: string) => (await cluster.call('POST', path, {}, jane)).status;
  assert.equal(await post('/apis/authentication.k8s.io/v1alpha1/selfsubjectreviews'), 404);
  assert.equal(await post('/apis/example.com/v1/namespaces/shop/things'), 403);
  assert.equal((await cluster.call('GET', '/apis/example.com/v1/namespaces/shop/things/x')).status, 404);
});

test('impersonation is allowed for each part by itself', async () => {
  const rules = [
    { apiGroups: [''], resources: ['users'], verbs: ['impersonate'], resourceNames: ['jane'] },
    { apiGroups: ['authentication.k8s.io'], resources: ['userextras/team'], verbs: ['impersonate'], resourceNames: ['blue'] },
  ];
  await create(`${RBAC}/clusterroles`, { metadata: { name: 'mask' }, rules });
  await create('/api/v1/namespaces/shop/serviceaccounts', { metadata: { name: 'robot' } });
  await create(`${RBAC}/clusterrolebindings`, {
    metadata: { name: 'mask' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'mask' },
    subjects: [{ kind: 'ServiceAccount', name: 'robot', namespace: 'shop' }],
  });
  const issued = await cluster.call('POST', '/api/v1/namespaces/shop/serviceaccounts/robot/token', {
    kind: 'TokenRequest',
    apiVersion: 'authentication.k8s.io/v1',
    spec: {},
  });
  const authorization = `Bearer ${at(issued.body, 'status.token')}`;
  const list = async (headers: Record<string, string>) =>
    (await cluster.call('GET', '/api/v1/namespaces/shop/pods', undefined, { authorization, ...headers })).status;
  assert.equal(await list({}), 403);
  assert.equal(await list(jane), 200);
  assert.equal(await list({ ...jane, 'impersonate-extra-team': 'blue' }), 200);
  assert.equal(await list({ ...jane, 'impersonate-extra-team': 'red' }), 403);
  assert.equal(await list({ ...jane, 'impersonate-group': 'system:masters' }), 403);
  assert.equal(await list({ ...jane, 'impersonate-uid': '1' }), 403);
  assert.equal(await list({ 'impersonate-user': 'bob' }), 403);
  assert.equal(await list({ 'impersonate-user': 'system:serviceaccount:shop:other' }), 403);
  assert.equal(await list({ 'impersonate-group': 'dev' }), 400);
});

test('nobody gives away what they do not hold, on creation, update and binding', async () => {
  const roles = `${RBAC}/namespaces/shop/roles`;
  const bindings = `${RBAC}/namespaces/shop/rolebindings`;
  const writer = { apiGroups: ['rbac.authorization.k8s.io'], resources: ['roles', 'rolebindings'], verbs: ['*'] };
  const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'policy' };
  const subjects = [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'jane' }];
  // `*` on roles would include `escalate` and `bind`: list what a mere author of roles has.
  await create(roles, { metadata: { name: 'policy' }, rules: [{ ...writer, verbs: ['create', 'update', 'patch', 'get'] }] });
  await create(bindings, { metadata: { name: 'policy' }, roleRef, subjects });
  const held = { apiGroups: [''], resources: ['pods'], verbs: ['get'] };
  const more = { apiGroups: [''], resources: ['secrets'], verbs: ['get'] };
  const call = async (method: string, path: string, body: object) => (await cluster.call(method, path, body, jane)).status;
  assert.equal(await call('POST', roles, { metadata: { name: 'a' }, rules: [held] }), 201);
  assert.equal(await call('POST', roles, { metadata: { name: 'b' }, rules: [held, more] }), 403);
  assert.equal(await call('PUT', `${roles}/a`, { metadata: { name: 'a' }, rules: [held, more] }), 403);
  assert.equal(await call('PUT', `${roles}/new`, { metadata: { name: 'new' }, rules: [more] }), 403, 'a PUT that creates');
  const patched = await cluster.call('PATCH', `${roles}/a`, { rules: [more] }, { ...jane, 'content-type': 'application/merge-patch+json' });
  assert.equal(patched.status, 403);
  await create(roles, { metadata: { name: 'secrets' }, rules: [more] });
  const bind = (name: string, role: string) => ({ metadata: { name }, roleRef: { ...roleRef, name: role }, subjects });
  assert.equal(await call('POST', bindings, bind('x', 'reader')), 201, 'what one holds may be given');
  assert.equal(await call('POST', bindings, bind('y', 'secrets')), 403);
  await create(roles, {
    metadata: { name: 'binder' },
    rules: [{ ...writer, resources: ['roles'], resourceNames: ['secrets'], verbs: ['bind'] }],
  });
  await create(bindings, { ...bind('binder', 'binder') });
  assert.equal(await call('POST', bindings, bind('y', 'secrets')), 201, 'the verb `bind`');
  await create(roles, { metadata: { name: 'escalator' }, rules: [{ ...writer, resources: ['roles'], verbs: ['escalate'] }] });
  await create(bindings, bind('escalator', 'escalator'));
  assert.equal(
    await call('PUT', `${roles}/a`, { metadata: { name: 'a' }, rules: [held, { ...more, verbs: ['delete'] }] }),
    200,
    'the verb `escalate`',
  );
});

test('kubectl auth: can-i, whoami, reconcile', async () => {
  const out = async (...args: string[]) => (await cluster.kubectl(...args)).stdout.trim();
  assert.equal(await out('auth', 'can-i', 'list', 'pods', '-n', 'shop', '--as', 'jane'), 'yes');
  await assert.rejects(out('auth', 'can-i', 'delete', 'nodes', '--as', 'jane'), /no/);
  assert.match(await out('auth', 'can-i', '--list', '-n', 'shop', '--as', 'jane'), /pods\s.*\[get list\]/);
  const who = JSON.parse(await out('auth', 'whoami', '-o', 'json', '--as', 'jane', '--as-group', 'dev'));
  assert.equal(who.status.userInfo.username, 'jane');
  const { writeFile } = await import('node:fs/promises');
  const file = `${cluster.directory}/role.yaml`;
  const role = { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'Role', metadata: { name: 'reader', namespace: 'shop' } };
  await writeFile(file, JSON.stringify({ ...role, rules: [{ apiGroups: [''], resources: ['configmaps'], verbs: ['get'] }] }));
  assert.match(await out('auth', 'reconcile', '-f', file), /reconciled/);
  const { body } = await cluster.call('GET', `${RBAC}/namespaces/shop/roles/reader`);
  assert.equal((at(body, 'rules') as unknown[]).length, 2, 'what was there stays');
});
