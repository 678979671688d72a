import { UmiakError } from '#base/errors.ts';
import { parseGoDuration } from '#base/go-duration.ts';
import type { ContainerConfig } from '#images/index.ts';
import { readFlags } from './flags.ts';
import { jsonWords } from './json-words.ts';
import type { Line } from './lines.ts';

const NANOSECONDS = 1e6;
const DURATIONS = { interval: 'Interval', timeout: 'Timeout', 'start-period': 'StartPeriod', 'start-interval': 'StartInterval' } as const;

/** `HEALTHCHECK [options] CMD command` or `HEALTHCHECK NONE`, in the image's form. @throws Invalid */
export function parseHealthcheck(line: Line): NonNullable<ContainerConfig['Healthcheck']> {
  const flags = readFlags(line, { known: [...Object.keys(DURATIONS), 'retries'] });
  const [, type = '', rest = ''] = /^(\S*)\s*([\s\S]*)$/.exec(line.rest) ?? [];
  if (type === '') throw invalid('HEALTHCHECK requires at least one argument');
  const kind = type.toUpperCase();
  if (kind === 'NONE') {
    if (rest !== '') throw invalid('HEALTHCHECK NONE takes no arguments');
    return { Test: ['NONE'] };
  }
  if (kind !== 'CMD') throw invalid(`Unknown type "${kind}" in HEALTHCHECK (try CMD)`);
  if (rest === '') throw invalid('Missing command after HEALTHCHECK CMD');
  const words = jsonWords(rest);
  const check: NonNullable<ContainerConfig['Healthcheck']> = { Test: words ? ['CMD', ...words] : ['CMD-SHELL', rest] };
  for (const [flag, field] of Object.entries(DURATIONS)) {
    const value = flags[flag];
    if (value === undefined) continue;
    const ms = durationMs(value);
    if (ms !== 0 && ms < 1) throw invalid(`Interval "${flag}" cannot be less than 1ms`);
    if (ms !== 0) check[field] = Math.round(ms * NANOSECONDS);
  }
  if (flags.retries !== undefined) {
    if (!/^\d{1,9}$/.test(flags.retries)) throw invalid(`--retries must be a whole number of 0 or more, not ${flags.retries.slice(0, 50)}`);
    if (Number(flags.retries) > 0) check.Retries = Number(flags.retries);
  }
  return check;
}

function durationMs(text: string): number {
  const ms = parseGoDuration(text);
  if (ms === undefined) throw invalid(`time: invalid duration ${JSON.stringify(text.slice(0, 50))}`);
  return ms;
}

function invalid(message: string): UmiakError {
  return new UmiakError('Invalid', message);
}
