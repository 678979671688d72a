import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import { apiVersionOf } from '#kinds/kind.ts';
import { builtinKinds } from '#kinds/registry.ts';
import { schemaData } from '#kinds/schema-data.ts';
import { ProtobufReader } from '#wire/protobuf-reader.ts';
import { ProtobufWriter } from '#wire/protobuf-writer.ts';
import { parseProtobuf, protobufPlanOf, toProtobuf } from './envelope.ts';
import { generateObject, randomFrom } from './generate-object.ts';
import { toWatchFrame } from './watch-event.ts';

const seed = Number(process.env.SEED ?? randomInt(2 ** 31));

test('every kind of the schema comes back from protobuf as it was', context => {
  context.diagnostic(`SEED=${seed}`);
  const random = randomFrom(seed);
  let kinds = 0;
  for (const [type, { gvk = [] }] of Object.entries(schemaData().types)) {
    for (const one of gvk.slice(0, 1)) {
      const at = one.lastIndexOf('/');
      const [apiVersion, kind] = [one.slice(0, at), one.slice(at + 1)];
      if (!protobufPlanOf(apiVersion, kind)) continue;
      kinds++;
      for (let i = 0; i < 5; i++) {
        const object = { apiVersion, kind, ...(generateObject(type, random) as object) };
        assert.deepEqual(parseProtobuf(toProtobuf(object)), object, `SEED=${seed} ${one}`);
      }
    }
  }
  assert.ok(kinds > 75, `${kinds} kinds`);
});

test('every built-in kind and its list has a protobuf form', () => {
  for (const { resource } of builtinKinds) {
    const apiVersion = apiVersionOf(resource);
    assert.ok(protobufPlanOf(apiVersion, resource.kind), `${apiVersion} ${resource.kind}`);
    if (resource.verbs.includes('list'))
      assert.ok(protobufPlanOf(apiVersion, `${resource.kind}List`), `${apiVersion} ${resource.kind}List`);
  }
  for (const kind of ['Status', 'DeleteOptions', 'WatchEvent', 'PartialObjectMetadata', 'PartialObjectMetadataList', 'APIResourceList'])
    assert.ok(protobufPlanOf('v1', kind), kind);
});

const golden: [what: string, object: object, hex: string][] = [
  [
    'a Namespace: k8s\\0, typeMeta, raw { metadata { name } }, empty encoding and type',
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'a' } },
    '6b387300 0a0f 0a027631 12094e616d657370616365 1205 0a03 0a0161 1a00 2200',
  ],
  [
    'a ConfigMap: a map entry',
    { apiVersion: 'v1', kind: 'ConfigMap', data: { k: 'v' } },
    '6b387300 0a0f 0a027631 1209436f6e6669674d6170 1208 1206 0a016b 120176 1a00 2200',
  ],
  [
    'a Service: an IntOrString in a list',
    { apiVersion: 'v1', kind: 'Service', spec: { ports: [{ port: 80, targetPort: 'web' }] } },
    '6b387300 0a0d 0a027631 120753657276696365 120f 120d 0a0b 1850 2207 0801 1a03776562 1a00 2200',
  ],
  [
    'a Lease: a MicroTime and a negative int',
    { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', spec: { leaseDurationSeconds: -1, acquireTime: '1970-01-01T00:00:01.000002Z' } },
    '6b387300 0a1f 0a16636f6f7264696e6174696f6e2e6b38732e696f2f7631 12054c65617365 1214 1212 10ffffffffffffffffff01 1a05 0801 10d00f 1a00 2200',
  ],
  [
    'a Pod: a volume whose source is inlined in JSON',
    { apiVersion: 'v1', kind: 'Pod', spec: { volumes: [{ name: 'v', emptyDir: {} }] } },
    '6b387300 0a09 0a027631 1203506f64 120b 1209 0a07 0a0176 1202 1200 1a00 2200',
  ],
];
for (const [what, object, hex] of golden)
  test(`golden bytes: ${what}`, () => {
    const bytes = Buffer.from(hex.replaceAll(' ', ''), 'hex');
    assert.equal(toProtobuf(object).toString('hex'), bytes.toString('hex'));
    assert.deepEqual(parseProtobuf(bytes), object);
  });

