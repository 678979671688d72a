import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatLabelSelector, matchesLabels, parseLabelSelector, requirementsOf, selectorMatches } from './label-selector.ts';

const labels = { app: 'web', tier: 'front', 'example.com/rank': '7', empty: '' };
const cases: [selector: string, matches: boolean][] = [
  ['', true],
  ['app=web', true],
  ['app==web,tier = front', true],
  ['app!=web', false],
  ['missing!=x', true],
  ['app in (api, web)', true],
  ['app in (api)', false],
  ['app notin (api,db),tier', true],
  ['missing notin (a)', true],
  ['tier', true],
  ['!tier', false],
  ['!missing', true],
  ['example.com/rank>6', true],
  ['example.com/rank<7', false],
  ['empty=', true],
  ['app in (web),app in (api)', false],
  ['toString', false],
];
for (const [selector, expected] of cases)
  test(`"${selector}" ${expected ? 'matches' : 'does not match'}`, () =>
    assert.equal(matchesLabels(parseLabelSelector(selector), labels), expected));

for (const bad of ['app in (web', 'a b', '=x', 'app=(x)', 'app in ((x))', ',', 'a=b,', 'x>y', 'a=$', '-a'])
  test(`"${bad}" is refused`, () => assert.throws(() => parseLabelSelector(bad), { reason: 'BadRequest' }));

test('a LabelSelector object matches and prints like its string form', () => {
  const selector = {
    matchLabels: { app: 'web' },
    matchExpressions: [
      { key: 'tier', operator: 'In', values: ['front', 'back'] },
      { key: 'old', operator: 'DoesNotExist' },
    ],
  };
  assert.equal(formatLabelSelector(requirementsOf(selector)), 'app=web,!old,tier in (back,front)');
  assert.equal(selectorMatches(selector, labels), true);
  assert.equal(selectorMatches(selector, { app: 'web' }), false);
  assert.equal(selectorMatches({}, undefined), true);
  assert.equal(selectorMatches(undefined, labels), false);
  assert.equal(selectorMatches({ matchExpressions: [{ key: 'app', operator: 'Near', values: ['web'] }] }, labels), false);
});

test('formatting and parsing agree', () => {
  for (const text of ['a=b', 'a!=b', 'a in (b,c)', 'a notin (b,c)', 'a', '!a', 'a>1', 'a<2,b=c'])
    assert.equal(formatLabelSelector(parseLabelSelector(text)), text);
});
