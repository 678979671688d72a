import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isObject } from './json-object.ts';

test('an object is what JSON writes in braces', () => {
  for (const value of [{}, { a: 1 }, Object.create(null), JSON.parse('{"__proto__":1}')]) assert.equal(isObject(value), true);
  for (const value of [undefined, null, [], [{}], 'text', '', 0, 1, true, false])
    assert.equal(isObject(value), false, JSON.stringify(value));
});