test('zeros: of a pointer a value, of other fields nothing', () => {
  const object = {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    spec: { replicas: 0, minReadySeconds: 0, paused: false, template: { spec: { hostUsers: false } } },
  };
  assert.deepEqual(parseProtobuf(toProtobuf(object)), {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    spec: { replicas: 0, template: { spec: { hostUsers: false } } },
  });
});

test('a CustomResourceDefinition: JSON names that the wire spells otherwise, and unions', () => {
  const openAPIV3Schema = {
    $ref: '#/x',
    'x-kubernetes-list-map-keys': ['a'],
    'x-kubernetes-preserve-unknown-fields': true,
    additionalProperties: false,
    items: [{ type: 'string' }, { type: 'integer' }],
    dependencies: { a: ['b', 'c'] },
    default: { deep: [1, null] },
    enum: ['a', 1],
    properties: { p: { type: 'object', items: { type: 'string' }, additionalProperties: { type: 'integer' } } },
  };
  const object = {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    spec: { versions: [{ name: 'v1', schema: { openAPIV3Schema } }] },
  };
  assert.deepEqual(parseProtobuf(toProtobuf(object)), object);
});

test('a watch event: its length, then type and enveloped object', () => {
  const frame = toWatchFrame('ADDED', { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'a' } });
  assert.equal(frame.readUInt32BE(), frame.length - 4);
  assert.equal(frame.subarray(4, 13).toString('latin1'), '\x0a\x05ADDED\x12\x22');
  assert.equal(frame.subarray(15, 19).toString('latin1'), 'k8s\0');
});

test('numbers of every size survive', () => {
  const writer = new ProtobufWriter(8);
  const numbers = [0, 1, 127, 128, 2 ** 31 - 1, 2 ** 31, 2 ** 35 + 7, 2 ** 53 - 1, -1, -(2 ** 31), -(2 ** 53 - 1)];
  for (const number of numbers.toReversed()) writer.integerField(3, number);
  const reader = new ProtobufReader(writer.finish());
  const read: number[] = [];
  while (reader.next()) read.push(reader.integer());
  assert.deepEqual(read, numbers);
});

test('bytes that are no message are refused, whatever they are', () => {
  const random = randomFrom(seed);
  const whole = toProtobuf({ apiVersion: 'v1', kind: 'Pod', ...(generateObject('io.k8s.api.core.v1.Pod', random) as object) });
  for (let i = 0; i < 2000; i++) {
    const broken = Buffer.from(whole);
    for (let n = 0; n < 3; n++) broken[4 + Math.floor(random() * (broken.length - 4))] = Math.floor(random() * 256);
    try {
      parseProtobuf(broken);
    } catch (error) {
      assert.match(String((error as { reason?: string }).reason), /^(BadRequest|UnsupportedMediaType)$/, `SEED=${seed} ${String(error)}`);
    }
  }
});

test('what has not the shape of its type is written as nothing, and harms no message after it', () => {
  const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'x' }, spec: { containers: [{ name: 'c' }] } };
  const right = toProtobuf(pod);
  for (const containers of [{ length: 2 ** 53 }, 'x', 5]) {
    const { spec } = parseProtobuf(toProtobuf({ ...pod, spec: { containers } })) as { spec: object };
    assert.deepEqual(spec, {});
  }
  for (const priority of [Number.POSITIVE_INFINITY, Number.NaN, 1e300, -1e300, 'Infinity']) {
    const { spec } = parseProtobuf(toProtobuf({ ...pod, spec: { priority } })) as { spec: { priority?: number } };
    assert.equal(spec.priority, 0);
  }
  const nodeName = Object.create(null) as object;
  assert.throws(() => toProtobuf({ ...pod, spec: { nodeName } }));
  assert.deepEqual(toProtobuf(pod), right);
});

test('a key that every object of JavaScript inherits is one like any other', () => {
  const data = JSON.parse('{"__proto__":"a","constructor":"b"}') as object;
  const object = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'x' }, data };
  assert.deepEqual(parseProtobuf(toProtobuf(object)), object);
});
