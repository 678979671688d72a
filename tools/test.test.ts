import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planPhases } from './test.ts';

const files = ['src/a/z.test.ts', 'src/a/b.test.ts', 'src/a/b.root.test.ts', 'tests/up.alone.test.ts'];
const plan = (...args: Parameters<typeof planPhases>) => planPhases(...args).map(({ name, files }) => [name, files]);

test('the name of a file says when it runs', () => {
  assert.deepEqual(plan(files), [
    ['unit', ['src/a/b.test.ts', 'src/a/z.test.ts']],
    ['root', ['src/a/b.root.test.ts']],
    ['alone', ['tests/up.alone.test.ts']],
  ]);
});

test('--unit leaves out what needs root or the machine', () => {
  assert.deepEqual(plan(files, { unitOnly: true }), [['unit', ['src/a/b.test.ts', 'src/a/z.test.ts']]]);
});

test('parts of paths choose files', () => {
  assert.deepEqual(plan(files, { parts: ['a/b', 'up'] }), [
    ['unit', ['src/a/b.test.ts']],
    ['root', ['src/a/b.root.test.ts']],
    ['alone', ['tests/up.alone.test.ts']],
  ]);
});

test('what measures runs one at a time, and soak has time', () => {
  assert.deepEqual(
    planPhases(files).map(({ concurrency }) => concurrency),
    [2, 2, 1],
  );
  assert.ok(planPhases(files, { soak: true }).every(({ timeoutMs }) => timeoutMs >= 60 * 60_000));
});
