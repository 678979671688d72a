/**
 * The runner behind `make test`, `make soak` and the tests of `make check`.
 *
 *   node tools/test.ts [--unit] [--soak] [part of a path …]
 *
 * A file's name says where it runs, in this order:
 * - `x.test.ts`        beside the code: two at a time
 * - `x.root.test.ts`   needs root, kernel doors, containers, other programs or a whole control plane: two at a time, not in `make check` (`--unit`)
 * - `x.alone.test.ts`  measures time or memory, or needs a whole machine: one at a time, nothing beside it
 * `--soak` sets UMIAK_SOAK=1, which files read for their long forms, and allows them more time.
 * All phases flow through one reporter; tests that did not run and node's own summary, over all phases, are the last lines printed.
 */
import { globSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
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

/** What a long test writes to stderr behind this is printed at once, not when its file ends. */
const PROGRESS = '… ';

/** Units find their modules compiled by earlier runs, which halves a file's start; the others measure, and start programs that measure themselves. */
function cacheOf(root: string, file: string): { NODE_COMPILE_CACHE?: string } {
  return phaseOf(file) === 'unit' ? { NODE_COMPILE_CACHE: join(root, '.cache', 'compiled') } : {};
}

/** What a killed file's streams get to end in, since processes that it left may hold them open. */
const GRACE_MS = 3000;

/**
 * Runs one file in a process of its own; past its time it is killed and counts as failed. Processes that it started and that still
 * run afterwards, known by a mark in their environment, are ended and named.
 */
async function runFile(root: string, file: string, timeoutMs: number, stop: AbortSignal): Promise<FileResult> {
  const tooLong = AbortSignal.timeout(timeoutMs);
  const mark = `UMIAK_TEST_RUN=${process.pid}/${file}`;
  const result: FileResult = { events: [], counts: noCounts() };
  const began = performance.now();
  const events = run({
    cwd: root,
    files: [join(root, file)],
    execArgv: ['--disable-warning=ExperimentalWarning'],
    env: { ...process.env, ...cacheOf(root, file), UMIAK_TEST_RUN: mark.slice(mark.indexOf('=') + 1) },
    signal: AbortSignal.any([tooLong, stop]),
  });
  const read = collect(events, result);
  const overdue = new Promise<'overdue'>(resolve => {
    const timer = setTimeout(resolve, timeoutMs + GRACE_MS, 'overdue');
    read.finally(() => clearTimeout(timer));
  });
  const left = (await Promise.race([read, overdue])) === 'overdue' ? await endProcesses(mark) : [];
  await read;
  left.push(...(await endProcesses(mark)));
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  const notes = [
    `${seconds} s`,
    ...(tooLong.aborted ? [`killed: it may take ${timeoutMs / 1000} s`] : []),
    ...left.map(line => `left running: ${line}`),
  ];
  result.events.unshift({ type: 'test:stdout', data: { file, message: `${file} (${notes.join(', ')})\n` } });
  return result;
}

async function collect(events: AsyncIterable<TestEvent>, result: FileResult): Promise<void> {
  for await (const event of events) {
    if (event.type === 'test:summary') continue;
    if (event.type === 'test:stderr' && event.data.message.startsWith(PROGRESS)) {
      process.stdout.write(`${event.data.message.trimEnd()}\n`);
      continue;
    }
    // Node's own figures for the whole process come without a file; they are added up and printed once, at the very end.
    const figures = event.type === 'test:diagnostic' && event.data.file === undefined ? COUNT_LINE.exec(event.data.message) : null;
    const [, name, figure] = figures ?? [];
    if (name === undefined) result.events.push(event);
    else if (name !== 'duration_ms') result.counts[name as keyof Counts] += Number(figure);
  }
}

/** Kills the processes that bear `mark` in their environment; returns their command lines. */
async function endProcesses(mark: string): Promise<string[]> {
  const ended: string[] = [];
  for (const pid of (await readdir('/proc')).filter(name => /^\d+$/.test(name)))
    try {
      if (!(await readFile(`/proc/${pid}/environ`, 'utf8')).split('\0').includes(mark)) continue;
      ended.push((await readFile(`/proc/${pid}/cmdline`, 'utf8')).replaceAll('\0', ' ').slice(0, 120));
      process.kill(Number(pid), 'SIGKILL');
    } catch (error) {
      // It ended by itself, or is somebody else's.
      if (!(error instanceof Error && 'code' in error && /^(ENOENT|ESRCH|EACCES|EPERM)$/.test(String(error.code)))) throw error;
    }
  return ended;
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
  const files = globSync(['{src,tests,tools,bench,examples,conformance,critest,kubelet-judge,moby-judge}/**/*.test.ts'], { cwd: root });
  const phases = planPhases(files, { unitOnly: values.unit ?? false, soak: values.soak ?? false, parts: positionals });
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
  const began = performance.now();
  const counts = await runPhases(root, phases, stop.signal);
  for (const name of COUNTS) console.log(`# ${name} ${counts[name]}`);
  console.log(`# duration_ms ${(performance.now() - began).toFixed(3)}`);
  process.exitCode = stop.signal.aborted || counts.fail + counts.cancelled > 0 || counts.tests === 0 ? 1 : 0;
}
