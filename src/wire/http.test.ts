import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const sources = join(import.meta.dirname, '..');

test('nobody imports values of node:http but from here: that would load undici', () => {
  const offenders = globSync('**/*.ts', { cwd: sources })
    .filter(file => !/\.test\.ts$|fixture|test-/.test(file))
    .filter(file => /^import (?!type ).*from 'node:http';$/m.test(readFileSync(join(sources, file), 'utf8')));
  assert.deepEqual(offenders, []);
});

test('undici is not loaded', () => {
  const module = fileURLToPath(new URL('./http.ts', import.meta.url));
  const program = `await import(${JSON.stringify(module)}); console.log(process.moduleLoadList.some(name => name.includes('undici/undici')))`;
  const flags = ['--disable-warning=ExperimentalWarning', '--input-type=module'];
  assert.equal(execFileSync(process.execPath, [...flags, '-e', program], { encoding: 'utf8' }).trim(), 'false');
});
