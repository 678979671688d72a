import { UmiakError } from '#base/errors.ts';
import { isObject } from '#base/json-object.ts';

/** Docker's `filters`: a name, the values of which one must fit (of labels all). */
export type Filters = Map<string, string[]>;

/** Reads `filters`: `{"dangling":["true"]}`, or the older `{"dangling":{"true":true}}`. @throws BadRequest for what is neither, or not in `known` */
export function parseFilters(text: string | null, known: readonly string[]): Filters {
  const filters: Filters = new Map();
  if (text === null || text === '') return filters;
  for (const [name, value] of Object.entries(parseObject(text))) {
    if (!known.includes(name)) throw new UmiakError('BadRequest', `invalid filter '${name.slice(0, 64)}'; there are ${known.join(', ')}`);
    filters.set(name, valuesOf(name, value));
  }
  return filters;
}

function parseObject(text: string): object {
  try {
    const parsed: unknown = JSON.parse(text);
    if (isObject(parsed)) return parsed;
  } catch {
    // Refused below.
  }
  throw new UmiakError('BadRequest', 'invalid filters: they must be a JSON object of lists');
}

function valuesOf(name: string, value: unknown): string[] {
  if (Array.isArray(value) && value.every(each => typeof each === 'string')) return value;
  if (isObject(value)) return Object.entries(value).flatMap(([each, isOn]) => (isOn === true ? [each] : []));
  throw new UmiakError('BadRequest', `invalid filter '${name}': its values must be a list of strings`);
}

/** A filter that is a flag. @throws BadRequest */
export function flagFilter(filters: Filters, name: string): boolean | undefined {
  const values = filters.get(name);
  if (values === undefined || values.length === 0) return undefined;
  const isTrue = values.some(value => /^(1|t|true)$/i.test(value));
  if (values.every(value => /^(0|f|false|1|t|true)$/i.test(value)) && isTrue !== values.some(value => /^(0|f|false)$/i.test(value)))
    return isTrue;
  throw new UmiakError('BadRequest', `invalid filter '${name}=${values.join(',').slice(0, 64)}': it must be true or false`);
}

const DURATION_MS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** A moment as docker takes it: seconds since the epoch, a date, or a duration back from now (`24h`, `1h30m`). @throws BadRequest */
export function toMoment(text: string, nowMs: number): number {
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1000;
  if (/^(\d+(\.\d+)?(ms|s|m|h))+$/.test(text)) {
    let back = 0;
    for (const [, amount, unit = ''] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)) back += Number(amount) * (DURATION_MS[unit] ?? 0);
    return nowMs - back;
  }
  const ms = Date.parse(text);
  if (Number.isNaN(ms)) throw new UmiakError('BadRequest', `${JSON.stringify(text.slice(0, 64))} is neither a time nor a duration`);
  return ms;
}

/** Whether labels have a key (`tier`) or a key with that value (`tier=cache`). Pure. */
export function hasLabel(labels: Readonly<Record<string, string>>, wanted: string): boolean {
  const equals = wanted.indexOf('=');
  if (equals < 0) return Object.hasOwn(labels, wanted);
  const key = wanted.slice(0, equals);
  return Object.hasOwn(labels, key) && labels[key] === wanted.slice(equals + 1);
}
