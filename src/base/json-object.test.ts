import assert from 'node:assert/strict';
import { test } from 'node:test';
import { copyJson, isObject } from './json-object.ts';

test('an object is what JSON writes in braces', () => {
  for (const value of [{}, { a: 1 }, Object.create(null), JSON.parse('{"__proto__":1}')]) assert.equal(isObject(value), true);
  for (const value of [undefined, null, [], [{}], 'text', '', 0, 1, true, false])
    assert.equal(isObject(value), false, JSON.stringify(value));
});

test('a copy has all that the value has and shares nothing with it', () => {
  const value = JSON.parse('{"a":[{"b":1},[],null],"c":"text","__proto__":{"d":true}}') as { a: object[] };
  const copy = copyJson(value);
  assert.equal(JSON.stringify(copy), JSON.stringify(value));
  assert.equal(Object.getPrototypeOf(copy), Object.prototype);
  assert.notEqual(copy.a[0], value.a[0]);
  for (const plain of [null, undefined, 'text', 0, false]) assert.equal(copyJson(plain), plain);
});
