import assert from 'node:assert/strict';
import { test } from 'node:test';
import { uninterrupted } from './uninterrupted.ts';

const INTERRUPTED = 'netlink: Error: Could not process rule: Interrupted system call\n';

for (const [name, errors, expected, runs] of [
  ['what goes well is run once', [''], '', 1],
  ['what a signal met is run again', [INTERRUPTED, INTERRUPTED, ''], '', 3],
  ['what is refused then is told', [INTERRUPTED, 'No such file or directory'], 'No such file or directory', 2],
  ['it does not go on for ever', Array.from({ length: 50 }, () => INTERRUPTED), INTERRUPTED, 20],
] as const)
  test(name, () => {
    let ran = 0;
    assert.equal(uninterrupted(() => ({ error: errors[ran++] ?? '' })).error, expected);
    assert.equal(ran, runs);
  });
