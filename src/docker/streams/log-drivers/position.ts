import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import type { LogEntry } from './entries.ts';

/** How far a log has been sent on: lines up to a time, and of those with just that time, how many. Files may be renamed and compressed. */
export interface LogPosition {
  time: string;
  lines: number;
}

/** The position behind an entry. Pure. */
export function advance(position: LogPosition | undefined, { time, isWhole }: Pick<LogEntry, 'time' | 'isWhole'>): LogPosition | undefined {
  if (!isWhole) return position;
  // Of two streams, a line may end after one that began later.
  if (position && time < position.time) return position;
  return { time, lines: position?.time === time ? position.lines + 1 : 1 };
}

/** Leaves out what a position says was sent. Pure but for what it counts. */
export function leavingOut(position: LogPosition | undefined): (entry: Pick<LogEntry, 'time' | 'isWhole'>) => boolean {
  let seen = 0;
  return ({ time, isWhole }) => {
    if (!position || time > position.time) return false;
    if (time < position.time) return true;
    const isSent = seen < position.lines;
    if (isWhole) seen++;
    return isSent;
  };
}

/** Nothing where there is none, or a kill left it half written. */
export function readPosition(file: string): LogPosition | undefined {
  try {
    const { time, lines } = JSON.parse(readFileSync(file, 'utf8')) as LogPosition;
    return typeof time === 'string' && Number.isInteger(lines) ? { time, lines } : undefined;
  } catch {
    return undefined;
  }
}

/** Whole or not at all, whenever this process is killed. */
export function writePosition(file: string, position: LogPosition): void {
  writeFileSync(`${file}.new`, JSON.stringify(position), { mode: 0o600 });
  renameSync(`${file}.new`, file);
}
