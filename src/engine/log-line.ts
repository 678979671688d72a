/** One line of a CRI log: `<time> <stream> <tag> <content>`. */
export interface LogLine {
  /** As written, RFC 3339 with nanoseconds. */
  time: string;
  stream: 'stdout' | 'stderr';
  /** The line goes on in the next one of its stream. */
  isPartial: boolean;
  /** Without the newline. */
  content: Buffer;
}

const SPACE = 0x20;

/** Reads one line without its newline; undefined for what is no CRI log line. */
export function parseLogLine(line: Buffer): LogLine | undefined {
  const first = line.indexOf(SPACE);
  const second = line.indexOf(SPACE, first + 1);
  if (first <= 0 || second < 0) return undefined;
  const stream = line.toString('latin1', first + 1, second);
  if (stream !== 'stdout' && stream !== 'stderr') return undefined;
  const third = line.indexOf(SPACE, second + 1);
  const tag = line.toString('latin1', second + 1, third < 0 ? line.length : third);
  const content = third < 0 ? line.subarray(line.length) : line.subarray(third + 1);
  return { time: line.toString('latin1', 0, first), stream, isPartial: tag.split(':').includes('P'), content };
}

/** Milliseconds since the epoch of an RFC 3339 time. */
export function toMilliseconds(time: string): number {
  return Date.parse(time.replace(/(\.\d{3})\d*/, '$1'));
}

/** The same moment in UTC, nanoseconds kept: `2026-11-23T04:05:06.123456789Z`. */
export function toUtc(time: string): string {
  if (time.endsWith('Z')) return time;
  if (time.endsWith('+00:00')) return `${time.slice(0, -6)}Z`;
  const fraction = /\.\d+/.exec(time)?.[0] ?? '';
  const whole = Date.parse(time.replace(/\.\d+/, ''));
  return Number.isNaN(whole) ? time : `${new Date(whole).toISOString().slice(0, 19)}${fraction}Z`;
}
