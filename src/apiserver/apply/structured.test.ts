import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toTypeData } from '#kinds/crd-type-data.ts';
import type { Kind, KubeObject } from '#kinds/kind.ts';
import { builtinKinds } from '#kinds/registry.ts';
import type { ManagedFieldsEntry } from '#kinds/types.gen.ts';
import type { Context } from '../request.ts';
import { isStored, Resources, type Stored } from '../resources.ts';
import { planApply } from './apply.ts';
import { compare } from './compare.ts';
import { fieldManagerOf } from './field-manager.ts';
import { leavesOf, problemsOf, withStructs } from './leaves.ts';
import { capUpdaters, type Entry, isReset, keepInForm, readSentEntries, settleTimes } from './managed-fields.ts';
import { merge, removeItems } from './merge.ts';
import { trackUpdate } from './ownership.ts';
import { canonicalElement, keyElement, pathText, valueElement } from './path-element.ts';
import { rootShapeOf } from './shape.ts';

const stored = new Resources(builtinKinds).all.filter(isStored);
const servedOf = (kind: string, group = '') => stored.find(({ resource }) => resource.kind === kind && resource.group === group) as Stored;

/** A custom resource with every way that a list or a map can be. */
const custom: Kind = {
  ...servedOf('ConfigMap').kind,
  resource: { ...servedOf('ConfigMap').kind.resource, kind: 'Custom' },
  schema: toTypeData({
    type: 'object',
    properties: {
      items: {
        type: 'array',
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['name', 'index'],
        items: { type: 'object', properties: { name: { type: 'string' }, index: { type: 'integer' }, value: { type: 'string' } } },
      },
      set: { type: 'array', 'x-kubernetes-list-type': 'set', items: { type: 'string' } },
      atomic: { type: 'array', items: { type: 'string' } },
      granular: { type: 'object', additionalProperties: { type: 'string' } },
      piece: { type: 'object', 'x-kubernetes-map-type': 'atomic', properties: { a: { type: 'string' }, b: { type: 'string' } } },
      struct: { type: 'object', properties: { a: { type: 'string' }, b: { type: 'string' } } },
      free: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
    },
  }),
};
const shape = rootShapeOf(custom, '');

const comparisons: [name: string, before: object, after: object, changed: object, removed: object][] = [
  ['nothing', { struct: { a: '1' } }, { struct: { a: '1' } }, {}, {}],
  ['a field', { struct: { a: '1' } }, { struct: { a: '2', b: '3' } }, { 'f:struct': { 'f:a': {}, 'f:b': {} } }, {}],
  ['a field gone', { struct: { a: '1', b: '2' } }, { struct: { a: '1' } }, {}, { 'f:struct': { 'f:b': {} } }],
  ['a struct that comes', {}, { struct: { a: '1' } }, { 'f:struct': { '.': {}, 'f:a': {} } }, {}],
  ['a struct that goes', { struct: { a: '1' } }, {}, {}, { 'f:struct': { '.': {}, 'f:a': {} } }],
  ['an empty struct', {}, { struct: {} }, { 'f:struct': {} }, {}],
  ['a list of one piece', { atomic: ['a'] }, { atomic: ['b', 'a'] }, { 'f:atomic': {} }, {}],
  ['a map of one piece', { piece: { a: '1' } }, { piece: { b: '1' } }, { 'f:piece': {} }, {}],
  ['a set', { set: ['a', 'b'] }, { set: ['c', 'b'] }, { 'f:set': { 'v:"c"': {} } }, { 'f:set': { 'v:"a"': {} } }],
  ['the order of a set', { set: ['a', 'b'] }, { set: ['b', 'a'] }, {}, {}],
  ['a set with the same twice', { set: ['a'] }, { set: ['a', 'a'] }, { 'f:set': {} }, { 'f:set': { 'v:"a"': {} } }],
  [
    'an item',
    { items: [{ name: 'a', index: 1, value: 'x' }] },
    {
      items: [
        { index: 2, name: 'a' },
        { name: 'a', index: 1, value: 'y' },
      ],
    },
    { 'f:items': { 'k:{"index":2,"name":"a"}': { '.': {}, 'f:index': {}, 'f:name': {} }, 'k:{"index":1,"name":"a"}': { 'f:value': {} } } },
    {},
  ],
  ['a key of a map', { granular: { a: '1' } }, { granular: { b: '1' } }, { 'f:granular': { 'f:b': {} } }, { 'f:granular': { 'f:a': {} } }],
  ['free-form maps', { free: { a: { b: 1 } } }, { free: { a: { b: 1, c: [1] } } }, { 'f:free': { 'f:a': { 'f:c': {} } } }, {}],
  ['free-form lists', { free: { a: [1] } }, { free: { a: [2] } }, { 'f:free': { 'f:a': {} } }, {}],
  [
    'a map that becomes a list',
    { free: { a: { b: 1 } } },
    { free: { a: [1] } },
    { 'f:free': { 'f:a': {} } },
    { 'f:free': { 'f:a': { 'f:b': {} } } },
  ],
  ['what is nobody’s', {}, { metadata: { name: 'x', uid: 'u', resourceVersion: '1', generation: 1 }, kind: 'X' }, {}, {}],
  ['labels', {}, { metadata: { labels: { a: 'b' } } }, { 'f:metadata': { 'f:labels': { '.': {}, 'f:a': {} } } }, {}],
];
for (const [name, before, after, changed, removed] of comparisons)
  test(`compare: ${name}`, () => assert.deepEqual(compare(shape, before, after), { changed, removed }));

