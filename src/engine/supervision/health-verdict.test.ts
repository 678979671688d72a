import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Health, type HealthCheck, judgeHealth, nextProbeInMs, probeCommand, probeTimeoutMs } from './health-verdict.ts';

const state = (status: Health['status'], failingStreak = 0): Health => ({ status, failingStreak, log: [] });
const result = (exitCode: number, startMs = 100_000) => ({ startMs, endMs: startMs + 1, exitCode, output: '' });

describe('judgeHealth', () => {
  const rows: [what: string, before: Health, check: Partial<HealthCheck>, exitCode: number, after: string][] = [
    ['the first success', state('starting'), {}, 0, 'healthy 0'],
    ['a success ends a streak', state('unhealthy', 7), {}, 0, 'healthy 0'],
    ['a first failure', state('starting'), {}, 1, 'starting 1'],
    ['three by default', state('starting', 2), {}, 1, 'unhealthy 3'],
    ['healthy until then', state('healthy', 1), {}, 1, 'healthy 2'],
    ['as many as asked', state('healthy'), { retries: 1 }, 2, 'unhealthy 1'],
    ['what could not be run failed', state('healthy', 2), {}, -1, 'unhealthy 3'],
    ['not while it starts', state('starting'), { retries: 1, startPeriodMs: 200_000 }, 1, 'starting 0'],
    ['once healthy it counts', state('healthy'), { retries: 1, startPeriodMs: 200_000 }, 1, 'unhealthy 1'],
    ['after the time to start', state('starting'), { retries: 1, startPeriodMs: 99_000 }, 1, 'unhealthy 1'],
  ];
  for (const [what, before, check, exitCode, after] of rows)
    it(what, () => {
      const { status, failingStreak } = judgeHealth(before, { test: [], ...check }, 0, result(exitCode));
      assert.equal(`${status} ${failingStreak}`, after);
    });

  it('keeps five results', () => {
    let health = state('starting');
    for (let at = 1; at <= 7; at++) health = judgeHealth(health, { test: [] }, 0, result(0, at));
    assert.deepEqual(
      health.log.map(({ startMs }) => startMs),
      [3, 4, 5, 6, 7],
    );
  });
});

describe('nextProbeInMs', () => {
  const rows: [what: string, check: Partial<HealthCheck>, status: Health['status'], sinceStartMs: number, inMs: number][] = [
    ['docker has 30 s', {}, 'starting', 0, 30_000],
    ['its own', { intervalMs: 2_000 }, 'healthy', 0, 2_000],
    ['quicker while it starts', { startPeriodMs: 60_000 }, 'starting', 0, 5_000],
    ['as quick as asked', { startPeriodMs: 60_000, startIntervalMs: 100 }, 'starting', 59_999, 100],
    ['no longer once healthy', { startPeriodMs: 60_000, startIntervalMs: 100 }, 'healthy', 10, 30_000],
    ['no longer after the time to start', { startPeriodMs: 60_000, startIntervalMs: 100 }, 'starting', 60_000, 30_000],
  ];
  for (const [what, check, status, sinceStartMs, inMs] of rows)
    it(what, () => assert.equal(nextProbeInMs({ test: [], ...check }, { status, sinceStartMs }), inMs));
  it('a probe has 30 s', () => assert.deepEqual([probeTimeoutMs({ test: [] }), probeTimeoutMs({ test: [], timeoutMs: 5 })], [30_000, 5]));
});

describe('probeCommand', () => {
  const rows: [test: string[], command: string[] | undefined][] = [
    [
      ['CMD', 'a', 'b c'],
      ['a', 'b c'],
    ],
    [
      ['CMD-SHELL', 'a b'],
      ['/bin/sh', '-c', 'a b'],
    ],
    [['NONE'], undefined],
    [[], undefined],
    [['CMD'], undefined],
    [['CMD-SHELL'], undefined],
  ];
  for (const [test, command] of rows) it(JSON.stringify(test), () => assert.deepEqual(probeCommand({ test }), command));
  it("the image's own shell", () => assert.deepEqual(probeCommand({ test: ['CMD-SHELL', 'x'] }, ['bash', '-ec']), ['bash', '-ec', 'x']));
});
