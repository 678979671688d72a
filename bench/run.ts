/**
 * `make bench`: runs every bench in a process of its own, one after another, and prints all their figures as one table.
 * `make bench ONLY=store` runs the benches whose name contains a word. Slow or broken benches never fail a test; they end with 1 here.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir, totalmem } from 'node:os';
import { basename, join } from 'node:path';
import { formatTable, ROWS_FILE_VARIABLE, type Row } from './table.ts';

const NOT_BENCHES = ['run.ts', 'table.ts'];

const root = join(import.meta.dirname, '..');
const words = process.argv.slice(2);
const benches = globSync('bench/*.ts', { cwd: root })
  .filter(file => !file.endsWith('.test.ts') && !NOT_BENCHES.includes(basename(file)))
  .filter(file => words.length === 0 || words.some(word => basename(file).includes(word)))
  .sort();

const directory = mkdtempSync(join(tmpdir(), 'umiak-bench-rows-'));
const rowsFile = join(directory, 'rows');
writeFileSync(rowsFile, '');
const failed: string[] = [];
try {
  for (const bench of benches) {
    console.log(`\n== ${bench}`);
    const env = { ...process.env, [ROWS_FILE_VARIABLE]: rowsFile };
    const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', bench], { cwd: root, stdio: 'inherit', env });
    const [code] = (await once(child, 'exit')) as [number | null];
    if (code !== 0) failed.push(bench);
  }
  const rows = readFileSync(rowsFile, 'utf8')
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line) as Row);
  console.log(
    `\n${cpus().length} cores (${cpus()[0]?.model ?? 'unknown'}), ${Math.round(totalmem() / 2 ** 30)} GB, node ${process.version}\n`,
  );
  if (rows.length > 0) console.log(formatTable(rows));
} finally {
  rmSync(directory, { recursive: true, force: true });
}
for (const bench of failed) console.error(`bench: ${bench} failed`);
process.exitCode = failed.length > 0 ? 1 : 0;
