import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { missingFiles, pagesOf, unprovedPromises } from './pages.ts';

const root = join(import.meta.dirname, '..');
const read = (file: string) => readFileSync(join(root, file), 'utf8');

for (const page of pagesOf(root)) {
  test(`every file that ${page} names is there`, () => assert.deepEqual(missingFiles(root, page), []));
}

test('every promise of SPECIFICATION.md has its proof, or says that it has none', () => {
  assert.deepEqual(unprovedPromises(read('SPECIFICATION.md')), []);
  assert.deepEqual(unprovedPromises('| promise | proof |\n|---|---|\n| a | `tests/x.test.ts` |\n| b | |\n| c | — why |\n'), ['b']);
});

test('make help lists every target', () => {
  const help = execFileSync('make', ['-s', 'help'], { cwd: root, encoding: 'utf8' });
  const targets = [...read('Makefile').matchAll(/^([a-z-]+):/gm)].map(([, target]) => target);
  for (const target of targets) assert.match(help, new RegExp(`^  make ${target} `, 'm'));
  for (const target of [
    'setup',
    'run',
    'stop',
    'test',
    'soak',
    'check',
    'bench',
    'conformance',
    'critest',
    'kubelet',
    'moby',
    'controller-runtime',
    'fmt',
    'clean',
  ])
    assert.ok(targets.includes(target), target);
});

test('.ci/run calls make test, nothing else', () => {
  const commands = read('.ci/run').trim().split('\n').slice(1);
  assert.deepEqual(commands, ['cd "$(dirname "$0")/.." && exec make test']);
});
