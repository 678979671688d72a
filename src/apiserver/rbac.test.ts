import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { KubeObject } from '#kinds/kind.ts';
import type { PolicyRule, Subject } from '#kinds/types.gen.ts';
import { createAuthorization } from './authz.ts';
import { bootstrapClusterRoleBindings, bootstrapClusterRoles, bootstrapLocals } from './bootstrap-roles.ts';
import type { Attributes, Identity } from './identity.ts';
import { applyBootstrapRoles, type PolicyWriter, planBootstrap } from './rbac-bootstrap.ts';
import { rulesNotHeld } from './rbac-rules.ts';

const GROUP = 'rbac.authorization.k8s.io';
const jane: Identity = { name: 'jane', groups: ['dev', 'system:authenticated'] };
const admin: Identity = { name: 'kubernetes-admin', groups: ['system:masters', 'system:authenticated'] };
const anonymous: Identity = { name: 'system:anonymous', groups: ['system:unauthenticated'] };
const robot: Identity = { name: 'system:serviceaccount:shop:robot', groups: ['system:serviceaccounts', 'system:authenticated'] };

const object = (kind: string, name: string, rest: object, namespace?: string) =>
  ({ apiVersion: `${GROUP}/v1`, kind, metadata: { name, ...(namespace && { namespace }) }, ...rest }) as unknown as KubeObject;
const role = (name: string, rules: PolicyRule[], namespace?: string) =>
  object(namespace ? 'Role' : 'ClusterRole', name, { rules }, namespace);
const binding = (name: string, roleRef: string, subjects: Subject[], namespace?: string) => {
  const [kind, to] = roleRef.split('/') as [string, string];
  return object(
    namespace ? 'RoleBinding' : 'ClusterRoleBinding',
    name,
    { roleRef: { kind, name: to, apiGroup: GROUP }, subjects },
    namespace,
  );
};
const user = (name: string): Subject => ({ kind: 'User', name, apiGroup: GROUP });

/** `get pods/log shop x` or `get /metrics`. */
function ask(identity: Identity, text: string): Attributes {
  const [verb, what, namespace = '-', name = ''] = text.split(' ') as [string, string, string?, string?];
  const base = { identity, verb, group: '', version: 'v1', resource: '', subresource: '', namespace: '', name: '' };
  if (what.startsWith('/')) return { ...base, path: what };
  const [resource, subresource = ''] = what.split('/') as [string, string?];
  const [plural, ...group] = resource.split('.') as [string, ...string[]];
  return { ...base, group: group.join('.'), resource: plural, subresource, namespace: namespace === '-' ? '' : namespace, name };
}

function bootstrapped(...more: KubeObject[]) {
  const authorization = createAuthorization();
  for (const one of [...bootstrapClusterRoles(), ...bootstrapClusterRoleBindings()]) authorization.observe(one as unknown as KubeObject);
  for (const one of more) authorization.observe(one);
  return authorization;
}

const rule = (verbs: string, groups: string, resources: string, names?: string): PolicyRule => ({
  verbs: verbs.split(' '),
  apiGroups: groups.split(','),
  resources: resources.split(' '),
  ...(names && { resourceNames: names.split(' ') }),
});

describe('what a rule lets through', () => {
  const cases: [PolicyRule, string, string][] = [
    [rule('get list', '', 'pods'), 'get pods shop x; list pods shop', 'watch pods shop; get pods/log shop x; get pods.apps shop x'],
    [rule('get', '', 'pods/log'), 'get pods/log shop x', 'get pods shop x; get pods/exec shop x'],
    [rule('*', '', 'pods'), 'frobnicate pods shop x', 'get secrets shop x; get pods/log shop x'],
    [rule('get', '*', '*'), 'get pods shop x; get deployments.apps/scale shop x', 'create pods shop'],
    [rule('update', '*', '*/scale'), 'update deployments.apps/scale shop x', 'update deployments.apps shop x; update pods/log shop x'],
    [rule('get', '', 'pods/*'), '', 'get pods/log shop x; get pods shop x'],
    [
      rule('get update', '', 'configmaps', 'a b'),
      'get configmaps shop a; update configmaps shop b',
      'get configmaps shop c; list configmaps shop',
    ],
    [rule('create', '', 'configmaps', 'a'), 'create configmaps shop a', 'create configmaps shop'],
    [
      { verbs: ['get'], nonResourceURLs: ['/api/*', '/version'] },
      'get /api/v1; get /version; get /api/',
      'get /version/; get /api; post /api/v1',
    ],
    [{ verbs: ['*'], nonResourceURLs: ['*'] }, 'post /anything', 'get pods shop x'],
  ];
  for (const [given, allowed, refused] of cases)
    test(JSON.stringify(given), async () => {
      const authorization = createAuthorization();
      authorization.observe(role('r', [given]));
      authorization.observe(binding('b', 'ClusterRole/r', [user('jane')]));
      const decide = async (text: string) => (await authorization.authorize(ask(jane, text))).allowed;
      for (const text of allowed.split('; ').filter(Boolean)) assert.equal(await decide(text), true, text);
      for (const text of refused.split('; ').filter(Boolean)) assert.equal(await decide(text), false, text);
    });
});

