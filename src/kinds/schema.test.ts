import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UmiakError } from '#base/errors.ts';
import { Deployment } from './deployment.ts';
import { Pod } from './pod.ts';
import { builtinKinds } from './registry.ts';
import { checkGvk, checkObject, mergeInfo } from './schema.ts';
import { schemaData } from './schema-data.ts';

const pod = (spec: unknown, more: object = {}) => ({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'a' }, spec, ...more });
const as = 'Pod in version "v1" cannot be handled as a Pod: ';

const refused: [why: string, value: unknown, message: string][] = [
  ['no object', [], `${as}json: cannot unmarshal array into Go value of type v1.Pod`],
  ['null', null, `${as}json: cannot unmarshal null into Go value of type v1.Pod`],
  ['another version', pod({}, { apiVersion: 'v2' }), 'the API version in the data (v2) does not match the expected API version (v1)'],
  ['another kind', pod({}, { kind: 'Node' }), 'the kind in the data (Node) does not match the expected kind (Pod)'],
  ['a string for a struct', pod('x'), `${as}json: cannot unmarshal string into Go struct field Pod.spec of type v1.PodSpec`],
  [
    'a number for a string, deep',
    pod({ containers: [{ name: 'a', env: [{ name: 'A', value: 1 }] }] }),
    `${as}json: cannot unmarshal number into Go struct field EnvVar.spec.containers.env.value of type string`,
  ],
  [
    'an object for a list',
    pod({ containers: {} }),
    `${as}json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container`,
  ],
  [
    'a bool in a map',
    pod({ nodeSelector: { a: true } }),
    `${as}json: cannot unmarshal bool into Go struct field PodSpec.spec.nodeSelector.a of type string`,
  ],
  ['a fraction', pod({ priority: 1.5 }), `${as}json: cannot unmarshal number 1.5 into Go struct field PodSpec.spec.priority of type int32`],
  [
    'too large for int32',
    pod({ priority: 2 ** 31 }),
    `${as}json: cannot unmarshal number 2147483648 into Go struct field PodSpec.spec.priority of type int32`,
  ],
  [
    'a bad quantity',
    pod({ containers: [{ name: 'a', resources: { limits: { cpu: 'x' } } }] }),
    `${as}quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'`,
  ],
  [
    'a bad time',
    { ...pod({}), metadata: { creationTimestamp: '2026-02-31T00:00:00Z' } },
    `${as}parsing time "2026-02-31T00:00:00Z" as "2006-01-02T15:04:05Z07:00": cannot parse "2026-02-31T00:00:00Z"`,
  ],
];
for (const [why, value, message] of refused)
  test(`refuses ${why}`, () => assert.throws(() => checkObject(Pod, value), { reason: 'BadRequest', message }));

test('drops unknown fields, and warns or refuses as asked', () => {
  const given = () => pod({ containers: [{ name: 'a', imagee: 'x' }], constructor: 1 }, { statos: {} });
  const sentences = ['unknown field "spec.containers[0].imagee"', 'unknown field "spec.constructor"', 'unknown field "statos"'];
  const warned = checkObject(Pod, given());
  assert.deepEqual(warned.warnings, sentences);
  assert.deepEqual(warned.object.spec, { containers: [{ name: 'a' }] });
  assert.deepEqual(checkObject(Pod, given(), { fieldValidation: 'Ignore' }).warnings, []);
  assert.throws(() => checkObject(Pod, given(), { fieldValidation: 'Strict' }), {
    reason: 'BadRequest',
    message: `${as}strict decoding error: ${sentences.join(', ')}`,
  });
});

test('null is absent, and scalars take their canonical form', () => {
  const { object } = checkObject(
    Pod,
    pod({
      hostname: null,
      volumes: null,
      containers: [{ name: 'a', resources: { requests: { cpu: 0.5, memory: '1024Mi' } }, command: ['a', null] }],
    }),
  );
  assert.deepEqual(object.spec, {
    containers: [{ name: 'a', resources: { requests: { cpu: '500m', memory: '1Gi' } }, command: ['a', ''] }],
  });
  const timed = checkGvk<{ spec: unknown }>(
    { group: 'coordination.k8s.io', version: 'v1', kind: 'Lease' },
    { metadata: { creationTimestamp: '2026-01-01T02:00:00.5+02:00' }, spec: { renewTime: '2026-01-01T00:00:00.1234567Z' } },
  ).object;
  assert.deepEqual(timed, {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: { creationTimestamp: '2026-01-01T00:00:00Z' },
    spec: { renewTime: '2026-01-01T00:00:00.123456Z' },
  });
});

