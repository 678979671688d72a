import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LogRenderer } from './log-renderer.ts';

const T = (second: number, zone = '+00:00') => `2026-11-23T04:59:0${second}.000000001${zone}`;
const LOG = [
  `${T(1)} stdout F one\n`,
  `${T(2)} stderr F two\n`,
  `${T(3)} stdout P thr\n`,
  `${T(3)} stderr F between\n`,
  `${T(4)} stdout F ee\n`,
  'no line of a log\n',
  `${T(5)} stdout F \n`,
  `${T(6)} stdout P open`,
].join('');

/** `1:text` for each frame. */
function frames(bytes: Buffer): string[] {
  const found: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUInt32BE(at + 4);
    assert.equal(bytes.readUInt32BE(at) & 0xffffff, 0);
    found.push(`${bytes[at]}:${bytes.toString('utf8', at + 8, at + 8 + length)}`);
    at += 8 + length;
  }
  return found;
}

function render(text: string, options: ConstructorParameters<typeof LogRenderer>[0], blockBytes = text.length): Buffer {
  const renderer = new LogRenderer(options);
  const bytes = Buffer.from(text);
  const out: Buffer[] = [];
  for (let at = 0; at < bytes.length && !renderer.isFull; at += blockBytes) out.push(renderer.render(bytes.subarray(at, at + blockBytes)));
  return Buffer.concat(out);
}

const cases: [what: string, options: ConstructorParameters<typeof LogRenderer>[0], expected: string[]][] = [
  ['all', {}, ['1:one\n', '2:two\n', '1:thr', '2:between\n', '1:ee\n', '1:\n']],
  ['one stream', { stream: 'stderr' }, ['2:two\n', '2:between\n']],
  ['since', { since: '2026-11-23T04:59:03Z' }, ['1:thr', '2:between\n', '1:ee\n', '1:\n']],
  ['since, to the nanosecond', { since: '2026-11-23T04:59:03.000000002Z' }, ['1:ee\n', '1:\n']],
  ['sinceMs', { sinceMs: Date.UTC(2026, 10, 23, 4, 59, 4) }, ['1:ee\n', '1:\n']],
  ['until', { until: '2026-11-23T04:59:02.000000001Z' }, ['1:one\n', '2:two\n']],
  [
    'times and what stands beside, once a line',
    { timestamps: true, linePrefix: 'a=1 ' },
    [
      '1:2026-11-23T04:59:01.000000001Z a=1 one\n',
      '2:2026-11-23T04:59:02.000000001Z a=1 two\n',
      '1:2026-11-23T04:59:03.000000001Z a=1 thr',
      '2:2026-11-23T04:59:03.000000001Z a=1 between\n',
      '1:ee\n',
      '1:2026-11-23T04:59:05.000000001Z a=1 \n',
    ],
  ],
];
for (const [what, options, expected] of cases)
  test(`frames: ${what}`, () => {
    for (const blockBytes of [1, 7, 50, 4096])
      assert.deepEqual(frames(render(LOG, { ...options, frames: 'docker' }, blockBytes)), expected);
  });

test('a line in pieces is one frame where nothing comes between', () => {
  const text = `${T(1)} stdout P a\n${T(1)} stdout P b\n${T(1)} stdout F c\n${T(1)} stdout P d\n${T(1)} stderr F e\n${T(1)} stdout F f\n`;
  assert.deepEqual(frames(render(text, { frames: 'docker' })), ['1:abc\n', '1:d', '2:e\n', '1:f\n']);
});

test('without frames the streams are one text', () => {
  assert.equal(String(render(LOG, {})), 'one\ntwo\nthrbetween\nee\n\n');
  assert.equal(String(render(LOG, { limitBytes: 5 }, 3)), 'one\nt');
});

test('a machine in another zone writes the same', () => {
  const text = `${T(1, '+02:00')} stdout F x\n`;
  assert.equal(String(render(text, { timestamps: true })), '2026-11-23T02:59:01.000000001Z x\n');
  assert.equal(String(render(text, { since: '2026-11-23T02:59:02Z' })), '');
  assert.equal(String(render(text, { since: '2026-11-23T02:59:00Z' })), 'x\n');
});

test('lines of other writers, and long ones', () => {
  assert.equal(String(render('2026-11-23T04:59:01Z stdout F short time\n', { timestamps: true })), '2026-11-23T04:59:01Z short time\n');
  assert.equal(String(render(`${T(1)} stdout F:tag more\n`, {})), 'more\n');
  const long = 'x'.repeat(300_000);
  assert.equal(String(render(`${T(1)} stdout F ${long}\n`, {}, 65_536)), `${long}\n`);
  // Many short lines need more room in frames than they had.
  const short = 't stdout F \n'.repeat(2000);
  assert.equal(frames(render(short, { frames: 'docker' })).length, 2000);
});