test('bindings reach users, groups and service accounts, each in its scope, and end when taken away', async () => {
  const authorization = createAuthorization();
  const decide = async (identity: Identity, text: string) => (await authorization.authorize(ask(identity, text))).allowed;
  const reader = role('reader', [rule('get', '', 'pods')]);
  authorization.observe(reader);
  authorization.observe(role('writer', [rule('create', '', 'pods')], 'shop'));
  const local = binding('devs', 'ClusterRole/reader', [{ kind: 'Group', name: 'dev' }], 'shop');
  authorization.observe(local);
  authorization.observe(binding('robots', 'Role/writer', [{ kind: 'ServiceAccount', name: 'robot' }], 'shop'));
  assert.equal(await decide(jane, 'get pods shop x'), true);
  assert.equal(await decide(jane, 'get pods other x'), false);
  assert.equal(await decide(jane, 'get pods - x'), false);
  assert.equal(await decide(robot, 'create pods shop'), true);
  assert.equal(await decide(robot, 'create pods other'), false);
  assert.match(
    (await authorization.authorize(ask(jane, 'get pods shop x'))).reason,
    /RoleBinding "devs\/shop" of ClusterRole "reader" to Group "dev"/,
  );

  authorization.observe(binding('devs', 'ClusterRole/reader', [user('joe')], 'shop'));
  assert.equal(await decide(jane, 'get pods shop x'), false, 'the subjects changed');
  authorization.observe(local);
  authorization.observe(reader, true);
  assert.equal(await decide(jane, 'get pods shop x'), false, 'the role is gone');
  authorization.observe(reader);
  assert.equal(await decide(jane, 'get pods shop x'), true, 'the role is back');
  authorization.observe(local, true);
  assert.equal(await decide(jane, 'get pods shop x'), false, 'the binding is gone');
});

test('bootstrap roles: who may do what in a new cluster', async () => {
  const authorization = bootstrapped(
    binding('e', 'ClusterRole/edit', [user('eve')], 'shop'),
    binding('a', 'ClusterRole/admin', [user('ann')], 'shop'),
    binding('v', 'ClusterRole/view', [user('vic')], 'shop'),
    binding('c', 'ClusterRole/cluster-admin', [user('cleo')]),
  );
  const named = (name: string): Identity => ({ name, groups: ['system:authenticated'] });
  const scheduler = named('system:kube-scheduler');
  const controller = named('system:serviceaccount:kube-system:deployment-controller');
  const cases: [Identity, string, string][] = [
    [anonymous, 'get /livez; get /readyz; get /healthz; get /version', 'get /api; get /metrics; get pods shop x; get /livez/ping'],
    [
      jane,
      'get /api; get /apis/apps/v1; get /openapi/v3; create selfsubjectaccessreviews.authorization.k8s.io',
      'get /metrics; list pods shop',
    ],
    [admin, 'get /metrics; delete nodes - n; escalate clusterroles.rbac.authorization.k8s.io - x', ''],
    [named('cleo'), 'get /metrics; delete nodes - n', ''],
    [
      named('vic'),
      'list pods shop; get pods/log shop x; get deployments.apps/scale shop x',
      'get secrets shop x; create pods shop; get pods/exec shop x; list pods other',
    ],
    [
      named('eve'),
      'list pods shop; create pods/exec shop x; get secrets shop x; create deployments.apps shop',
      'create roles.rbac.authorization.k8s.io shop; get nodes - n',
    ],
    [
      named('ann'),
      'create roles.rbac.authorization.k8s.io shop; create pods/exec shop x; get pods/log shop x',
      'update namespaces - shop; create roles.rbac.authorization.k8s.io other',
    ],
    [scheduler, 'create pods/binding shop x; watch nodes; delete pods shop x', 'create pods shop; get secrets shop x'],
    [controller, 'create replicasets.apps shop; update deployments.apps/status shop x', 'create deployments.apps shop; get secrets shop x'],
    [robot, 'get /openid/v1/jwks', 'get secrets shop x'],
  ];
  for (const [identity, allowed, refused] of cases) {
    const decide = async (text: string) => (await authorization.authorize(ask(identity, text))).allowed;
    for (const text of allowed.split('; ').filter(Boolean)) assert.equal(await decide(text), true, `${identity.name} ${text}`);
    for (const text of refused.split('; ').filter(Boolean)) assert.equal(await decide(text), false, `${identity.name} ${text}`);
  }
});

