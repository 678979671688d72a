/**
 * What a bench says and how it is shown. A bench is a program of its own (`bench/x.ts`, run alone or by `make bench`) that calls
 * `report` once for each figure; `bench/run.ts` collects the rows of all benches into one table.
 */
import { appendFileSync } from 'node:fs';

/** One figure measured, against a peer and against what it must reach. */
export interface Row {
  /** What was measured, with its quantile: `pod: create to Running, p99`. */
  what: string;
  /** `ms`, `s`, `MB`, `/s`, `%`. */
  unit: string;
  ours: number;
  /** Which is better. */
  better: 'less' | 'more';
  /** What it must reach, in the same unit. */
  target?: number;
  /** Who else, and their figure; `measured: false` marks a recorded figure, not one of this run. */
  peer?: { name: string; value: number; measured: boolean };
}

/** Where `bench/run.ts` waits for rows; unset when a bench is run by itself. */
export const ROWS_FILE_VARIABLE = 'UMIAK_BENCH_ROWS';

/** Reports one row: to the runner when there is one, else to stdout. */
export function report(row: Row): void {
  const file = process.env[ROWS_FILE_VARIABLE];
  if (file) appendFileSync(file, `${JSON.stringify(row)}\n`);
  else console.log(formatTable([row]));
}

/** How many times better than the peer: over 1 is better than it, whichever way the figure runs. */
export function ratioToPeer({ ours, better, peer }: Row): number | undefined {
  if (!peer) return undefined;
  return better === 'less' ? peer.value / ours : ours / peer.value;
}

/** Whether the figure reaches its target; undefined without one. */
export function reachesTarget({ ours, better, target }: Row): boolean | undefined {
  if (target === undefined) return undefined;
  return better === 'less' ? ours < target : ours >= target;
}

/** The rows as a table for people. A peer's figure that this run did not measure is marked `*`. */
export function formatTable(rows: readonly Row[]): string {
  const cells = rows.map(row => {
    const reached = reachesTarget(row);
    const ratio = ratioToPeer(row);
    return [
      row.what,
      `${formatNumber(row.ours)} ${row.unit}`,
      row.target === undefined ? '' : `${row.better === 'less' ? '<' : '≥'} ${formatNumber(row.target)} ${row.unit}`,
      reached === undefined ? '' : reached ? 'reached' : 'MISSED',
      row.peer ? `${formatNumber(row.peer.value)} ${row.unit} ${row.peer.name}${row.peer.measured ? '' : ' *'}` : '',
      ratio === undefined ? '' : `${formatNumber(ratio)} ×`,
    ];
  });
  const table = [['what', 'ours', 'must reach', '', 'peer', 'better by'], ...cells];
  const widths = table[0]!.map((_, column) => Math.max(...table.map(row => row[column]!.length)));
  const lines = table.map(row =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('  ')
      .trimEnd(),
  );
  if (rows.some(({ peer }) => peer && !peer.measured)) lines.push('* recorded on a like machine, not measured in this run');
  return lines.join('\n');
}

/** Three significant digits, thousands grouped. */
function formatNumber(value: number): string {
  return value.toLocaleString('en-US', value >= 100 ? { maximumFractionDigits: 0 } : { maximumSignificantDigits: 3 });
}

/** The value below which the part `q` of the samples lies (nearest rank). @throws RangeError when there are none. */
export function quantile(samples: readonly number[], q: number): number {
  if (samples.length === 0) throw new RangeError('no samples to take a quantile of');
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(q * sorted.length) - 1))]!;
}
