import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { staleNames } from './manifest-applier.ts';
import { parseManifest } from './manifest-text.ts';

const object = (kind: string, name: string, more = '') => `apiVersion: v1\nkind: ${kind}\nmetadata: { name: ${name} }\n${more}`;

describe('a manifest', () => {
  test('documents, empty ones, Lists in Lists, JSON; namespaces and definitions first', () => {
    const list = `apiVersion: v1\nkind: List\nitems:\n- { apiVersion: v1, kind: Pod, metadata: { name: a } }\n- ${JSON.stringify({
      kind: 'ConfigMapList',
      items: [{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'b' } }],
    })}\n`;
    const text = ['# nothing\n', list, object('CustomResourceDefinition', 'c'), '', object('Namespace', 'd')].join('---\n');
    assert.deepEqual(
      parseManifest(text).objects.map(({ kind, metadata }) => `${kind} ${metadata.name}`),
      ['Namespace d', 'CustomResourceDefinition c', 'Pod a', 'ConfigMap b'],
    );
    assert.equal(parseManifest('{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x"}}').objects.length, 1);
    assert.deepEqual(parseManifest('').objects, []);
  });

  test('YAML as kubectl reads it: yes, on and octal modes, merge keys', () => {
    const [read] = parseManifest(
      object('X', 'x', 'base: &b { mode: 0644 }\nspec: { <<: *b, flag: yes, quoted: "no", text: 0x1F, name: on-call }\n'),
    ).objects;
    assert.deepEqual((read as unknown as { spec: unknown }).spec, { mode: 420, flag: true, quoted: 'no', text: 31, name: 'on-call' });
  });

  for (const [why, text, message] of [
    ['torn YAML', 'a: [', /^document 1 is no YAML: /],
    ['a text', 'hello', /^document 1 is no object$/],
    ['no kind', `${object('Pod', 'a')}---\napiVersion: v1\n`, /^document 2 has no kind$/],
    ['no name', 'apiVersion: v1\nkind: Pod\n', /^document 1, a Pod, has no metadata\.name$/],
    ['an item that is none', 'kind: List\nitems: [1]\n', /^document 1, items\[0\] is no object$/],
    [
      'a tower of aliases',
      `a: &a [1,1,1,1,1,1,1,1,1]\n${'bcdefgh'.replace(/./g, (c, i) => `${c}: &${c} [${`*${'abcdefg'[i]},`.repeat(9)}]\n`)}`,
      /alias/,
    ],
  ] as const)
    test(`refused: ${why}`, () => assert.throws(() => parseManifest(text), { message }));

  test('stale is what is no longer named, whatever the version', () => {
    const name = (apiVersion: string, kind: string, name: string) => ({ apiVersion, kind, namespace: 'x', name });
    const before = [name('v1', 'Pod', 'a'), name('g/v1beta1', 'K', 'b'), name('g/v1', 'K', 'c')];
    assert.deepEqual(staleNames(before, [name('v1', 'Pod', 'a'), name('g/v1', 'K', 'b')]), [name('g/v1', 'K', 'c')]);
  });
});
