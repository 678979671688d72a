import assert from 'node:assert/strict';
import { test } from 'node:test';
import { matchesFields, parseFieldSelector } from './field-selector.ts';

test('reads, matches and prints terms', () => {
  const requirements = parseFieldSelector('status.phase!=Running,spec.nodeName==a,metadata.name=');
  assert.deepEqual(requirements, [
    { field: 'status.phase', operator: '!=', value: 'Running' },
    { field: 'spec.nodeName', operator: '=', value: 'a' },
    { field: 'metadata.name', operator: '=', value: '' },
  ]);
  const values: Record<string, string> = { 'status.phase': 'Pending', 'spec.nodeName': 'a', 'metadata.name': '' };
  assert.equal(
    matchesFields(requirements, field => values[field] ?? ''),
    true,
  );
  assert.equal(
    matchesFields(requirements, () => 'a'),
    false,
  );
});

test('an empty selector has no terms', () => assert.deepEqual(parseFieldSelector(''), []));

test('escapes stand for themselves', () => {
  const [only] = parseFieldSelector('reason=a\\,b\\=c\\\\d');
  assert.equal(only?.value, 'a,b=c\\d');
});

for (const bad of ['a', 'a>b', '=b', 'a=b=c', 'a=\\x'])
  test(`"${bad}" is refused`, () => assert.throws(() => parseFieldSelector(bad), { reason: 'BadRequest' }));
