import assert from 'node:assert/strict';
import { test } from 'node:test';
import { applyJsonPatch } from './json-patch.ts';
import { applyMergePatch } from './merge-patch.ts';
import { applyStrategicMergePatch } from './strategic-merge.ts';

const POD = 'io.k8s.api.core.v1.Pod';
const copy = <T>(value: T): T => structuredClone(value);

const jsonPatches: [name: string, document: unknown, patch: unknown, result: unknown][] = [
  ['add a member', { a: 1 }, [{ op: 'add', path: '/b', value: 2 }], { a: 1, b: 2 }],
  ['add into an array', { a: [1, 3] }, [{ op: 'add', path: '/a/1', value: 2 }], { a: [1, 2, 3] }],
  ['append', { a: [1] }, [{ op: 'add', path: '/a/-', value: 2 }], { a: [1, 2] }],
  ['escaped words', { 'a/b': { '~': 1 } }, [{ op: 'replace', path: '/a~1b/~0', value: 2 }], { 'a/b': { '~': 2 } }],
  ['remove', { a: [1, 2, 3] }, [{ op: 'remove', path: '/a/1' }], { a: [1, 3] }],
  ['move', { a: { b: 1 }, c: {} }, [{ op: 'move', from: '/a/b', path: '/c/d' }], { a: {}, c: { d: 1 } }],
  [
    'copy is its own',
    { a: { b: 1 } },
    [
      { op: 'copy', from: '/a', path: '/c' },
      { op: 'replace', path: '/c/b', value: 2 },
    ],
    { a: { b: 1 }, c: { b: 2 } },
  ],
  ['test', { a: { b: [1] } }, [{ op: 'test', path: '/a', value: { b: [1] } }], { a: { b: [1] } }],
  ['the whole document', { a: 1 }, [{ op: 'replace', path: '', value: { b: 1 } }], { b: 1 }],
];
for (const [name, document, patch, result] of jsonPatches)
  test(`JSON patch: ${name}`, () => assert.deepEqual(applyJsonPatch(copy(document), patch), result));

const badJsonPatches: [name: string, patch: unknown, reason: string][] = [
  ['no array', {}, 'BadRequest'],
  ['unknown op', [{ op: 'x', path: '/a' }], 'BadRequest'],
  ['no path', [{ op: 'remove' }], 'BadRequest'],
  ['add without a value', [{ op: 'add', path: '/x' }], 'BadRequest'],
  ['nothing there to remove', [{ op: 'remove', path: '/x' }], 'Invalid'],
  ['nothing there to replace', [{ op: 'replace', path: '/x', value: 1 }], 'Invalid'],
  ['beyond the array', [{ op: 'add', path: '/a/5', value: 1 }], 'Invalid'],
  ['failed test', [{ op: 'test', path: '/a', value: [2] }], 'Invalid'],
  ['into a scalar', [{ op: 'add', path: '/a/0/b', value: 1 }], 'Invalid'],
  ['prototype', [{ op: 'add', path: '/constructor/prototype/x', value: 1 }], 'Invalid'],
  ['into itself', [{ op: 'move', from: '/a', path: '/a/0' }], 'Invalid'],
  ['too many', Array.from({ length: 10_001 }, () => ({ op: 'test', path: '/a', value: [1] })), 'RequestEntityTooLarge'],
];
for (const [name, patch, reason] of badJsonPatches)
  test(`JSON patch refused: ${name}`, () => assert.throws(() => applyJsonPatch({ a: [1] }, patch), { reason }));

test('JSON merge patch: null removes, objects merge, the rest replaces', () => {
  assert.deepEqual(applyMergePatch({ a: 1, b: { c: 1, d: [1] } }, { a: null, b: { d: [2], e: { f: null } } }), {
    b: { c: 1, d: [2], e: {} },
  });
});

