import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeGrpcMessage, encodeGrpcMessage, formatGrpcTimeout, parseGrpcTimeout } from './status.ts';

test('encodes messages with percent, and reads whatever comes', () => {
  for (const text of ['plain', '100 % væk\r\n', '☃', '%41', '']) assert.equal(decodeGrpcMessage(encodeGrpcMessage(text)), text);
  assert.equal(encodeGrpcMessage('a%b☃'), 'a%25b%E2%98%83');
  assert.equal(decodeGrpcMessage('a%zz%4'), 'a%zz%4');
  assert.ok(encodeGrpcMessage('x'.repeat(1e6)).length < 8192);
});

test('reads and writes timeouts', () => {
  const cases: [string | undefined, number | undefined][] = [
    ['100m', 100],
    ['5S', 5000],
    ['2M', 120_000],
    ['1H', 3_600_000],
    ['500u', 0.5],
    ['10', undefined],
    ['123456789S', undefined],
    [undefined, undefined],
  ];
  for (const [text, ms] of cases) assert.equal(parseGrpcTimeout(text), ms, text ?? 'none');
  assert.deepEqual([formatGrpcTimeout(1.2), formatGrpcTimeout(1e12)], ['2m', '99999999S']);
});
