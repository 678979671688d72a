import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { toFrame } from '../frames.ts';
import { type LogEntry, readEntries } from './entries.ts';
import { toJournalMessage } from './journal-message.ts';
import { planNextLook } from './log-bounds-keeper.ts';
import { advance, type LogPosition, leavingOut } from './position.ts';
import { toSyslogMessage } from './syslog-message.ts';

const T = (second: number) => `2026-11-03T04:59:0${second}.123456789Z`;
const entry = (content: string, stream: LogEntry['stream'] = 'stdout'): LogEntry => ({
  stream,
  time: T(1),
  content: Buffer.from(content),
  isWhole: true,
});

test('syslog messages in each format', () => {
  const form = { format: '', facility: 3, tag: 'tag', hostname: 'host', pid: 7 };
  const text = (format: string, what = entry('a b')) => String(toSyslogMessage(what, { ...form, format }));
  assert.match(text(''), /^<30>Nov {2}3 \d\d:59:01 tag\[7\]: a b\n$/);
  assert.match(text('', entry('x', 'stderr')), /^<27>/);
  assert.match(text('rfc3164'), /^<30>Nov {2}3 \d\d:59:01 host tag\[7\]: a b\n$/);
  assert.equal(text('rfc5424'), '<30>1 2026-11-03T04:59:01Z host tag 7 tag - a b\n');
  assert.equal(text('rfc5424micro'), '<30>1 2026-11-03T04:59:01.123456Z host tag 7 tag - a b\n');
});

test('journal messages', () => {
  const fields = new Map([['com.example/a-b', 'v']]);
  assert.equal(String(toJournalMessage(entry('a'), fields)), `MESSAGE=a\nPRIORITY=6\nSYSLOG_TIMESTAMP=${T(1)}\nCOM_EXAMPLE_A_B=v\n`);
  const odd = toJournalMessage({ ...entry('a\nb', 'stderr'), isWhole: false }, new Map());
  assert.ok(odd.includes('MESSAGE\n\x03\0\0\0\0\0\0\0a\nb\n'));
  assert.ok(odd.includes('PRIORITY=3\n') && odd.includes('CONTAINER_PARTIAL_MESSAGE=true\n'));
});

test('entries of a log, whatever blocks it comes in', async () => {
  const long = 'y'.repeat(40_000);
  const frames = Buffer.concat([
    toFrame(1, Buffer.from(`${T(1)} one\n`)),
    toFrame(1, Buffer.from(`${T(2)} tw`)),
    toFrame(2, Buffer.from(`${T(3)} err\n`)),
    toFrame(1, Buffer.from('o\n')),
    toFrame(1, Buffer.from(`${T(4)} \n`)),
    toFrame(2, Buffer.from(`${T(5)} ${long}\n`)),
    toFrame(1, Buffer.from(`${T(6)} open`)),
  ]);
  for (const size of [1, 10, 100_000]) {
    const blocks = Array.from({ length: Math.ceil(frames.length / size) }, (_, i) => frames.subarray(i * size, (i + 1) * size));
    const found: string[] = [];
    for await (const entries of readEntries(Readable.from(blocks)))
      for (const { stream, time, content, isWhole } of entries)
        found.push(`${stream[3]}${time.slice(18, 19)}${isWhole ? '' : '+'}:${content.length > 100 ? content.length : content}`);
    assert.deepEqual(found, ['o1:one', 'e3:err', 'o2:two', 'o4:', 'e5+:16384', 'e5+:16384', 'e5:7232', 'o6:open']);
  }
});

test('resumed anywhere, every line is sent and none is left out', () => {
  const times = [1, 1, 1, 2, 3, 3, 4].map(T);
  for (let sent = 0; sent <= times.length; sent++) {
    const before = times
      .slice(0, sent)
      .reduce<LogPosition | undefined>((position, time) => advance(position, { time, isWhole: true }), undefined);
    const isSent = leavingOut(before);
    assert.equal(times.filter(time => !isSent({ time, isWhole: true })).length, times.length - sent);
  }
});

const looks: [Parameters<typeof planNextLook>[0], number | undefined][] = [
  [{ bytes: 0, lastBytes: 0, elapsedMs: 10, maxBytes: 1000 }, undefined],
  [{ bytes: 10, lastBytes: 0, elapsedMs: 10, maxBytes: 1_000_000 }, 20],
  [{ bytes: 10, lastBytes: 0, elapsedMs: 400, maxBytes: 1_000_000 }, 200],
  [{ bytes: 500, lastBytes: 0, elapsedMs: 100, maxBytes: 1000 }, 100],
  [{ bytes: 999, lastBytes: 0, elapsedMs: 1, maxBytes: 1000 }, 20],
  [{ bytes: 2000, lastBytes: 0, elapsedMs: 1, maxBytes: 1000 }, 20],
  [{ bytes: 5, lastBytes: 900, elapsedMs: 70, maxBytes: 1000 }, 140],
];
for (const [what, expected] of looks)
  test(`a log of ${what.bytes} bytes after ${what.lastBytes} is looked at ${expected === undefined ? 'when it is written' : `in ${expected} ms`}`, () => {
    assert.equal(planNextLook(what), expected);
  });
