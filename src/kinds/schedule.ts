/** A CronJob's schedule: which minutes, hours, days, months and weekdays it means, or a fixed interval. */
export type Schedule = CronFields | { everyMs: number };

interface CronFields {
  minutes: ReadonlySet<number>;
  hours: ReadonlySet<number>;
  days: ReadonlySet<number>;
  months: ReadonlySet<number>;
  weekdays: ReadonlySet<number>;
  /** With `*` in one of the two day fields the other decides; else a day that either means is meant. */
  anyDay: boolean;
  anyWeekday: boolean;
}

const MACROS: Record<string, string> = {
  '@yearly': '0 0 1 1 *',
  '@annually': '0 0 1 1 *',
  '@monthly': '0 0 1 * *',
  '@weekly': '0 0 * * 0',
  '@daily': '0 0 * * *',
  '@midnight': '0 0 * * *',
  '@hourly': '0 * * * *',
};
const names = (text: string, from: number) => Object.fromEntries(text.split(' ').map((name, index) => [name, index + from]));
const MONTHS = names('jan feb mar apr may jun jul aug sep oct nov dec', 1);
const WEEKDAYS = names('sun mon tue wed thu fri sat', 0);
const UNITS_MS: Record<string, number> = { ns: 1e-6, us: 1e-3, µs: 1e-3, ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };
const LONGEST = 1_024;

/** What is wrong with a schedule, or the schedule. */
export function parseSchedule(text: string): { schedule: Schedule; problem?: never } | { schedule?: never; problem: string } {
  const fields = text.slice(0, LONGEST).trim();
  if (fields === '') return { problem: 'empty spec string' };
  try {
    if (fields.startsWith('@every ')) return { schedule: { everyMs: parseInterval(fields.slice('@every '.length)) } };
    const macro = fields.startsWith('@') ? MACROS[fields] : fields;
    if (macro === undefined) throw new RangeError(`unrecognized descriptor: ${fields}`);
    return { schedule: parseFields(macro) };
  } catch (error) {
    if (error instanceof RangeError) return { problem: error.message };
    throw error;
  }
}

function parseFields(text: string): CronFields {
  const fields = text.split(/\s+/);
  if (fields.length !== 5) throw new RangeError(`expected exactly 5 fields, found ${fields.length}: [${fields.join(' ')}]`);
  const [minute = '', hour = '', day = '', month = '', weekday = ''] = fields;
  return {
    minutes: parseField(minute, 0, 59),
    hours: parseField(hour, 0, 23),
    days: parseField(day, 1, 31),
    months: parseField(month, 1, 12, MONTHS),
    weekdays: parseField(weekday, 0, 6, WEEKDAYS),
    anyDay: isAny(day),
    anyWeekday: isAny(weekday),
  };
}

function isAny(field: string): boolean {
  return field.split(',').some(part => /^[*?](?:\/0*1)?$/.test(part));
}

function parseField(field: string, min: number, max: number, words: Record<string, number> = {}): Set<number> {
  const values = new Set<number>();
  for (const part of field.split(',')) {
    const [range = '', step, ...more] = part.split('/');
    const [low = '', high, ...bounds] = range.split('-');
    if (more.length > 0) throw new RangeError(`too many slashes: ${part}`);
    if (bounds.length > 0) throw new RangeError(`too many hyphens: ${part}`);
    const isStar = low === '*' || low === '?';
    const first = isStar ? min : parseValue(low, words);
    const by = step === undefined ? 1 : parseNumber(step);
    const last = isStar ? max : high !== undefined ? parseValue(high, words) : step === undefined ? first : max;
    if (first < min) throw new RangeError(`beginning of range (${first}) below minimum (${min}): ${part}`);
    if (last > max) throw new RangeError(`end of range (${last}) above maximum (${max}): ${part}`);
    if (first > last) throw new RangeError(`beginning of range (${first}) beyond end of range (${last}): ${part}`);
    if (by === 0) throw new RangeError(`step of range should be a positive number: ${part}`);
    for (let value = first; value <= last; value += by) values.add(value);
  }
  return values;
}

function parseValue(text: string, words: Record<string, number>): number {
  const word = text.toLowerCase();
  return (Object.hasOwn(words, word) ? words[word] : undefined) ?? parseNumber(text);
}

function parseNumber(text: string): number {
  if (!/^\d{1,6}$/.test(text))
    throw new RangeError(`failed to parse int from ${text}: strconv.Atoi: parsing ${JSON.stringify(text)}: invalid syntax`);
  return Number(text);
}

/** `1h30m`; at least a second, and whole seconds. */
function parseInterval(text: string): number {
  const parts = [...text.matchAll(/(\d{1,9}(?:\.\d{1,9})?)(ns|us|µs|ms|s|m|h)/g)];
  if (parts.length === 0 || parts.map(([part]) => part).join('') !== text) throw new RangeError(`failed to parse duration @every ${text}`);
  const ms = parts.reduce((sum, [, count, unit]) => sum + Number(count) * (UNITS_MS[unit ?? ''] ?? 0), 0);
  return Math.max(1_000, Math.floor(ms / 1_000) * 1_000);
}