const pod = {
  metadata: { labels: { a: '1' }, finalizers: ['x', 'y'] },
  spec: {
    containers: [
      {
        name: 'a',
        image: 'one',
        env: [
          { name: 'A', value: '1' },
          { name: 'B', value: '2' },
        ],
      },
      { name: 'b', image: 'two' },
    ],
    volumes: [{ name: 'v', emptyDir: {} }],
    tolerations: [{ key: 'k' }],
  },
};
const strategic: [name: string, patch: unknown, expected: (result: typeof pod) => void][] = [
  [
    'lists merge by their key',
    { spec: { containers: [{ name: 'b', image: 'three' }] } },
    ({ spec }) =>
      assert.deepEqual(
        spec.containers.map(c => c.image),
        ['one', 'three'],
      ),
  ],
  [
    'new elements come first, as upstream puts them',
    { spec: { containers: [{ name: 'c', image: 'x' }] } },
    ({ spec }) =>
      assert.deepEqual(
        spec.containers.map(c => c.name),
        ['c', 'a', 'b'],
      ),
  ],
  [
    'what the patch names stands in its order, what only the server knows keeps its place',
    {
      spec: {
        containers: [
          { name: 'n', image: 'n' },
          { name: 'b', image: 'x' },
        ],
      },
    },
    ({ spec }) =>
      assert.deepEqual(
        spec.containers.map(c => c.name),
        ['n', 'a', 'b'],
      ),
  ],
  [
    '$patch: delete takes an element',
    { spec: { containers: [{ name: 'a', $patch: 'delete' }] } },
    ({ spec }) =>
      assert.deepEqual(
        spec.containers.map(c => c.name),
        ['b'],
      ),
  ],
  [
    '$patch: replace replaces a list',
    { spec: { containers: [{ $patch: 'replace' }, { name: 'z', image: 'z' }] } },
    ({ spec }) => assert.deepEqual(spec.containers as unknown, [{ name: 'z', image: 'z' }]),
  ],
  [
    '$patch: replace replaces an object',
    { metadata: { labels: { $patch: 'replace', b: '2' } } },
    ({ metadata }) => assert.deepEqual(metadata.labels as unknown, { b: '2' }),
  ],
  [
    'nested lists merge too',
    { spec: { containers: [{ name: 'a', env: [{ name: 'B', value: '3' }] }] } },
    ({ spec }) =>
      assert.deepEqual(
        spec.containers[0]!.env!.map(e => e.value),
        ['1', '3'],
      ),
  ],
  [
    '$setElementOrder orders',
    { spec: { $setElementOrder: undefined, '$setElementOrder/containers': [{ name: 'b' }, { name: 'a' }] } },
    ({ spec }) =>
      assert.deepEqual(
        spec.containers.map(c => c.name),
        ['b', 'a'],
      ),
  ],
  [
    'elements that only the server knows stay in place',
    { spec: { '$setElementOrder/containers': [{ name: 'c' }, { name: 'b' }], containers: [{ name: 'c', image: 'c' }] } },
    ({ spec }) =>
      assert.deepEqual(
        spec.containers.map(c => c.name),
        ['c', 'a', 'b'],
      ),
  ],
  [
    '$retainKeys clears the rest',
    { spec: { volumes: [{ name: 'v', $retainKeys: ['name', 'hostPath'], hostPath: { path: '/x' } }] } },
    ({ spec }) => assert.deepEqual(spec.volumes as unknown, [{ name: 'v', hostPath: { path: '/x' } }]),
  ],
  [
    'sets of scalars are united',
    { metadata: { finalizers: ['y', 'z'] } },
    ({ metadata }) => assert.deepEqual(metadata.finalizers, ['x', 'y', 'z']),
  ],
  [
    '$deleteFromPrimitiveList takes from them',
    { metadata: { '$deleteFromPrimitiveList/finalizers': ['x'] } },
    ({ metadata }) => assert.deepEqual(metadata.finalizers, ['y']),
  ],
  [
    'a list from which all is taken is none',
    { metadata: { '$deleteFromPrimitiveList/finalizers': ['x', 'y'] } },
    ({ metadata }) => assert.ok(!('finalizers' in metadata)),
  ],
  [
    'atomic lists are replaced',
    { spec: { tolerations: [{ key: 'l' }] } },
    ({ spec }) => assert.deepEqual(spec.tolerations, [{ key: 'l' }]),
  ],
  ['null removes', { metadata: { labels: { a: null } } }, ({ metadata }) => assert.deepEqual(metadata.labels as unknown, {})],
];
for (const [name, patch, expected] of strategic)
  test(`strategic merge: ${name}`, () =>
    expected(applyStrategicMergePatch(POD, copy(pod), JSON.parse(JSON.stringify(patch))) as typeof pod));

for (const [name, patch] of [
  ['element without a merge key', { spec: { containers: [{ image: 'x' }] } }],
  ['scalar in a list of objects', { spec: { containers: [1] } }],
  ['unknown directive', { spec: { $patch: 'x' } }],
  ['order that lacks an element', { spec: { '$setElementOrder/containers': [{ name: 'a' }], containers: [{ name: 'b' }] } }],
  ['$retainKeys that lacks a key', { spec: { volumes: [{ name: 'v', $retainKeys: ['name'], hostPath: {} }] } }],
] as const)
  test(`strategic merge refused: ${name}`, () =>
    assert.throws(() => applyStrategicMergePatch(POD, copy(pod), patch), { reason: 'BadRequest' }));