test('aggregation follows labels, through several steps, without going round for ever', async () => {
  const authorization = bootstrapped(binding('v', 'ClusterRole/view', [user('jane')]), binding('a', 'ClusterRole/admin', [user('ann')]));
  const decide = async (name: string, text: string) => (await authorization.authorize(ask({ name, groups: [] }, text))).allowed;
  assert.equal(await decide('jane', 'list boats.example.com shop'), false);
  const boats = role('boats', [rule('list', 'example.com', 'boats')]);
  const labelled = { ...boats, metadata: { ...boats.metadata, labels: { [`${GROUP}/aggregate-to-view`]: 'true' } } };
  authorization.observe(labelled);
  assert.equal(await decide('jane', 'list boats.example.com shop'), true);
  assert.equal(await decide('ann', 'list boats.example.com shop'), true, 'view is part of edit, edit of admin');
  const selectors = { clusterRoleSelectors: [{ matchLabels: { [`${GROUP}/aggregate-to-view`]: 'true' } }] };
  authorization.observe({ ...labelled, metadata: { ...labelled.metadata, name: 'round' }, aggregationRule: selectors } as KubeObject);
  assert.equal(await decide('jane', 'list boats.example.com shop'), true);
  authorization.observe(boats);
  assert.equal(await decide('jane', 'list boats.example.com shop'), false);
});

test('lists the rules of somebody in a namespace', async () => {
  const authorization = bootstrapped(
    binding('v', 'ClusterRole/pods', [user('jane')], 'shop'),
    role('pods', [rule('get', '', 'pods', 'a')]),
  );
  const here = await authorization.rulesOf(jane, 'shop');
  assert.deepEqual(here.resourceRules.at(-1), { verbs: ['get'], apiGroups: [''], resources: ['pods'], resourceNames: ['a'] });
  assert.ok(here.nonResourceRules.some(({ nonResourceURLs }) => nonResourceURLs.includes('/openapi/*')));
  assert.equal(here.incomplete, false);
  assert.ok(!(await authorization.rulesOf(jane, 'other')).resourceRules.some(({ resources }) => resources.includes('pods')));
});

test('what is held covers what is wanted, piece by piece', () => {
  const held = [
    rule('get list', '', 'pods services'),
    rule('*', 'apps', '*'),
    rule('get', '', 'secrets', 'a b'),
    { verbs: ['get'], nonResourceURLs: ['/x/*'] },
  ];
  const cases: [PolicyRule, string[]][] = [
    [rule('get', '', 'pods'), []],
    [rule('get list', '', 'services pods'), []],
    [rule('get', '', 'pods', 'x'), []],
    [rule('get delete', '', 'pods'), ['delete pods']],
    [rule('*', '', 'pods'), ['* pods']],
    [rule('get', ',apps', 'pods deployments'), ['get deployments']],
    [rule('update', 'apps', 'deployments/scale'), []],
    [rule('get', '', 'secrets'), ['get secrets']],
    [rule('get', '', 'secrets', 'a c'), ['get secrets']],
    [{ verbs: ['get'], nonResourceURLs: ['/x/y', '/x/*'] }, []],
    [{ verbs: ['get', 'post'], nonResourceURLs: ['/y'] }, ['get /y', 'post /y']],
  ];
  for (const [wanted, missing] of cases)
    assert.deepEqual(
      rulesNotHeld([wanted], held).map(({ verbs, resources, nonResourceURLs }) => `${verbs} ${resources ?? nonResourceURLs}`),
      missing,
      JSON.stringify(wanted),
    );
});