/** Five years without a match: never (30 February). */
const MOST_DAYS = 5 * 366 + 1;
const DAY_MS = 86_400_000;

/**
 * The first moment after `afterMs` that the schedule means in an IANA zone; undefined: never. A local time that a change of clocks skips
 * does not occur on that day, one that occurs twice is meant both times.
 */
export function nextTime(schedule: Schedule, afterMs: number, timeZone = 'UTC'): number | undefined {
  if ('everyMs' in schedule) return Math.floor(afterMs / 1_000) * 1_000 + schedule.everyMs;
  const zone = zoneOf(timeZone);
  const local = afterMs + zone.offsetMs(afterMs);
  const startOfDay = Math.floor(local / DAY_MS) * DAY_MS;
  for (let day = 0; day <= MOST_DAYS; day++) {
    const date = startOfDay + day * DAY_MS;
    if (!meansDay(schedule, new Date(date))) continue;
    const found = firstInDay(schedule, date, afterMs, zone);
    if (found !== undefined) return found;
  }
  return undefined;
}

function meansDay({ months, days, weekdays, anyDay, anyWeekday }: CronFields, date: Date): boolean {
  if (!months.has(date.getUTCMonth() + 1)) return false;
  const day = days.has(date.getUTCDate());
  const weekday = weekdays.has(date.getUTCDay());
  return anyDay || anyWeekday ? day && weekday : day || weekday;
}

/** Clocks are put back by at most so much: beyond it, what is later by the clock is later indeed. */
const MOST_PUT_BACK_MS = 3 * 3_600_000;

function firstInDay({ hours, minutes }: CronFields, date: number, afterMs: number, zone: Zone): number | undefined {
  let first: number | undefined;
  const earliest = afterMs + zone.offsetMs(afterMs) - MOST_PUT_BACK_MS;
  for (let hour = 0; hour < 24; hour++) {
    const start = date + hour * 3_600_000;
    if (!hours.has(hour) || start + 3_600_000 < earliest) continue;
    for (let minute = 0; minute < 60; minute++) {
      if (!minutes.has(minute)) continue;
      const local = start + minute * 60_000;
      if (local < earliest) continue;
      for (const at of zone.occurrences(local)) if (at > afterMs && (first === undefined || at < first)) first = at;
    }
    if (first !== undefined && start > first + zone.offsetMs(first) + MOST_PUT_BACK_MS) break;
  }
  return first;
}

/** An IANA zone's offset from UTC at each moment. */
interface Zone {
  offsetMs(atMs: number): number;
  /** The moments at which its clocks show `localMs`: none, one or two. */
  occurrences(localMs: number): number[];
}

const zones = new Map<string, Zone>();

/** True for a name that the time zone database knows; `Local` is none that a cluster shares. */
export function isTimeZone(name: string): boolean {
  try {
    return name !== '' && name.toLowerCase() !== 'local' && Boolean(zoneOf(name));
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}

/** @throws RangeError for an unknown zone */
function zoneOf(name: string): Zone {
  const known = zones.get(name);
  if (known) return known;
  const zone = name === 'UTC' || name === 'Etc/UTC' ? utc : new IanaZone(name);
  if (zones.size > 100) zones.clear();
  zones.set(name, zone);
  return zone;
}

const utc: Zone = { offsetMs: () => 0, occurrences: localMs => [localMs] };

class IanaZone implements Zone {
  readonly #format: Intl.DateTimeFormat;
  /** Offsets by hour; clocks change on the hour, the half or the quarter in rare zones. */
  readonly #known = new Map<number, number>();

  constructor(name: string) {
    if (/^[+-]/.test(name)) throw new RangeError(`unknown time zone ${name}`);
    const options = { year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit' } as const;
    this.#format = new Intl.DateTimeFormat('en-US', { ...options, timeZone: name, hourCycle: 'h23', era: 'short' });
  }

  offsetMs(atMs: number): number {
    const quarter = Math.floor(atMs / 900_000);
    const known = this.#known.get(quarter);
    if (known !== undefined) return known;
    const at = quarter * 900_000;
    const parts = Object.fromEntries(this.#format.formatToParts(at).map(({ type, value }) => [type, Number(value)]));
    const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = parts;
    const offset = Date.UTC(year, month - 1, day, hour, minute, second) - at;
    if (this.#known.size > 10_000) this.#known.clear();
    this.#known.set(quarter, offset);
    return offset;
  }

  occurrences(localMs: number): number[] {
    const offsets = new Set([this.offsetMs(localMs - DAY_MS), this.offsetMs(localMs + DAY_MS)]);
    return [...offsets].map(offset => localMs - offset).filter(at => at + this.offsetMs(at) === localMs);
  }
}