test('a configuration owns its leaves, items and keys, not the structs on the way', () => {
  const config = {
    struct: { a: '1' },
    granular: { k: '' },
    items: [{ name: 'a', value: 'x' }],
    set: ['s'],
    piece: { a: '1' },
    free: { f: {} },
  };
  const leaves = leavesOf(shape, config);
  assert.deepEqual(leaves, {
    'f:struct': { 'f:a': {} },
    'f:granular': { 'f:k': {} },
    'f:items': { 'k:{"name":"a"}': { '.': {}, 'f:name': {}, 'f:value': {} } },
    'f:set': { 'v:"s"': {} },
    'f:piece': {},
    'f:free': { 'f:f': {} },
  });
  const withAll = withStructs(shape, leaves);
  assert.deepEqual(withAll['f:struct'], { '.': {}, 'f:a': {} });
  assert.deepEqual(withAll['f:free'], { '.': {}, 'f:f': {} });
});

const merges: [name: string, live: string[], config: string[], merged: string[]][] = [
  ['others stay where they are', ['a', 'b', 'c'], ['b'], ['a', 'b', 'c']],
  ['new ones come behind', ['a', 'b'], ['c'], ['a', 'b', 'c']],
  ['the order is the configuration’s', ['a', 'b'], ['b', 'a'], ['b', 'a']],
  ['new ones come before what follows them', ['a', 'b'], ['c', 'a'], ['c', 'a', 'b']],
  ['others between', ['a', 'x', 'b'], ['b', 'a'], ['x', 'b', 'a']],
];
for (const [name, live, config, merged] of merges) {
  test(`merged lists: ${name}`, () => {
    assert.deepEqual(merge(shape, { set: live }, { set: config }), { set: merged });
    const items = (names: string[]) => ({ items: names.map(one => ({ name: one })) });
    assert.deepEqual(merge(shape, items(live), items(config)), items(merged));
  });
}

test('items are merged, pieces replaced, hostile keys are keys', () => {
  const live = { items: [{ name: 'a', value: 'x' }], atomic: ['a'], piece: { a: '1' }, granular: { k: '1' } };
  const config = JSON.parse(
    '{"items":[{"name":"a","index":1},{"name":"a"}],"atomic":["b"],"piece":{"b":"2"},"granular":{"__proto__":"x"}}',
  );
  const merged = merge(shape, live, config) as Record<string, unknown>;
  assert.deepEqual(merged.items, [
    { name: 'a', index: 1 },
    { name: 'a', value: 'x' },
  ]);
  assert.deepEqual([merged.atomic, merged.piece], [['b'], { b: '2' }]);
  assert.equal(JSON.stringify(merged.granular), '{"k":"1","__proto__":"x"}');
});

