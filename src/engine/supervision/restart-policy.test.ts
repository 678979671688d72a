import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type EndedRun, planOrder, planRestart, planReturn, type RestartPolicy } from './restart-policy.ts';

const run = (policy: RestartPolicy, more: Partial<EndedRun> = {}): EndedRun => ({
  policy,
  exitCode: 1,
  ranMs: 5,
  backOffMs: 0,
  restartCount: 0,
  wasStopped: false,
  ...more,
});
const always: RestartPolicy = { policy: 'always' };
const unlessStopped: RestartPolicy = { policy: 'unless-stopped' };
const no: RestartPolicy = { policy: 'no' };
const onFailure = (maximumRetries?: number): RestartPolicy => ({
  policy: 'on-failure',
  ...(maximumRetries === undefined ? {} : { maximumRetries }),
});

describe('planRestart', () => {
  const rows: [what: string, run: EndedRun, inMs: number | undefined][] = [
    ['no policy', run(no), undefined],
    ['always, at first after 100 ms', run(always), 100],
    ['always, exit 0', run(always, { exitCode: 0 }), 100],
    ['twice as long after a short run', run(always, { backOffMs: 100 }), 200],
    ['a minute at most', run(always, { backOffMs: 51_200 }), 60_000],
    ['a minute stays a minute', run(always, { backOffMs: 60_000 }), 60_000],
    ['anew after ten good seconds', run(always, { backOffMs: 51_200, ranMs: 10_000 }), 100],
    ['not yet after a little less', run(always, { backOffMs: 400, ranMs: 9_999 }), 800],
    ['stopped by a person: always', run(always, { wasStopped: true }), undefined],
    ['stopped by a person: unless-stopped', run(unlessStopped, { wasStopped: true }), undefined],
    ['unless-stopped', run(unlessStopped, { exitCode: 0 }), 100],
    ['on-failure, exit 0', run(onFailure(), { exitCode: 0 }), undefined],
    ['on-failure without an end', run(onFailure(), { restartCount: 1000 }), 100],
    ['on-failure, one left', run(onFailure(3), { restartCount: 2 }), 100],
    ['on-failure, none left', run(onFailure(3), { restartCount: 3 }), undefined],
  ];
  for (const [what, ended, inMs] of rows)
    it(what, () => assert.deepEqual(planRestart(ended), inMs === undefined ? { again: false } : { again: true, inMs }));
});

describe('planReturn', () => {
  const rows: [what: string, run: EndedRun, comes: boolean][] = [
    ['no', run(no), false],
    ['always', run(always, { exitCode: 0 }), true],
    ['always, though stopped by a person', run(always, { wasStopped: true }), true],
    ['unless-stopped', run(unlessStopped, { exitCode: 0 }), true],
    ['unless-stopped, stopped', run(unlessStopped, { wasStopped: true }), false],
    ['on-failure after a failure', run(onFailure(2)), true],
    ['on-failure, stopped', run(onFailure(), { wasStopped: true }), false],
    ['on-failure that has tried enough', run(onFailure(2), { restartCount: 2 }), false],
    ['on-failure after success', run(onFailure(), { exitCode: 0 }), false],
  ];
  for (const [what, ended, comes] of rows) it(what, () => assert.equal(planReturn(ended), comes));
});

describe('planOrder', () => {
  const order = (needs: Record<string, string[]>) =>
    planOrder(
      ['c', 'a', 'b'].map(id => ({ id, startedAtMs: id.charCodeAt(0) })),
      ({ id }) => needs[id] ?? [],
    )
      .map(({ id }) => id)
      .join('');
  it('as they were started', () => assert.equal(order({}), 'abc'));
  it('what is needed first', () => assert.equal(order({ a: ['c'] }), 'cab'));
  it('what needs each other, in some order', () => assert.equal(order({ a: ['b'], b: ['a'] }), 'bac'));
  it('what is not there is not waited for', () => assert.equal(order({ a: ['x'] }), 'abc'));
});
