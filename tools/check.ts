/** `make check`: types, lint and format, layers, then the tests that need no root. All four report even if an earlier one fails. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const node = [process.execPath, '--disable-warning=ExperimentalWarning'];

const steps: [name: string, command: string[]][] = [
  ['types', [process.execPath, 'node_modules/typescript/bin/tsc', '-p', '.']],
  ['lint', ['.bin/biome', 'check', '--error-on-warnings']],
  ['layers', [...node, 'tools/layers.ts']],
  ['tests', [...node, 'tools/test.ts', '--unit']],
];

const failed: string[] = [];
for (const [name, [file = '', ...args]] of steps) {
  const began = performance.now();
  const child = spawn(file, args, { cwd: root, stdio: 'inherit' });
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code !== 0) failed.push(name);
  console.log(`check: ${name} ${code === 0 ? 'ok' : 'FAILED'} (${((performance.now() - began) / 1000).toFixed(1)} s)`);
}
if (failed.length > 0) console.error(`check: ${failed.join(', ')} failed`);
process.exitCode = failed.length > 0 ? 1 : 0;
