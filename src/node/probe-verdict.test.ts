import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ProbeKind } from './parts.ts';
import type { CheckResult } from './probe-checks.ts';
import { firstState, isSettled, judgeProbe } from './probe-verdict.ts';

const RESULTS: Record<string, CheckResult> = {
  '+': { ok: true, message: '' },
  w: { ok: true, note: 'warning', message: '' },
  '-': { ok: false, message: '' },
  e: { ok: false, note: 'error', message: '' },
};

/** One letter a verdict: Yes, No or unknown. */
const letter = (verdict: boolean | undefined) => (verdict === undefined ? '?' : verdict ? 'Y' : 'N');

describe('verdicts after a series of results', () => {
  // Kind, success and failure threshold, results, verdict at first and after each.
  const table: [ProbeKind, number, number, string, string][] = [
    ['readiness', 1, 3, '+', 'NY'],
    ['readiness', 1, 3, '--+', 'NNNY'],
    ['readiness', 1, 3, '+---', 'NYYYN'],
    ['readiness', 1, 3, '+--+--+', 'NYYYYYYY'],
    ['readiness', 3, 1, '+++-+++', 'NNNYNNNY'],
    ['readiness', 1, 3, 'w', 'NY'],
    ['readiness', 1, 1, '+ee-e+', 'NYYYNNY'],
    ['readiness', 1, 3, '+-e--', 'NYYYYN'],
    ['liveness', 1, 3, '---', 'YYYN'],
    ['liveness', 1, 1, '-', 'YN'],
    ['liveness', 1, 3, '--+--', 'YYYYYY'],
    ['liveness', 1, 3, 'eeee', 'YYYYY'],
    ['startup', 1, 3, '--+', '???Y'],
    ['startup', 1, 3, '---', '???N'],
    ['startup', 1, 2, 'ee-e-', '?????N'],
  ];
  for (const [kind, successThreshold, failureThreshold, results, expected] of table)
    test(`${kind}, ${successThreshold}/${failureThreshold}: ${results} → ${expected}`, () => {
      let state = firstState(kind);
      let said = letter(state.verdict);
      for (const result of results) {
        state = judgeProbe(state, { successThreshold, failureThreshold }, RESULTS[result]!);
        said += letter(state.verdict);
      }
      assert.equal(said, expected);
    });
});

test('what an earlier agent found of the same container goes on', () => {
  const verdicts = (before: { ready: boolean; started?: boolean }) =>
    (['startup', 'readiness', 'liveness'] as const).map(kind => letter(firstState(kind, before).verdict)).join('');
  assert.equal(verdicts({ ready: true, started: true }), 'YYY');
  assert.equal(verdicts({ ready: false, started: true }), 'YNY');
  assert.equal(verdicts({ ready: false, started: false }), '?NY');
  assert.equal(verdicts({ ready: false }), '?NY');
});

test('a startup probe ends with its verdict, a liveness probe when it has failed, a readiness probe never', () => {
  const settled = (kind: ProbeKind) => [undefined, true, false].map(verdict => isSettled(kind, { ...firstState(kind), verdict }));
  assert.deepEqual(settled('startup'), [false, true, true]);
  assert.deepEqual(settled('liveness'), [false, false, true]);
  assert.deepEqual(settled('readiness'), [false, false, false]);
});
