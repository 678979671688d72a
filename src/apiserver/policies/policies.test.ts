import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Answer, at, openWatch, startTestCluster, type TestCluster } from '../test-cluster.ts';

const API = '/apis/admissionregistration.k8s.io/v1';
const CONFIG_MAPS = { apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE', 'UPDATE'], resources: ['configmaps'] };
const DEPLOYMENTS = { apiGroups: ['apps'], apiVersions: ['v1'], operations: ['CREATE', 'UPDATE'], resources: ['deployments'] };
let cluster: TestCluster;

before(async () => {
  cluster = await startTestCluster();
});
after(() => cluster[Symbol.asyncDispose]());

type Sort = 'validating' | 'mutating';
const KIND = { validating: 'ValidatingAdmissionPolicy', mutating: 'MutatingAdmissionPolicy' };
const PATH = { validating: 'validatingadmissionpolicies', mutating: 'mutatingadmissionpolicies' };

/** Makes a policy with its binding in force for one test. */
async function withPolicy(
  sort: Sort,
  name: string,
  spec: object,
  binding: object,
  run: () => Promise<void>,
  more: readonly object[] = [],
): Promise<void> {
  const bindings = [binding, ...more].map((each, i) => ({
    kind: `${KIND[sort]}Binding`,
    apiVersion: 'admissionregistration.k8s.io/v1',
    metadata: { name: `${name}-b${i || ''}` },
    spec: { policyName: name, ...(sort === 'validating' && { validationActions: ['Deny'] }), ...each },
  }));
  const plural = PATH[sort].replace(/ies$/, 'ybindings');
  try {
    ok(await create(sort, name, spec));
    for (const each of bindings) ok(await cluster.call('POST', `${API}/${plural}`, each));
    await run();
  } finally {
    await cluster.call('DELETE', `${API}/${PATH[sort]}/${name}`);
    for (const each of bindings) await cluster.call('DELETE', `${API}/${plural}/${each.metadata.name}`);
  }
}

function create(sort: Sort, name: string, spec: object): Promise<Answer> {
  const body = { kind: KIND[sort], apiVersion: 'admissionregistration.k8s.io/v1', metadata: { name }, spec };
  return cluster.call('POST', `${API}/${PATH[sort]}`, body);
}

function ok(answer: Answer): Answer {
  assert.ok(answer.status < 300, `${answer.status} ${answer.text}`);
  return answer;
}

function configMap(
  name: string,
  data: Record<string, string> = {},
  namespace = 'default',
  labels: Record<string, string> = {},
): Promise<Answer> {
  return cluster.call('POST', `/api/v1/namespaces/${namespace}/configmaps`, { metadata: { name, labels }, data });
}

function deployment(name: string, replicas: number): Promise<Answer> {
  const labels = { app: name };
  const template = { metadata: { labels }, spec: { containers: [{ name: 'c', image: 'i' }] } };
  return cluster.call('POST', '/apis/apps/v1/namespaces/default/deployments', {
    metadata: { name },
    spec: { replicas, selector: { matchLabels: labels }, template },
  });
}

async function remove(...names: string[]): Promise<void> {
  for (const name of names) await cluster.call('DELETE', `/api/v1/namespaces/default/configmaps/${name}`);
}

test('a validation refuses, with upstream’s words, as soon as policy and binding exist', async () => {
  const spec = {
    matchConstraints: { resourceRules: [DEPLOYMENTS] },
    variables: [
      { name: 'limit', expression: '2 + 1' },
      { name: 'double', expression: 'variables.limit * 2' },
    ],
    validations: [
      {
        expression: 'object.spec.replicas <= variables.double',
        messageExpression: "'at most ' + string(variables.double)",
        reason: 'Forbidden',
      },
      { expression: 'object.spec.replicas != 4' },
    ],
  };
  await withPolicy('validating', 'few', spec, {}, async () => {
    const many = await deployment('many', 7);
    assert.equal(many.status, 403);
    assert.equal(
      at(many.body, 'message'),
      `deployments.apps "many" is forbidden: ValidatingAdmissionPolicy 'few' with binding 'few-b' denied request: at most 6`,
    );
    assert.equal((at(many.body, 'details.causes') as unknown[]).length, 1);
    const four = await deployment('four', 4);
    assert.deepEqual([four.status, at(four.body, 'reason')], [422, 'Invalid']);
    assert.match(four.text, /denied request: failed expression: object.spec.replicas != 4/);
    ok(await deployment('fine', 1));
  });
  ok(await deployment('many', 7));
});

test('selectors, excluded rules, names and conditions decide for whom a policy is', async () => {
  ok(await cluster.call('POST', '/api/v1/namespaces', { metadata: { name: 'strict', labels: { strict: 'yes' } } }));
  const spec = {
    matchConstraints: {
      resourceRules: [CONFIG_MAPS],
      excludeResourceRules: [{ ...CONFIG_MAPS, resourceNames: ['exempt'] }],
      namespaceSelector: { matchLabels: { strict: 'yes' } },
    },
    matchConditions: [{ name: 'not-nodes', expression: "!('system:nodes' in request.userInfo.groups) && request.name != 'spared'" }],
    validations: [{ expression: "namespaceObject.metadata.labels.strict == 'no'", message: 'strict' }],
  };
  const binding = { matchResources: { objectSelector: { matchExpressions: [{ key: 'free', operator: 'DoesNotExist' }] } } };
  await withPolicy('validating', 'selective', spec, binding, async () => {
    ok(await configMap('anything'));
    assert.equal((await configMap('refused', {}, 'strict')).status, 422);
    for (const name of ['exempt', 'spared']) ok(await configMap(name, {}, 'strict'));
    ok(await configMap('free', {}, 'strict', { free: 'yes' }));
  });
  await remove('anything');
});

test('params come by name, by selector, or are missing', async () => {
  ok(await configMap('limits', { most: '2' }));
  const spec = {
    paramKind: { apiVersion: 'v1', kind: 'ConfigMap' },
    matchConstraints: { resourceRules: [DEPLOYMENTS] },
    validations: [{ expression: 'object.spec.replicas <= int(params.data.most)', messageExpression: "'most ' + params.data.most" }],
  };
  const byName = { paramRef: { name: 'limits', parameterNotFoundAction: 'Deny' } };
  await withPolicy('validating', 'by-name', spec, byName, async () => {
    assert.match((await deployment('p1', 3)).text, /denied request: most 2/);
    ok(await cluster.call('PUT', '/api/v1/namespaces/default/configmaps/limits', { metadata: { name: 'limits' }, data: { most: '3' } }));
    ok(await deployment('p1', 3));
    await remove('limits');
    assert.match((await deployment('p2', 1)).text, /no params found for policy binding with `Deny` parameterNotFoundAction/);
  });
  const selector = { matchLabels: { kind: 'limit' } };
  await withPolicy('validating', 'by-selector', spec, { paramRef: { selector, parameterNotFoundAction: 'Allow' } }, async () => {
    ok(await deployment('p3', 3));
    ok(await configMap('limit-a', { most: '5' }, 'default', { kind: 'limit' }));
    ok(await configMap('limit-b', { most: '4' }, 'default', { kind: 'limit' }));
    assert.match((await deployment('p4', 5)).text, /most 4/);
    ok(await deployment('p5', 4));
  });
  await remove('limit-a', 'limit-b');
});

test('Warn only warns; failurePolicy decides about what can not be evaluated', async () => {
  const spec = {
    matchConstraints: { resourceRules: [CONFIG_MAPS] },
    validations: [{ expression: "object.data.a == 'x'", message: 'a must be x' }],
  };
  await withPolicy('validating', 'warner', spec, { validationActions: ['Warn'] }, async () => {
    const warned = ok(await configMap('warned', { a: 'y' }));
    assert.match(
      String(warned.headers.warning),
      /Validation failed for ValidatingAdmissionPolicy 'warner' with binding 'warner-b': a must be x/,
    );
  });
  await withPolicy('validating', 'failing', spec, {}, async () => {
    assert.match((await configMap('no-key', { b: 'y' })).text, /expression 'object.data.a == 'x'' resulted in error: no such key: a/);
  });
  await withPolicy('validating', 'lenient', { ...spec, failurePolicy: 'Ignore' }, {}, async () => {
    ok(await configMap('no-key', { b: 'y' }));
  });
  await remove('warned', 'no-key');
});

test('deletions and updates are judged with the old object; the authorizer answers', async () => {
  const deletions = {
    matchConstraints: { resourceRules: [{ ...CONFIG_MAPS, operations: ['UPDATE', 'DELETE'] }] },
    validations: [
      { expression: "request.operation != 'DELETE' || (object == null && oldObject.metadata.name != 'kept')", message: 'kept' },
      {
        expression:
          "object == null || object.data.a == oldObject.data.a || authorizer.group('').resource('pods').namespace('default').check('create').allowed()",
      },
    ],
  };
  ok(await configMap('kept', { a: '1' }));
  await withPolicy('validating', 'keeper', deletions, {}, async () => {
    assert.match((await cluster.call('DELETE', '/api/v1/namespaces/default/configmaps/kept')).text, /denied request: kept/);
    ok(await cluster.call('PUT', '/api/v1/namespaces/default/configmaps/kept', { metadata: { name: 'kept' }, data: { a: '2' } }));
  });
  await withPolicy(
    'validating',
    'asker',
    {
      matchConstraints: { resourceRules: [CONFIG_MAPS] },
      validations: [
        {
          expression: "authorizer.serviceAccount('default', 'default').group('').resource('nodes').check('delete').allowed()",
          message: 'may not',
        },
      ],
    },
    {},
    async () => assert.match((await configMap('asked')).text, /denied request: may not/),
  );
  await remove('kept');
});

test('policies that make no sense are refused at creation, with the place', async () => {
  const rules = { matchConstraints: { resourceRules: [CONFIG_MAPS] } };
  const table: [sort: Sort, spec: object, expected: RegExp][] = [
    ['validating', rules, /spec.validations: Required value: validations or auditAnnotations must contain at least one item/],
    ['validating', { validations: [{ expression: 'true' }] }, /spec.matchConstraints: Required value/],
    [
      'validating',
      { ...rules, validations: [{ expression: 'nope == 1' }] },
      /spec.validations\[0\].expression: Invalid value: .*undeclared reference to 'nope'/,
    ],
    ['validating', { ...rules, validations: [{ expression: '1' }] }, /must evaluate to bool/],
    ['validating', { ...rules, validations: [{ expression: 'params.x' }] }, /undeclared reference to 'params'/],
    [
      'validating',
      { ...rules, variables: [{ name: '1a', expression: '1' }], validations: [{ expression: 'true' }] },
      /name is not a valid CEL identifier/,
    ],
    ['validating', { ...rules, validations: [{ expression: 'variables.gone' }] }, /undefined field 'gone'/],
    [
      'validating',
      { ...rules, validations: [{ expression: 'true', reason: 'Because' }] },
      /spec.validations\[0\].reason: Unsupported value/,
    ],
    ['mutating', { ...rules, reinvocationPolicy: 'Never' }, /spec.mutations: Required value/],
    [
      'mutating',
      { ...rules, reinvocationPolicy: 'Never', mutations: [{ patchType: 'JSONPatch', jsonPatch: { expression: 'Object{}' } }] },
      /must evaluate to list\(JSONPatch\)/,
    ],
    [
      'mutating',
      { ...rules, reinvocationPolicy: 'Never', mutations: [{ patchType: 'ApplyConfiguration' }] },
      /spec.mutations\[0\].applyConfiguration: Required value/,
    ],
  ];
  for (const [sort, spec, expected] of table) {
    const answer = await create(sort, 'wrong', spec);
    assert.equal(answer.status, 422, answer.text);
    assert.match(String(at(answer.body, 'message')), expected);
  }
  const binding = { metadata: { name: 'b' }, spec: { policyName: 'p', validationActions: ['Deny', 'Warn'] } };
  assert.match(
    (await cluster.call('POST', `${API}/validatingadmissionpolicybindings`, binding)).text,
    /must not contain both Deny and Warn/,
  );
});

test('mutations apply configurations and JSON patches, one after the other', async () => {
  const spec = {
    reinvocationPolicy: 'Never',
    matchConstraints: { resourceRules: [CONFIG_MAPS] },
    variables: [{ name: 'who', expression: 'request.userInfo.username' }],
    mutations: [
      {
        patchType: 'ApplyConfiguration',
        applyConfiguration: {
          expression: "Object{metadata: Object.metadata{labels: {'by': variables.who.lowerAscii(), 'a/b': '1'}}, data: {'n': '1'}}",
        },
      },
      {
        patchType: 'JSONPatch',
        jsonPatch: {
          expression:
            "[JSONPatch{op: 'test', path: '/metadata/labels/' + jsonpatch.escapeKey('a/b'), value: '1'}, JSONPatch{op: 'add', path: '/data/c', value: string(size(object.data))}]",
        },
      },
    ],
  };
  await withPolicy('mutating', 'adder', spec, {}, async () => {
    const made = ok(await configMap('mutated', { own: 'x' }));
    assert.deepEqual(at(made.body, 'data'), { own: 'x', n: '1', c: '2' });
    assert.equal(typeof at(made.body, 'metadata.labels.by'), 'string');
  });
  ok(await configMap('untouched'));
  await remove('mutated', 'untouched');
});

test('lists with keys are merged by them, and what does not fit is refused', async () => {
  const sidecar =
    "Object{spec: Object.spec{template: Object.spec.template{spec: Object.spec.template.spec{containers: [Object.spec.template.spec.containers{name: 'side', image: 'i'}]}}}}";
  const spec = (expression: string) => ({
    reinvocationPolicy: 'IfNeeded',
    matchConstraints: { resourceRules: [DEPLOYMENTS] },
    mutations: [{ patchType: 'ApplyConfiguration', applyConfiguration: { expression } }],
  });
  await withPolicy('mutating', 'sidecar', spec(sidecar), {}, async () => {
    const made = ok(await deployment('with-sidecar', 1));
    const containers = at(made.body, 'spec.template.spec.containers') as { name: string }[];
    assert.deepEqual(
      containers.map(({ name }) => name),
      ['c', 'side'],
    );
  });
  await withPolicy('mutating', 'unfit', spec("Object{spec: Object.spec{replicas: 'many'}}"), {}, async () => {
    const refused = await deployment('unfit', 1);
    assert.deepEqual([refused.status, at(refused.body, 'reason')], [403, 'Invalid']);
    assert.match(refused.text, /policy 'unfit' with binding 'unfit-b' denied request/);
  });
  await withPolicy(
    'mutating',
    'atomic',
    spec("Object{spec: Object.spec{selector: Object.spec.selector{matchLabels: {'x': 'y'}}}}"),
    {},
    async () => {
      assert.match((await deployment('atomic', 1)).text, /may not mutate atomic arrays, maps or structs: .spec.selector/);
    },
  );
});

test('the status tells what is doubtful about expressions for the kinds that rules name', async () => {
  const spec = {
    matchConstraints: { resourceRules: [DEPLOYMENTS] },
    validations: [
      { expression: "object.spec.replicas > '1'" },
      { expression: 'object.spec.typo == 1' },
      { expression: "object.metadata.namespace != '' && object.spec.template.spec.containers.all(c, c.image != '')" },
    ],
  };
  try {
    ok(await create('validating', 'doubtful', spec));
    await using watch = await openWatch(cluster, `${API}/validatingadmissionpolicies?watch=true&fieldSelector=metadata.name=doubtful`);
    const frames = await watch.until(({ object }) => at(object, 'status.observedGeneration') === 1);
    const policy = frames.at(-1)?.object;
    const warnings = at(policy, 'status.typeChecking.expressionWarnings') as { fieldRef: string; warning: string }[];
    assert.deepEqual(
      warnings.map(({ fieldRef }) => fieldRef),
      ['spec.validations[0].expression', 'spec.validations[1].expression'],
    );
    assert.match(
      warnings[0]?.warning ?? '',
      /^apps\/v1, Kind=Deployment: ERROR: <input>:1:22: found no matching overload for '_>_' applied to '\(int, string\)'/,
    );
    assert.match(warnings[1]?.warning ?? '', /undefined field 'typo'/);
  } finally {
    await cluster.call('DELETE', `${API}/validatingadmissionpolicies/doubtful`);
  }
});

test('policies look again at what later ones change, when they want to', async () => {
  const counting = (reinvocationPolicy: string) => ({
    reinvocationPolicy,
    matchConstraints: { resourceRules: [CONFIG_MAPS] },
    mutations: [
      { patchType: 'ApplyConfiguration', applyConfiguration: { expression: "Object{data: {'seen': string(size(object.data))}}" } },
    ],
  });
  const adding = {
    reinvocationPolicy: 'Never',
    matchConstraints: { resourceRules: [CONFIG_MAPS] },
    mutations: [{ patchType: 'ApplyConfiguration', applyConfiguration: { expression: "Object{data: {'added': 'x'}}" } }],
  };
  const seen = async (name: string) => at(ok(await configMap(name, { own: 'x' })).body, 'data.seen');
  await withPolicy('mutating', 'b-adder', adding, {}, async () => {
    await withPolicy('mutating', 'a-counter', counting('IfNeeded'), {}, async () => assert.equal(await seen('counted-again'), '3'));
    await withPolicy('mutating', 'a-once', counting('Never'), {}, async () => assert.equal(await seen('counted-once'), '1'));
  });
  await remove('counted-again', 'counted-once');
});

test('built-in plugins look again at what policies change', async () => {
  const spec = {
    reinvocationPolicy: 'Never',
    matchConstraints: { resourceRules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['pods'] }] },
    mutations: [
      {
        patchType: 'ApplyConfiguration',
        applyConfiguration: { expression: "Object{spec: Object.spec{containers: [Object.spec.containers{name: 'side', image: 'i'}]}}" },
      },
    ],
  };
  await cluster.call('POST', '/api/v1/namespaces/default/serviceaccounts', { metadata: { name: 'default' } });
  await withPolicy('mutating', 'pod-sidecar', spec, {}, async () => {
    const body = { metadata: { name: 'with-sidecar' }, spec: { containers: [{ name: 'c', image: 'i' }] } };
    const made = ok(await cluster.call('POST', '/api/v1/namespaces/default/pods', body));
    assert.equal(at(made.body, 'spec.containers.1.name'), 'side');
    assert.equal(at(made.body, 'spec.containers.1.volumeMounts.0.mountPath'), '/var/run/secrets/kubernetes.io/serviceaccount');
  });
});