test('nobody gives what he does not hold', async () => {
  const authorization = bootstrapped(
    role('manager', [rule('*', GROUP, 'roles rolebindings'), rule('get', '', 'pods')], 'shop'),
    binding('m', 'Role/manager', [user('jane')], 'shop'),
    role('escalator', [rule('escalate bind', GROUP, 'roles clusterroles')]),
    binding('x', 'ClusterRole/escalator', [user('rex')], 'shop'),
    role('secrets', [rule('get', '', 'secrets')]),
  );
  const forbidden =
    /attempting to grant RBAC permissions not currently held:\n\{APIGroups:\[""\], Resources:\["secrets"\], Verbs:\["get"\]\}/;
  const pods = role('p', [rule('get', '', 'pods')], 'shop');
  const secrets = role('s', [rule('get', '', 'secrets')], 'shop');
  const { checkEscalation } = authorization;
  await checkEscalation(jane, pods);
  await assert.rejects(checkEscalation(jane, binding('b', 'ClusterRole/secrets', [user('joe')])), { reason: 'Forbidden' });
  await assert.rejects(checkEscalation({ name: 'zoe', groups: [] }, secrets), { reason: 'Forbidden', message: forbidden });
  await assert.rejects(checkEscalation({ name: 'zoe', groups: [] }, binding('b', 'ClusterRole/secrets', [user('joe')], 'shop')), {
    message: forbidden,
  });
  await checkEscalation({ name: 'zoe', groups: [] }, secrets, structuredClone(secrets));
  await checkEscalation({ name: 'rex', groups: [] }, secrets);
  await checkEscalation({ name: 'rex', groups: [] }, binding('b', 'ClusterRole/secrets', [user('joe')], 'shop'));
  await assert.rejects(checkEscalation({ name: 'rex', groups: [] }, role('everywhere', [rule('get', '', 'secrets')])), {
    reason: 'Forbidden',
  });
  await assert.rejects(checkEscalation({ name: 'zoe', groups: [] }, binding('b', 'Role/absent', [], 'shop')), { reason: 'NotFound' });
  await checkEscalation(admin, binding('b', 'Role/absent', [], 'shop'));
  const aggregating = { ...role('agg', []), aggregationRule: { clusterRoleSelectors: [] } } as KubeObject;
  await assert.rejects(checkEscalation(jane, aggregating), { reason: 'Forbidden' });
});

test('bootstrapping adds what lacks, keeps what people added, and leaves alone what they said', async () => {
  const store = new Map<string, KubeObject>();
  const writes: string[] = [];
  const idOf = (kind: string, name: string, namespace = '') => `${kind}/${namespace && `${namespace}/`}${name}`;
  const writer: PolicyWriter = {
    get: async (kind, { name, namespace }) =>
      structuredClone(store.get(idOf(kind, name, namespace))) as Awaited<ReturnType<PolicyWriter['get']>>,
    async create(one) {
      writes.push(`create ${one.metadata.name}`);
      store.set(idOf(one.kind, one.metadata.name, one.metadata.namespace), one as unknown as KubeObject);
    },
    async update(one) {
      writes.push(`update ${one.metadata.name}`);
      store.set(idOf(one.kind, one.metadata.name, one.metadata.namespace), one as KubeObject);
    },
    async delete(kind, { name, namespace }) {
      writes.push(`delete ${name}`);
      store.delete(idOf(kind, name, namespace));
    },
  };
  await applyBootstrapRoles(writer);
  assert.equal(writes.length, bootstrapClusterRoles().length + bootstrapClusterRoleBindings().length + bootstrapLocals().length);
  writes.length = 0;
  await applyBootstrapRoles(writer);
  assert.deepEqual(writes, [], 'a second start writes nothing');

  const change = (id: string, edit: (one: Record<string, unknown>) => object) => store.set(id, edit(store.get(id) as never) as KubeObject);
  change('ClusterRole/system:discovery', one => ({ ...one, rules: [rule('get', '', 'extra')] }));
  change('ClusterRole/system:basic-user', one => ({
    ...one,
    rules: [],
    metadata: { ...(one.metadata as object), annotations: { 'rbac.authorization.kubernetes.io/autoupdate': 'false' } },
  }));
  change('ClusterRoleBinding/cluster-admin', one => ({ ...one, subjects: [user('jane')] }));
  change('ClusterRoleBinding/system:discovery', one => ({ ...one, roleRef: { kind: 'ClusterRole', name: 'other' } }));
  await applyBootstrapRoles(writer);
  assert.deepEqual(writes.sort(), [
    'create system:discovery',
    'delete system:discovery',
    'update cluster-admin',
    'update system:discovery',
  ]);
  const discovery = store.get('ClusterRole/system:discovery') as unknown as { rules: PolicyRule[] };
  assert.ok(discovery.rules.some(({ resources }) => resources?.includes('extra')));
  assert.ok(discovery.rules.some(({ nonResourceURLs }) => nonResourceURLs?.includes('/apis/*')));
  assert.deepEqual(
    (store.get('ClusterRoleBinding/cluster-admin') as unknown as { subjects: Subject[] }).subjects.map(({ name }) => name),
    ['jane', 'system:masters'],
  );
  assert.equal(planBootstrap(bootstrapClusterRoles()[0]!, undefined) !== undefined, true);
});

test('ten thousand bindings do not slow a decision', async () => {
  const authorization = bootstrapped();
  for (let i = 0; i < 10_000; i++) authorization.observe(binding(`b${i}`, 'ClusterRole/view', [user(`u${i}`)], `ns${i % 100}`));
  const started = performance.now();
  for (let i = 0; i < 10_000; i++) await authorization.authorize(ask({ name: 'u7', groups: ['system:authenticated'] }, 'list pods ns7'));
  const each = (performance.now() - started) / 10_000;
  assert.ok(each < 0.1, `${each} ms a decision`);
});