test('items are removed; what is empty then goes', () => {
  const value = { items: [{ name: 'a', value: 'x' }, { name: 'b' }], set: ['a'], struct: { a: '1' }, granular: { a: '1', b: '2' } };
  const items = {
    'f:items': { 'k:{"name":"a"}': { 'f:value': {} } },
    'f:set': { 'v:"a"': {} },
    'f:struct': { 'f:a': {} },
    'f:granular': { 'f:b': {} },
  };
  assert.deepEqual(removeItems(shape, value, items), { items: [{ name: 'a' }, { name: 'b' }], granular: { a: '1' } });
});

test('path elements are written as Go writes them, and told as conflicts tell them', () => {
  assert.equal(keyElement({ b: '<', a: 1 }, [{ name: 'a' }, { name: 'b' }]), 'k:{"a":1,"b":"\\u003c"}');
  assert.equal(keyElement({ port: 80 }, [{ name: 'port' }, { name: 'protocol', preset: 'TCP' }]), 'k:{"port":80,"protocol":"TCP"}');
  assert.equal(keyElement({}, [{ name: 'a' }]), undefined);
  assert.equal(valueElement({}), undefined);
  assert.equal(canonicalElement('k:{"b":"x", "a":1}'), 'k:{"a":1,"b":"x"}');
  for (const wrong of ['x', 'k:1', 'k:{', 'v:{}', 'i:x', 'k:{}']) assert.equal(canonicalElement(wrong), undefined, wrong);
  assert.equal(pathText(['f:a', 'k:{"a":1,"b":"x"}', 'f:c', 'v:"d"', 'i:3']), '.a[a=1,b="x"].c[="d"][3]');
});

test('what does not fit a schema is told with its place', () => {
  const pods = rootShapeOf(servedOf('Pod').kind, '');
  const spec = { containers: [{ image: 'x' }, { name: 'a' }, { name: 'a' }], nope: 1, volumes: {}, nodeSelector: { a: 'b' } };
  assert.deepEqual(problemsOf(pods, { metadata: { labels: 'x' }, spec }), [
    '.metadata.labels: expected map, got "x"',
    '.spec.containers: element 0: associative list with keys has an element that omits all key fields ["name"] (and doesn\'t have default values for any key fields)',
    '.spec.containers: duplicate entries for key [name="a"]',
    '.spec.nope: field not declared in schema',
    '.spec.volumes: expected list, got a map',
  ]);
});

const entry = (manager: string, time: string, fields: Entry['fields'] = { [`f:${manager}`]: {} }): Entry => ({
  manager,
  operation: 'Update',
  apiVersion: 'v1',
  subresource: '',
  time,
  fields,
});

test('the oldest of more than ten updaters become one; appliers never', () => {
  const updaters = Array.from({ length: 12 }, (_, i) => entry(`m${i}`, `2026-01-01T00:00:${10 + i}Z`));
  const applier: Entry = { ...entry('a', '2020-01-01T00:00:00Z'), operation: 'Apply' };
  const capped = capUpdaters([...updaters, applier]);
  assert.equal(capped.length, 11);
  const ancient = capped.find(({ manager }) => manager === 'ancient-changes');
  assert.deepEqual([Object.keys(ancient!.fields).sort(), ancient!.time], [['f:m0', 'f:m1', 'f:m2'], updaters[2]!.time]);
  assert.equal(capUpdaters(updaters.slice(2)).length, 10);
});

test('what clients send as managedFields is read, refused, or a new beginning', () => {
  const sent: ManagedFieldsEntry = {
    manager: 'm',
    operation: 'Update',
    apiVersion: 'v1',
    fieldsType: 'FieldsV1',
    fieldsV1: { 'f:a': { '.': {} } },
  };
  assert.deepEqual(readSentEntries([sent])?.[0]?.fields, { 'f:a': {} });
  for (const wrong of [{ operation: 'X' }, { apiVersion: '' }, { fieldsType: 'FieldsV2' }, { fieldsV1: { 'f:a': 1 as never } }])
    assert.equal(readSentEntries([{ ...sent, ...wrong }]), undefined);
  assert.deepEqual([isReset([]), isReset([{}]), isReset([sent])], [true, true, false]);
});

