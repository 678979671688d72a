/**
 * The runner behind `make test`, `make soak` and the tests of `make check`.
 *
 *   node tools/test.ts [--unit] [--soak] [part of a path …]
 *
 * A file's name says where it runs, in this order:
 * - `x.test.ts`        beside the code: two at a time
 * - `x.root.test.ts`   needs root, kernel doors, containers or a whole instance: two at a time, not in `make check` (`--unit`)
 * - `x.alone.test.ts`  measures time or memory, or needs a whole machine: one at a time, nothing beside it
 * `--soak` sets UMIAK_SOAK=1, which files read for their long forms, and allows them more time.
 * All phases flow through one reporter; tests that did not run and node's own summary, over all phases, are the last lines printed.
 */
import { globSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { run } from 'node:test';
import { spec, type TestEvent } from 'node:test/reporters';
import { parseArgs } from 'node:util';

/** Files that run together, so many at a time, each for at most so long. */
export interface Phase {
  name: 'unit' | 'root' | 'alone';
  files: string[];
  concurrency: number;
  timeoutMs: number;
}

/** What was asked for on the command line. */
export interface Choice {
  unitOnly?: boolean;
  soak?: boolean;
  /** Only files whose path contains one of these; none means all. */
  parts?: readonly string[];
}

const MINUTE = 60_000;

/** Sorts test files into the phases they run in; phases without files are left out. */
export function planPhases(files: readonly string[], { unitOnly = false, soak = false, parts = [] }: Choice = {}): Phase[] {
  const wanted = files.filter(file => parts.length === 0 || parts.some(part => file.includes(part))).sort();
  const phases: Phase[] = [
    { name: 'unit', files: [], concurrency: 2, timeoutMs: (unitOnly ? 0.75 : 3) * MINUTE },
    { name: 'root', files: [], concurrency: 2, timeoutMs: 4 * MINUTE },
    { name: 'alone', files: [], concurrency: 1, timeoutMs: 5 * MINUTE },
  ];
  for (const file of wanted) phases.find(({ name }) => name === phaseOf(file))?.files.push(file);
  return phases
    .filter(({ name, files }) => files.length > 0 && (name === 'unit' || !unitOnly))
    .map(phase => (soak ? { ...phase, timeoutMs: 120 * MINUTE } : phase));
}

function phaseOf(file: string): Phase['name'] {
  return /\.(root|alone)\.test\.ts$/.exec(file)?.[1] === 'alone' ? 'alone' : file.endsWith('.root.test.ts') ? 'root' : 'unit';
}

const COUNTS = ['tests', 'suites', 'pass', 'fail', 'cancelled', 'skipped', 'todo'] as const;
type Counts = Record<(typeof COUNTS)[number], number>;

const COUNT_LINE = new RegExp(`^(${COUNTS.join('|')}|duration_ms) ([\\d.]+)$`);

/** One test file's end: everything it reported, and what node counted. */
interface FileResult {
  events: TestEvent[];
  counts: Counts;
}

/** Runs one file in a process of its own; past its time it is killed and counts as failed. */
async function runFile(root: string, file: string, timeoutMs: number, stop: AbortSignal): Promise<FileResult> {
  const tooLong = AbortSignal.timeout(timeoutMs);
  const result: FileResult = { events: [], counts: noCounts() };
  const began = performance.now();
  const execArgv = ['--disable-warning=ExperimentalWarning'];
  for await (const event of run({ cwd: root, files: [join(root, file)], execArgv, signal: AbortSignal.any([tooLong, stop]) })) {
    if (event.type === 'test:summary') continue;
    // Node's own figures for the whole process come without a file; they are added up and printed once, at the very end.
    const [, name, figure] =
      (event.type === 'test:diagnostic' && event.data.file === undefined && COUNT_LINE.exec(event.data.message)) || [];
    if (name !== undefined) {
      if (name !== 'duration_ms') result.counts[name as keyof Counts] += Number(figure);
      continue;
    }
    result.events.push(event);
  }
  const note = tooLong.aborted ? `, killed: it may take ${timeoutMs / 1000} s` : '';
  result.events.unshift({
    type: 'test:stdout',
    data: { file, message: `${file} (${((performance.now() - began) / 1000).toFixed(1)} s${note})\n` },
  });
  return result;
}

/** Runs the phases one after another and prints each file's report when the file ends. */
async function runPhases(root: string, phases: readonly Phase[], stop: AbortSignal): Promise<Counts> {
  const counts = noCounts();
  const skips: string[] = [];
  const reporter = new spec();
  const printed = new PassThrough();
  reporter.pipe(printed).pipe(process.stdout, { end: false });
  for (const { files, concurrency, timeoutMs } of phases) {
    const left = files.values();
    const runLeft = async () => {
      for (const file of left) {
        if (stop.aborted) return;
        const result = await runFile(root, file, timeoutMs, stop);
        add(counts, result.counts);
        for (const event of result.events) {
          reporter.write(event);
          if (event.type !== 'test:pass' || !event.data.skip) continue;
          skips.push(`${file}: ${event.data.name}: ${event.data.skip === true ? 'no reason given' : event.data.skip}`);
        }
      }
    };
    await Promise.all(Array.from({ length: concurrency }, runLeft));
  }
  reporter.end();
  await new Promise(resolve => printed.once('end', resolve));
  for (const skip of skips) process.stdout.write(`NOT RUN: ${skip}\n`);
  return counts;
}

function noCounts(): Counts {
  return { tests: 0, suites: 0, pass: 0, fail: 0, cancelled: 0, skipped: 0, todo: 0 };
}

function add(counts: Counts, more: Counts): void {
  for (const name of COUNTS) counts[name] += more[name];
}

if (import.meta.main) {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { unit: { type: 'boolean' }, soak: { type: 'boolean' } } });
  if (values.soak) process.env.UMIAK_SOAK = '1';
  const root = join(import.meta.dirname, '..');
  const files = globSync(['{src,tests,tools,bench,examples}/**/*.test.ts'], { cwd: root });
  const phases = planPhases(files, { unitOnly: values.unit ?? false, soak: values.soak ?? false, parts: positionals });
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
  const began = performance.now();
  const counts = await runPhases(root, phases, stop.signal);
  for (const name of COUNTS) console.log(`# ${name} ${counts[name]}`);
  console.log(`# duration_ms ${(performance.now() - began).toFixed(3)}`);
  process.exitCode = stop.signal.aborted || counts.fail + counts.cancelled > 0 || counts.tests === 0 ? 1 : 0;
}
