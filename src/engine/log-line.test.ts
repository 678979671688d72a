import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseLogLine, toMilliseconds, toUtc } from './log-line.ts';

test('lines of a CRI log', () => {
  const parse = (text: string) => {
    const line = parseLogLine(Buffer.from(text));
    return line && [line.time, line.stream, line.isPartial, String(line.content)];
  };
  assert.deepEqual(parse('2026-01-01T00:00:00.1Z stdout F a b  c'), ['2026-01-01T00:00:00.1Z', 'stdout', false, 'a b  c']);
  assert.deepEqual(parse('t stderr P x'), ['t', 'stderr', true, 'x']);
  assert.deepEqual(parse('t stderr P:tag x'), ['t', 'stderr', true, 'x']);
  assert.deepEqual(parse('t stdout F '), ['t', 'stdout', false, '']);
  assert.deepEqual(parse('t stdout F'), ['t', 'stdout', false, '']);
  for (const bad of ['', 'x', 't stdin F x', 'no cri line at all']) assert.equal(parse(bad), undefined);
});

test('times', () => {
  assert.equal(toUtc('2026-11-23T04:59:21.138472633+00:00'), '2026-11-23T04:59:21.138472633Z');
  assert.equal(toUtc('2026-11-23T01:00:00.000000001+02:00'), '2026-11-22T23:00:00.000000001Z');
  assert.equal(toMilliseconds('2026-11-23T04:59:21.138472633+00:00'), Date.UTC(2026, 10, 23, 4, 59, 21, 138));
});
