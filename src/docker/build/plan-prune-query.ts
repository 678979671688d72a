import { UmiakError } from '#base/errors.ts';
import { parseGoDuration } from '#base/go-duration.ts';
import { isObject } from '#base/json-object.ts';

/** What a prune of the build cache keeps. */
export interface PruneQuery {
  unusedForMs?: number;
  ids?: string[];
  maxBytes?: number;
}

const SIZES = ['keep-storage', 'reserved-space', 'max-used-space'];

/** Reads `filters` (`until`, `unused-for`, `id`) and how much may stay. @throws BadRequest. Pure. */
export function parsePrune(query: URLSearchParams, nowMs: number): PruneQuery {
  const options: PruneQuery = {};
  for (const key of SIZES) {
    const text = query.get(key) ?? '';
    if (text === '' || text === '0') continue;
    if (!/^\d{1,15}$/.test(text)) throw new UmiakError('BadRequest', `${key} must be a whole number of bytes`);
    options.maxBytes = Number(text);
  }
  for (const [name, values] of Object.entries(filtersOf(query))) {
    if (name === 'id') options.ids = values;
    else if (name === 'until' || name === 'unused-for') options.unusedForMs = ageOf(values.at(-1) ?? '', nowMs);
    else throw new UmiakError('BadRequest', `invalid filter '${name.slice(0, 64)}'`);
  }
  return options;
}

/** Docker's two forms: `{"until": ["24h"]}` and `{"until": {"24h": true}}`. */
function filtersOf(query: URLSearchParams): Record<string, string[]> {
  const text = query.get('filters') ?? '';
  if (text === '') return {};
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new UmiakError('BadRequest', 'invalid filters: not JSON', { cause });
  }
  if (!isObject(value)) throw new UmiakError('BadRequest', 'invalid filters: not an object');
  return Object.fromEntries(
    Object.entries(value).map(([name, each]) => [name, Array.isArray(each) ? each.map(String) : Object.keys(isObject(each) ? each : {})]),
  );
}

/** A duration, or since a time. */
function ageOf(text: string, nowMs: number): number {
  const duration = parseGoDuration(text);
  if (duration !== undefined) return duration;
  const at = /^\d+(\.\d+)?$/.test(text) ? Number(text) * 1000 : Date.parse(text);
  if (Number.isNaN(at)) throw new UmiakError('BadRequest', `invalid filter 'until=${text.slice(0, 64)}'`);
  return Math.max(0, nowMs - at);
}
