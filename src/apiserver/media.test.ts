import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bodyTypeOf, duplicateFields, parseBody } from './body.ts';
import { cidrOf } from './ipv4-range.ts';
import { mediaOfError, negotiate } from './media.ts';

const accepted: [header: string | undefined, form: string][] = [
  [undefined, 'json object'],
  ['*/*', 'json object'],
  ['application/vnd.kubernetes.protobuf,application/json', 'protobuf object'],
  ['application/vnd.kubernetes.protobuf', 'protobuf object'],
  ['*/*,application/vnd.kubernetes.protobuf', 'protobuf object'],
  ['application/vnd.kubernetes.protobuf;q=0.3,application/json;q=0.9', 'json object'],
  ['application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io,application/json', 'json object'],
  ['application/cbor,application/json;q=0.9', 'json object'],
  ['application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json', 'json table'],
  ['application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json', 'json table'],
  [
    'application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1',
    'protobuf partial',
  ],
  ['application/json;q=0.5,application/yaml', 'yaml object'],
  ['application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json', 'json discovery'],
];
for (const [header, form] of accepted)
  test(`Accept: ${header} gives ${form}`, () => {
    const { encoding, as } = negotiate(header);
    assert.equal(`${encoding} ${as}`, form);
  });
for (const [header, offer, form] of [
  ['application/vnd.kubernetes.protobuf,application/json', { isCustom: true }, 'json object application/json'],
  [
    'application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1',
    { isCustom: true },
    'protobuf partial application/vnd.kubernetes.protobuf',
  ],
  ['application/vnd.kubernetes.protobuf', { isStream: true }, 'protobuf object application/vnd.kubernetes.protobuf;stream=watch'],
  ['application/yaml,application/json', { isStream: true }, 'json object application/json'],
  ['text/plain', { isFixed: true }, 'json object application/json'],
] as const)
  test(`Accept: ${header} of ${JSON.stringify(offer)} gives ${form}`, () => {
    const { encoding, as, contentType } = negotiate(header, offer);
    assert.equal(`${encoding} ${as} ${contentType}`, form);
  });
test('custom resources have no protobuf form, streams none in YAML, reviews no rows', () => {
  assert.throws(() => negotiate('application/vnd.kubernetes.protobuf', { isCustom: true }), { reason: 'NotAcceptable' });
  assert.throws(() => negotiate('application/yaml', { isStream: true }), { reason: 'NotAcceptable' });
  assert.throws(() => negotiate('application/json;as=Table;v=v1;g=meta.k8s.io', { isBare: true }), { reason: 'NotAcceptable' });
});
test('a refusal has the form that was asked for, or JSON', () => {
  const forms: [string | undefined, string][] = [
    [undefined, 'json'],
    ['text/html', 'json'],
    ['application/vnd.kubernetes.protobuf,application/json', 'protobuf'],
    ['application/json;as=Table;v=v1;g=meta.k8s.io,application/json', 'json'],
    ['application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1', 'protobuf'],
  ];
  for (const [accept, encoding] of forms) assert.equal(mediaOfError(accept).encoding, encoding);
});
for (const header of ['text/html', 'application/cbor', 'application/json;q=0'])
  test(`Accept: ${header} can not be had`, () => assert.throws(() => negotiate(header), { reason: 'NotAcceptable' }));

test('bodies: kinds, bounds and duplicates', () => {
  assert.equal(bodyTypeOf('application/json; charset=utf-8'), 'json');
  assert.equal(bodyTypeOf('application/yaml'), 'yaml');
  assert.throws(() => bodyTypeOf('application/cbor'), { reason: 'UnsupportedMediaType' });
  assert.deepEqual(parseBody(Buffer.from('a: [1, b]\n'), 'yaml'), { a: [1, 'b'] });
  for (const deep of ['['.repeat(600), '{"a":'.repeat(600)]) assert.throws(() => parseBody(Buffer.from(deep), 'json'), /deep/);
  assert.doesNotThrow(() => parseBody(Buffer.from(JSON.stringify('['.repeat(600))), 'json'), 'brackets in a string nest nothing');
  assert.throws(() => parseBody(Buffer.from('- '.repeat(300)), 'yaml'), /deep/);
  assert.deepEqual(duplicateFields('{"a":1,"b":{"c":[{"d":1,"d":2}],"c":1},"a":{"a":1}}'), ['b.c[0].d', 'b.c', 'a']);
  assert.deepEqual(duplicateFields('{"a\\"":"a","a":"{\\"a\\":1"}'), []);
});

test('address ranges', () => {
  const range = cidrOf('10.43.7.0/24');
  assert.equal(range.at(1), '10.43.7.1');
  assert.equal(range.size, 256);
  assert.equal(range.includes('10.43.7.255'), true);
  assert.equal(range.includes('10.43.8.0'), false);
  for (const bad of ['10.43.0.0', '10.43.0.0/33', '10.43.0.300/16', 'x/8']) assert.throws(() => cidrOf(bad), { reason: 'BadRequest' });
});
