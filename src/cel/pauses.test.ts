import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Budget } from './budget.ts';
import { compile, type EvaluateResult, type Program } from './program.ts';
import { INT, listOf, mapOf, STRING } from './types.ts';
import { toJson } from './values.ts';

const variables = { numbers: listOf(INT), words: mapOf(STRING, INT) };
const values = {
  numbers: Array.from({ length: 60 }, (_, i) => i),
  words: Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`w${i}`, i])),
};

const expressions = [
  'numbers.all(a, numbers.all(b, a + b >= 0))',
  'numbers.exists(a, numbers.exists(b, a * b == 58 * 59))',
  'numbers.filter(a, a % 2 == 0).map(a, numbers.filter(b, b < a).size())',
  'numbers.map(a, numbers.map(b, a * b).filter(c, c % 3 == 0).size()).filter(n, n > 20).size()',
  'numbers.map(a, a > 3, a * 2).all(x, x > 6) && numbers.map(a, a * 3).exists(x, x == 177)',
  'words.all(w, numbers.exists(n, words[w] == n))',
  'numbers.transformMap(i, v, numbers.filter(x, x < v).size())',
  'numbers.transformMapEntry(i, v, {string(v): numbers.exists_one(x, x == i)})',
  'numbers.exists_one(a, numbers.all(b, a >= b))',
  'cel.bind(x, numbers.map(a, a + 1), x.all(a, x.exists(b, a == b)))',
  'numbers.all(a, 1 / 0 > a || numbers.exists(b, b == a))',
  'numbers.all(a, numbers.exists(b, 10 / (b - 59) < a && b == 58))',
  'numbers.exists(a, numbers.map(b, 1 / (a - b)).size() > 0) || numbers.all(a, numbers.exists(b, b == a))',
  'numbers.map(a, numbers.map(b, numbers.filter(c, c == a || c == b).size())).map(l, l.size()).filter(n, n == 60).size() == 60',
];

function programOf(expression: string): Program {
  const result = compile(expression, { variables });
  assert.ok(result.ok, result.ok ? '' : result.error);
  return result.program;
}

function shown(result: EvaluateResult): unknown {
  return result.error === undefined ? toJson(result.value) : result.error;
}

for (const expression of expressions)
  test(`pauses change neither the value nor the cost of ${expression}`, () => {
    const program = programOf(expression);
    const whole = new Budget({ wallMs: 60_000 });
    const expected = program.evaluate(values, whole);
    const budget = new Budget({ wallMs: 60_000 });
    const steps = program.steps(values, budget, () => true);
    let pauses = 0;
    let step = steps.next();
    for (; !step.done; step = steps.next()) pauses++;
    assert.deepEqual(shown(step.value), shown(expected));
    assert.equal(budget.remaining, whole.remaining);
    assert.ok(pauses > 5, `${pauses} pauses`);
  });

test('what pauses ends by its cost like any other', () => {
  const program = programOf('numbers.all(a, numbers.all(b, numbers.all(c, numbers.all(d, a + b + c + d >= 0))))');
  const budget = new Budget({ perCall: 50_000, wallMs: 60_000 });
  const steps = program.steps(values, budget, () => true);
  let pauses = 0;
  let step = steps.next();
  for (; !step.done; step = steps.next()) pauses++;
  assert.match(step.value.error ?? '', /cost limit exceeded/);
  assert.equal(budget.remaining, 10_000_000 - 50_000);
  assert.ok(pauses > 1_000, `${pauses} pauses`);
});
