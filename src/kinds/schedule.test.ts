import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isTimeZone, nextTime, parseSchedule } from './schedule.ts';

function next(text: string, after: string, zone = 'UTC'): string | undefined {
  const { schedule, problem } = parseSchedule(text);
  if (!schedule) throw new Error(problem);
  const at = nextTime(schedule, Date.parse(after), zone);
  return at === undefined ? undefined : new Date(at).toISOString().replace('.000', '');
}

const CASES: [schedule: string, after: string, next: string | undefined, zone?: string][] = [
  ['* * * * *', '2026-01-01T00:00:00Z', '2026-01-01T00:01:00Z'],
  ['* * * * *', '2026-01-01T00:00:59Z', '2026-01-01T00:01:00Z'],
  ['*/15 * * * *', '2026-01-01T00:46:00Z', '2026-01-01T01:00:00Z'],
  ['5/20 * * * *', '2026-01-01T00:26:00Z', '2026-01-01T00:45:00Z'],
  ['0 9-17/4 * * MON-FRI', '2026-01-02T17:30:00Z', '2026-01-05T09:00:00Z'],
  ['30 4 1,15 * 5', '2026-01-01T05:00:00Z', '2026-01-02T04:30:00Z'],
  ['0 0 29 feb *', '2026-01-01T00:00:00Z', '2028-02-29T00:00:00Z'],
  ['0 0 30 2 *', '2026-01-01T00:00:00Z', undefined],
  ['0 0 ? * sun', '2026-01-01T00:00:00Z', '2026-01-04T00:00:00Z'],
  ['@monthly', '2026-01-31T00:00:00Z', '2026-02-01T00:00:00Z'],
  ['@hourly', '2026-12-31T23:00:00Z', '2027-01-01T00:00:00Z'],
  ['@every 1h30m', '2026-01-01T00:00:00Z', '2026-01-01T01:30:00Z'],
  ['0 8 * * *', '2026-06-01T00:00:00Z', '2026-06-01T12:00:00Z', 'America/New_York'],
  ['0 8 * * *', '2026-12-01T00:00:00Z', '2026-12-01T13:00:00Z', 'America/New_York'],
  // Clocks go forward at 02:00: 02:30 is not there on 8 March 2026.
  ['30 2 * * *', '2026-03-07T12:00:00Z', '2026-03-09T06:30:00Z', 'America/New_York'],
  // Clocks go back at 02:00: 01:30 is there twice on 1 November 2026.
  ['30 1 * * *', '2026-11-01T00:00:00Z', '2026-11-01T05:30:00Z', 'America/New_York'],
  ['30 1 * * *', '2026-11-01T05:30:00Z', '2026-11-01T06:30:00Z', 'America/New_York'],
  ['30 1 * * *', '2026-11-01T06:30:00Z', '2026-11-02T06:30:00Z', 'America/New_York'],
  ['0 * * * *', '2026-11-01T05:30:00Z', '2026-11-01T06:00:00Z', 'America/New_York'],
  ['0 12 * * *', '2026-01-01T00:00:00Z', '2026-01-01T06:15:00Z', 'Asia/Kathmandu'],
  ['0 0 * * *', '2026-01-01T00:00:00Z', '2026-01-01T13:00:00Z', 'Australia/Sydney'],
];

test('the next time of a schedule', () => {
  for (const [schedule, after, expected, zone] of CASES)
    assert.equal(next(schedule, after, zone), expected, `${schedule} after ${after} in ${zone}`);
});

test('what is no schedule', () => {
  const cases: [string, RegExp][] = [
    ['', /empty/],
    ['* * * *', /expected exactly 5 fields, found 4/],
    ['* * * * * *', /found 6/],
    ['60 * * * *', /above maximum/],
    ['* * 0 * *', /below minimum/],
    ['5-1 * * * *', /beyond end/],
    ['*/0 * * * *', /positive/],
    ['1/2/3 * * * *', /slashes/],
    ['1-2-3 * * * *', /hyphens/],
    ['x * * * *', /parse int/],
    ['* * * * 7', /above maximum/],
    ['@sometimes', /unrecognized/],
    ['@every x', /duration/],
  ];
  for (const [text, why] of cases) assert.match(parseSchedule(text).problem ?? '', why, text);
});

test('time zones are those of the database', () => {
  for (const name of ['UTC', 'Etc/UTC', 'Europe/Zurich']) assert.ok(isTimeZone(name), name);
  for (const name of ['', 'Local', 'Mars/Base', '+02:00', 'a b']) assert.ok(!isTimeZone(name), name);
});

test('each next time is after the last, and means what it says, in every zone', () => {
  for (const zone of ['Europe/Zurich', 'America/St_Johns', 'Australia/Lord_Howe', 'Africa/Cairo', 'Asia/Tehran']) {
    const { schedule } = parseSchedule('17 */5 * * *');
    assert.ok(schedule);
    const format = new Intl.DateTimeFormat('en-US', { timeZone: zone, minute: '2-digit', hour: '2-digit', hourCycle: 'h23' });
    let at = Date.parse('2026-01-01T00:00:00Z');
    for (let i = 0; i < 2_000; i++) {
      const following: number = nextTime(schedule, at, zone) ?? Number.NaN;
      assert.ok(following > at && following - at <= 26 * 3_600_000, `${new Date(at).toISOString()} → ${following} in ${zone}`);
      assert.match(format.format(following), /^(?:00|05|10|15|20):17$/);
      at = following;
    }
  }
});