test('what admission makes of managedFields stands only in form', () => {
  const before: ManagedFieldsEntry[] = [
    { manager: 'm', operation: 'Update', apiVersion: 'v1', fieldsType: 'FieldsV1', fieldsV1: { 'f:a': {} } },
  ];
  const after = (managedFields: unknown) => ({ metadata: { name: 'x', managedFields } }) as unknown as KubeObject;
  for (const kept of [before, undefined, structuredClone(before)]) assert.equal(keepInForm(after(kept), before), undefined);
  for (const broken of ['x', [null], [{ operation: 'X' }]]) {
    const object = after(broken);
    assert.match(keepInForm(object, before) ?? '', /invalid state after admission/);
    assert.equal(object.metadata.managedFields, before);
  }
});

test('a write of nothing but times is none', () => {
  const object = (time: string, data: object): KubeObject =>
    ({ kind: 'X', data, metadata: { name: 'x', managedFields: [{ manager: 'm', time, fieldsV1: {} }] } }) as never;
  const settled = object('2', { a: '1' });
  settleTimes(settled, object('1', { a: '1' }));
  assert.equal(settled.metadata.managedFields?.[0]?.time, '1');
  const changed = object('2', { a: '2' });
  settleTimes(changed, object('1', { a: '1' }));
  assert.equal(changed.metadata.managedFields?.[0]?.time, '2');
});

test('the manager is the parameter, or what the user agent begins with', () => {
  const manager = (query: string, agent?: string) =>
    fieldManagerOf({ query: new URLSearchParams(query), request: { headers: { 'user-agent': agent } } } as unknown as Context);
  assert.equal(manager('fieldManager=me', 'kubectl/v1'), 'me');
  assert.equal(manager('', 'kubectl/v1.36 (linux)'), 'kubectl');
  assert.equal(manager('', 'Go-http\u0007-client/1.1'), 'Go-http-client');
  assert.equal(manager('', 'x'.repeat(300)).length, 128);
  assert.equal(manager(''), 'unknown');
  for (const wrong of ['x'.repeat(129), 'a%00b']) assert.throws(() => manager(`fieldManager=${wrong}`), { reason: 'Invalid' });
});

test('kubectl may change what it applied on the client side before, and nothing else', () => {
  const served = servedOf('ConfigMap');
  const applied = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'x' }, data: { a: '1', b: '1' } };
  const annotations = { 'kubectl.kubernetes.io/last-applied-configuration': JSON.stringify(applied) };
  const live = { ...applied, data: { a: '1', b: 'changed' }, metadata: { name: 'x', annotations } } as unknown as KubeObject;
  const now = '2026-01-01T00:00:00Z';
  live.metadata.managedFields = trackUpdate({ served, manager: 'kubectl-client-side-apply', subresource: '', now }, undefined, live)!;
  const apply = (manager: string, data: object) =>
    planApply(
      {
        served,
        manager,
        subresource: '',
        now,
        force: false,
        config: { ...applied, data } as unknown as KubeObject,
        complete: merged => structuredClone(merged) as KubeObject,
      },
      live,
    );
  assert.equal((apply('kubectl', { a: '2' }) as KubeObject & { data: { a: string } }).data.a, '2');
  assert.throws(() => apply('kubectl', { b: '2' }), { reason: 'Conflict' });
  assert.throws(() => apply('other', { a: '2' }), { reason: 'Conflict' });
});

test('writers of the status own nothing of the spec, and the other way round', () => {
  const served = servedOf('Deployment', 'apps');
  const object = (replicas: number, ready: number) =>
    ({
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'x' },
      spec: { replicas },
      status: { readyReplicas: ready },
    }) as never as KubeObject;
  const track = (subresource: string) =>
    trackUpdate(
      { served, manager: 'm', subresource, now: '' },
      { ...object(1, 1), metadata: { name: 'x', managedFields: [{}] } as never },
      object(2, 2),
    );
  assert.deepEqual(
    track('status')?.map(({ fieldsV1, subresource }) => [fieldsV1, subresource]),
    [[{ 'f:status': { 'f:readyReplicas': {} } }, 'status']],
  );
  assert.deepEqual(
    track('')?.map(({ fieldsV1, subresource }) => [fieldsV1, subresource]),
    [[{ 'f:spec': { 'f:replicas': {} } }, undefined]],
  );
});
