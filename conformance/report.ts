import type { Spec } from './specs.ts';

export type State = 'passed' | 'failed' | 'skipped' | 'not run';

/** How one spec ended. */
export interface Result {
  spec: Spec;
  state: State;
  seconds: number;
  /** Why it failed or was skipped, in the suite's words. */
  reason: string;
}

/** One spec's part of the JSON report that ginkgo writes; what we read of it. */
interface GinkgoSpec {
  LeafNodeType: string;
  State: string;
  RunTime: number;
  Failure?: { Message?: string; Location?: { FileName?: string; LineNumber?: number } };
}

const RAN = new Set(['passed', 'failed', 'panicked', 'timedout', 'interrupted', 'aborted']);
const REASON_LENGTH = 600;

/** The result of the only spec that a report tells of; undefined when none of it ran or was skipped by itself, or its writer was killed. */
export function readGinkgoReport(spec: Spec, text: string): Result | undefined {
  const reports = parseReport(text);
  const its = reports.flatMap(({ SpecReports }) => SpecReports ?? []).filter(({ LeafNodeType }) => LeafNodeType === 'It');
  const found = its.find(({ State }) => RAN.has(State)) ?? its.find(({ State, Failure }) => State === 'skipped' && Failure?.Message);
  if (!found) return undefined;
  const state = found.State === 'passed' ? 'passed' : found.State === 'skipped' ? 'skipped' : 'failed';
  const { FileName: file = '', LineNumber: line = 0 } = found.Failure?.Location ?? {};
  const place = file === '' ? '' : ` (${file.split('/').slice(-2).join('/')}:${line})`;
  const message = state === 'passed' ? '' : firstLines(found.Failure?.Message ?? found.State) + place;
  return { spec, state, seconds: found.RunTime / 1e9, reason: message };
}

function parseReport(text: string): { SpecReports?: GinkgoSpec[] | null }[] {
  try {
    return JSON.parse(text) as { SpecReports?: GinkgoSpec[] | null }[];
  } catch {
    return [];
  }
}

/** The lines that say something, in one, cut where they get long. */
function firstLines(message: string): string {
  const lines = message.split('\n').map(line => line.trim());
  return lines
    .filter(line => line !== '')
    .slice(0, 8)
    .join(' | ')
    .slice(0, REASON_LENGTH);
}

/** Counts by area, as the rows of a table whose last row is the sum. */
export function formatSummary(results: readonly Result[]): string {
  const states: State[] = ['passed', 'failed', 'skipped', 'not run'];
  const areas = [...new Set(results.map(({ spec }) => spec.area))].sort();
  const count = (of: readonly Result[]) => states.map(state => of.filter(result => result.state === state).length);
  const rows = areas.map(area => [area, ...count(results.filter(({ spec }) => spec.area === area))]);
  const table = [['area', ...states], ...rows, ['all', ...count(results)]].map(row => row.map(String));
  return table.map(row => `| ${row.map((cell, i) => (i === 0 ? cell.padEnd(20) : cell.padStart(7))).join(' | ')} |\n`).join('');
}

/** One line for each spec that did not pass. */
export function formatFailures(results: readonly Result[]): string {
  return results
    .filter(({ state }) => state !== 'passed')
    .map(({ spec, state, seconds, reason }) => `${state}\t${seconds.toFixed(0)} s\t${spec.name}\n\t${reason}\n`)
    .join('');
}
