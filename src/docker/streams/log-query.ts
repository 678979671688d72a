import { UmiakError } from '#base/errors.ts';
import type { LogOptions } from '#engine/index.ts';
import { flagOf } from '../request.ts';

const SECONDS = /^(-?\d{1,12})(?:\.(\d{1,9})\d*)?$/;
const RFC_3339 = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?(Z|[+-]\d\d:\d\d)$/;

/** The query of `GET /containers/{id}/logs`. @throws BadRequest in docker's words */
export function parseLogQuery(query: URLSearchParams): LogOptions & { details: boolean } {
  const [stdout, stderr] = [flagOf(query, 'stdout'), flagOf(query, 'stderr')];
  if (!stdout && !stderr) throw new UmiakError('BadRequest', 'Bad parameters: you must choose at least one stream');
  const since = parseMoment(query, 'since');
  const until = parseMoment(query, 'until');
  const tail = query.get('tail') ?? '';
  return {
    follow: flagOf(query, 'follow'),
    timestamps: flagOf(query, 'timestamps'),
    details: flagOf(query, 'details'),
    stream: stdout && stderr ? 'all' : stdout ? 'stdout' : 'stderr',
    ...(since ? { since, sinceMs: Date.parse(since) } : {}),
    ...(until ? { until } : {}),
    // Anything but a number means all, as with docker.
    ...(/^\d{1,12}$/.test(tail) ? { tailLines: Number(tail) } : {}),
  };
}

/** Unix seconds with a fraction, or RFC 3339, as RFC 3339 in UTC with nanoseconds; nothing for the epoch itself. @throws BadRequest */
export function parseMoment(query: URLSearchParams, key: string): string | undefined {
  const value = query.get(key) ?? '';
  if (value === '') return undefined;
  const [, seconds, fraction = ''] = SECONDS.exec(value) ?? [];
  if (seconds !== undefined) {
    if (Number(seconds) === 0 && Number(fraction) === 0) return undefined;
    return toMoment(Number(seconds) * 1000, fraction, key, value);
  }
  const [, whole, nanoseconds = '', zone] = RFC_3339.exec(value) ?? [];
  return toMoment(Date.parse(`${whole}${zone}`), nanoseconds, key, value);
}

function toMoment(ms: number, fraction: string, key: string, value: string): string {
  const date = new Date(ms);
  if (!Number.isNaN(date.getTime()) && date.getUTCFullYear() >= 0 && date.getUTCFullYear() <= 9999)
    return `${date.toISOString().slice(0, 19)}.${fraction.padEnd(9, '0')}Z`;
  throw new UmiakError('BadRequest', `invalid value for "${key}": ${JSON.stringify(value.slice(0, 64))} is no time`);
}
