import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FrameReader, toFrame } from './frames.ts';

test('cuts bytes into messages wherever they are cut', () => {
  const messages = ['a', '', 'bc'.repeat(100)].map(text => Buffer.from(text));
  const bytes = Buffer.concat(messages.map(message => toFrame(message)));
  for (const size of [1, 2, 3, 5, 7, 1000]) {
    const reader = new FrameReader();
    const got: Buffer[] = [];
    for (let at = 0; at < bytes.length; at += size) got.push(...reader.push(bytes.subarray(at, at + size)));
    assert.deepEqual(got, messages, `in pieces of ${size}`);
    assert.ok(reader.isAtBoundary);
  }
});