test('who may not read the parameters may not make the policy', async () => {
  ok(
    await cluster.call('POST', '/apis/rbac.authorization.k8s.io/v1/clusterroles', {
      metadata: { name: 'policy-maker' },
      rules: [{ apiGroups: ['admissionregistration.k8s.io'], resources: ['*'], verbs: ['*'] }],
    }),
  );
  ok(
    await cluster.call('POST', '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', {
      metadata: { name: 'policy-maker' },
      subjects: [{ kind: 'User', name: 'mallory', apiGroup: 'rbac.authorization.k8s.io' }],
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'policy-maker' },
    }),
  );
  const as = { 'impersonate-user': 'mallory' };
  const spec = { matchConstraints: { resourceRules: [CONFIG_MAPS] }, validations: [{ expression: 'params.data.size() == 0' }] };
  const curious = { metadata: { name: 'curious' }, spec: { ...spec, paramKind: { apiVersion: 'v1', kind: 'Secret' } } };
  const refused = await cluster.call('POST', `${API}/validatingadmissionpolicies`, curious, as);
  assert.equal(refused.status, 403);
  assert.match(refused.text, /must have \\"get\\" permission on all objects of the referenced paramKind/);
  const binding = {
    metadata: { name: 'curious' },
    spec: {
      policyName: 'curious',
      validationActions: ['Deny'],
      paramRef: { name: 's', namespace: 'default', parameterNotFoundAction: 'Deny' },
    },
  };
  assert.equal((await cluster.call('POST', `${API}/validatingadmissionpolicybindings`, binding, as)).status, 403);
});
