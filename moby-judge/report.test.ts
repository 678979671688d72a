import assert from 'node:assert/strict';
import { test } from 'node:test';
import { failuresOf, readResults, testsThatSay } from './report.ts';

const OUTPUT = `=== RUN   TestA
--- FAIL: TestA (0.02s)
    --- FAIL: TestA/one (0.00s)
    --- PASS: TestA/two (0.00s)
        --- FAIL: TestA/three/deep (0.00s)
--- SKIP: TestC (0.00s)
--- FAIL: TestB (1.00s)
    --- FAIL: TestB/x (1.00s)
FAIL
`;

test('what a Go test program printed', () => {
  const results = readResults(OUTPUT);
  assert.deepEqual([results.length, results.at(-1)], [7, { name: 'TestC', state: 'skipped' }]);
  assert.deepEqual(failuresOf(results), ['TestA/one', 'TestA/three/deep', 'TestB/x']);
  assert.deepEqual(failuresOf(results, ['TestA', 'TestB/x']), ['TestA', 'TestB/x']);
});

test('which tests start daemons, through helpers too', () => {
  const source = [
    'func TestOwn(t *testing.T) {\n\td := daemon.New(t)\n}\n',
    'func TestOther(t *testing.T) {\n}\n',
    'func TestByHelper(t *testing.T) {\n\twithDaemon(t)\n}\n',
    'func withDaemon(t *testing.T) {\n\tstart(t)\n}\n',
    'func start(t *testing.T) {\n\td := daemon.New(t)\n}\n',
  ].join('\n');
  assert.deepEqual(testsThatSay(source, ['daemon.New(']).sort(), ['TestByHelper', 'TestOwn']);
});
