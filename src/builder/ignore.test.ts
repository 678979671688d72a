import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IgnoreRules } from './ignore.ts';
import { Pattern } from './pattern.ts';

/** Rules, then paths with whether they are left out. */
const cases: [rules: string, paths: Record<string, boolean>][] = [
  ['', { a: false }],
  ['# comment\n\n  a  \n', { a: true, 'a/b': true, b: false, '# comment': false }],
  ['*.md\n!README.md', { 'x.md': true, 'README.md': false, 'd/x.md': false }],
  ['!README.md\n*.md', { 'README.md': true }],
  ['**/*.go', { 'a.go': true, 'd/e/a.go': true, 'a.goo': false }],
  ['**', { a: true, 'a/b': true }],
  ['*\n!keep', { keep: false, 'keep/x': false, other: true }],
  ['dir\n!dir/keep', { 'dir/x': true, 'dir/keep': false, 'dir/keep/y': false }],
  ['dir/\n/top\n./dot/../dotted', { 'dir/x': true, top: true, 'a/top': false, dotted: true }],
  ['a?c\n[xy]z\n[^q]1', { abc: true, 'a/c': false, xz: true, zz: false, p1: true, q1: false }],
  ['d/**/e', { 'd/e': true, 'd/x/e': true, 'd/x/y/e': true, 'dx/e': false }],
  ['**/d/**', { 'd/a': true, 'x/d/a/b': true, d: false }],
  ['\\!literal\n\\#hash', { '!literal': true, '#hash': true }],
  ['x**y', { xy: true, 'xa/by': true, xz: false }],
];
for (const [rules, paths] of cases)
  test(`.dockerignore ${JSON.stringify(rules)}`, () => {
    const parsed = IgnoreRules.parse(rules);
    for (const [path, isExcluded] of Object.entries(paths)) assert.equal(parsed.excludes(path), isExcluded, path);
  });

test('malformed patterns are refused', () => {
  for (const rules of ['[a', 'a\\', '!', '[]', '[a-']) assert.throws(() => IgnoreRules.parse(rules), /pattern/, rules);
});

test('no pattern is slow', () => {
  const started = performance.now();
  assert.equal(Pattern.ofIgnore(`${'**/a'.repeat(100)}b`).matches('a/'.repeat(2000)), false);
  assert.equal(Pattern.ofFiles(`${'*a'.repeat(200)}b`).matches('a'.repeat(2000)), false);
  assert.ok(performance.now() - started < 5000);
});