test('required fields that lack are noted and become empty, those of programs only become empty', () => {
  const { object, missing } = checkObject(Deployment, {
    spec: { template: { spec: { containers: [{ env: [{}] }] } } },
    status: { conditions: [{}] },
  });
  assert.deepEqual(
    missing.map(({ field }) => field),
    ['spec.template.spec.containers[0].env[0].name', 'spec.template.spec.containers[0].name'],
  );
  assert.deepEqual(object, {
    spec: { template: { spec: { containers: [{ env: [{ name: '' }], name: '' }] } } },
    status: { conditions: [{ type: '', status: '' }] },
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: {},
  });
});

test('hostile nesting is refused, not followed', () => {
  let deep: unknown = {};
  for (let i = 0; i < 100_000; i++) deep = { a: deep };
  const managed = { ...pod({ containers: [] }), metadata: { managedFields: [{ fieldsV1: deep }] } };
  assert.throws(() => checkObject(Pod, managed), { reason: 'BadRequest', message: `${as}exceeded max depth` });
  assert.equal(checkObject(Pod, pod({ containers: [], a: deep })).warnings.length, 1);
  let schema: Record<string, unknown> = {};
  for (let i = 0; i < 10_000; i++) schema = { not: schema };
  const crd = { spec: { versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: schema } }] } };
  assert.throws(() => checkGvk({ group: 'apiextensions.k8s.io', version: 'v1', kind: 'CustomResourceDefinition' }, crd), {
    reason: 'BadRequest',
  });
});

test('every kind compiles and takes an empty object', () => {
  for (const kind of builtinKinds) assert.equal(checkObject(kind, {}).object.kind, kind.resource.kind);
});

test('merge rules for patches', () => {
  const spec = 'io.k8s.api.core.v1.PodSpec';
  assert.deepEqual(mergeInfo(spec, 'containers'), { strategy: 'merge', mergeKey: 'name', retainKeys: false });
  assert.deepEqual(mergeInfo(spec, 'volumes'), { strategy: 'merge', mergeKey: 'name', retainKeys: true });
  assert.deepEqual(mergeInfo(spec, 'tolerations'), { strategy: 'replace', retainKeys: false });
  assert.deepEqual(mergeInfo(spec, 'nodeSelector'), { strategy: 'merge', retainKeys: false });
  assert.deepEqual(mergeInfo('io.k8s.api.apps.v1.DeploymentSpec', 'strategy'), { strategy: 'merge', retainKeys: true });
  assert.deepEqual(mergeInfo('io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta', 'finalizers'), { strategy: 'merge', retainKeys: false });
});

test('whatever comes, only our own error is thrown, and what was accepted is accepted again unchanged (random)', () => {
  let seed = Number(process.env.SEED ?? Date.now() % 2 ** 31);
  console.log(`schema seed ${seed}`);
  const random = (below: number) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor((seed / 2 ** 32) * below);
  };
  const keys = Object.values(schemaData().types).flatMap(type => Object.keys(type.fields ?? {}));
  keys.push('__proto__', 'constructor', 'toString', '');
  const scalars = [null, true, 0, -1, 1.5, 2 ** 40, '', 'a', '1Gi', '2026-01-01T00:00:00Z', 'YQ==', '\u0000', '\ud800'];
  const any = (depth: number): unknown => {
    const shape = depth > 5 ? 0 : random(4);
    if (shape === 1) return Array.from({ length: random(4) }, () => any(depth + 1));
    if (shape < 2) return scalars[random(scalars.length)];
    return Object.fromEntries(Array.from({ length: random(6) }, () => [keys[random(keys.length)] as string, any(depth + 1)]));
  };
  const fitting = (typeName: string, depth: number): unknown => {
    const fields = Object.entries(schemaData().types[typeName]?.fields ?? {});
    if (fields.length === 0) return scalars[random(scalars.length)];
    const value: Record<string, unknown> = {};
    for (const [key, field] of fields) {
      if (random(depth < 3 ? 3 : 6) > 0 || key === 'apiVersion' || key === 'kind') continue;
      const ref = field.ref ?? field.items?.ref;
      const one = ref && random(20) > 0 && depth < 6 ? fitting(ref, depth + 1) : random(10) > 0 ? 'a' : any(depth + 1);
      value[key] = field.type === 'array' ? [one] : one;
    }
    return value;
  };
  for (let i = 0; i < 8000; i++) {
    const kind = builtinKinds[random(builtinKinds.length)]!;
    const value = random(3) ? fitting(kind.type, 0) : any(0);
    try {
      const { object } = checkObject(kind, value);
      const text = JSON.stringify(object);
      const again = checkObject(kind, JSON.parse(text), { fieldValidation: 'Strict' });
      assert.equal(JSON.stringify(again.object), text);
    } catch (error) {
      assert.ok(error instanceof UmiakError && error.reason === 'BadRequest', error as Error);
    }
  }
});
