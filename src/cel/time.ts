import { CelError } from './errors.ts';

const NANOS = 1_000_000_000n;
const UNITS: Readonly<Record<string, bigint>> = {
  h: 3_600n * NANOS,
  m: 60n * NANOS,
  s: NANOS,
  ms: 1_000_000n,
  us: 1_000n,
  µs: 1_000n,
  ns: 1n,
};
const RFC3339 = /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])(\d\d):(\d\d))$/;
const EARLIEST = -62_135_596_800n * NANOS;
const LATEST = 253_402_300_800n * NANOS - 1n;
const INT64 = 2n ** 63n;

/** A span of time, exact to the nanosecond. */
export class Duration {
  readonly nanos: bigint;
  constructor(nanos: bigint) {
    if (nanos >= INT64 || nanos < -INT64) throw new CelError('duration overflow');
    this.nanos = nanos;
  }

  /** Reads Go's form: `1h30m`, `-1.5s`, `100ms`. @throws CelError */
  static parse(text: string): Duration {
    const sign = /^[+-]/.exec(text)?.[0] ?? '';
    let rest = text.slice(sign.length);
    if (rest === '0') return new Duration(0n);
    let nanos = 0n;
    if (rest === '' || text.length > 64) throw new CelError(`time: invalid duration "${text.slice(0, 64)}"`);
    while (rest !== '') {
      const part = /^(\d*)(?:\.(\d*))?(ns|us|µs|ms|s|m|h)/.exec(rest);
      const [all = '', whole = '', fraction = '', unit = ''] = part ?? [];
      const scale = UNITS[unit];
      if (scale === undefined || whole + fraction === '') throw new CelError(`time: invalid duration "${text}"`);
      nanos += BigInt(whole || '0') * scale + (BigInt(fraction || '0') * scale) / 10n ** BigInt(fraction.length);
      rest = rest.slice(all.length);
    }
    return new Duration(sign === '-' ? -nanos : nanos);
  }

  toString(): string {
    const magnitude = this.nanos < 0n ? -this.nanos : this.nanos;
    const fraction = (magnitude % NANOS).toString().padStart(9, '0').replace(/0+$/, '');
    return `${this.nanos < 0n ? '-' : ''}${magnitude / NANOS}${fraction && `.${fraction}`}s`;
  }
}

/** A moment, exact to the nanosecond, between the years 1 and 9999. */
export class Timestamp {
  readonly nanos: bigint;
  constructor(nanos: bigint) {
    if (nanos < EARLIEST || nanos > LATEST) throw new CelError('timestamp overflow');
    this.nanos = nanos;
  }

  /** Reads RFC 3339. @throws CelError */
  static parse(text: string): Timestamp {
    const match = RFC3339.exec(text);
    const isDay = match && Number(match[3]) <= new Date(Date.UTC(Number(match[1]), Number(match[2]), 0)).getUTCDate();
    const millis = isDay ? Date.parse(text.replace(/\.\d+/, '').toUpperCase()) : Number.NaN;
    if (Number.isNaN(millis)) throw new CelError(`invalid timestamp "${text.slice(0, 64)}"`);
    return new Timestamp(BigInt(millis) * 1_000_000n + BigInt((match?.[7] ?? '').padEnd(9, '0')));
  }

  toString(): string {
    const seconds = new Date(this.millis).toISOString().slice(0, 19);
    const fraction = (((this.nanos % NANOS) + NANOS) % NANOS).toString().padStart(9, '0').replace(/0+$/, '');
    return `${seconds}${fraction && `.${fraction}`}Z`;
  }

  /** Whole milliseconds since 1970, rounded down. */
  get millis(): number {
    const whole = this.nanos / 1_000_000n;
    return Number(this.nanos < 0n && this.nanos % 1_000_000n !== 0n ? whole - 1n : whole);
  }

  /** The clock's hands in a zone: an IANA name, `+02:00`, or UTC. @throws CelError */
  in(zone = 'UTC'): Date {
    const offset = /^([+-]?)(\d\d):(\d\d)$/.exec(zone);
    if (offset) {
      const minutes = Number(offset[2]) * 60 + Number(offset[3]);
      return new Date(this.millis + (offset[1] === '-' ? -minutes : minutes) * 60_000);
    }
    if (zone === 'UTC' || zone === '') return new Date(this.millis);
    const at = Object.fromEntries(
      clockOf(zone)
        .formatToParts(this.millis)
        .map(({ type, value }) => [type, Number(value)]),
    ) as Record<'year' | 'month' | 'day' | 'hour' | 'minute' | 'second', number>;
    return new Date(Date.UTC(at.year, at.month - 1, at.day, at.hour, at.minute, at.second, ((this.millis % 1000) + 1000) % 1000));
  }
}

const CACHED_CLOCKS = 500;
const clocks = new Map<string, Intl.DateTimeFormat>();

/** What reads the time in a zone; to make one takes longer than a thousand readings. @throws CelError */
function clockOf(zone: string): Intl.DateTimeFormat {
  const known = clocks.get(zone);
  if (known) return known;
  try {
    const clock = new Intl.DateTimeFormat('en-US', {
      timeZone: zone,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
    if (clocks.size < CACHED_CLOCKS) clocks.set(zone, clock);
    return clock;
  } catch {
    throw new CelError(`unknown time zone ${zone.slice(0, 64)}`);
  }
}
