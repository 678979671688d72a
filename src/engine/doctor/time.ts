import { isClockSynchronised } from '#linux/clock-state.ts';
import { type Finding, findingsOf } from './finding.ts';

export interface TimeFacts {
  nowMs: number;
  isSynchronised: boolean;
}

/** No clock that is right says less. */
const EARLIEST_YEAR = 2026;
const LATEST_YEAR = 2100;

const { ok, fallsBack, missing } = findingsOf('time');

/** Judges the clock. Pure. */
export function planTime({ nowMs, isSynchronised }: TimeFacts): Finding[] {
  const now = new Date(nowMs);
  const remedy = 'Run chrony, systemd-timesyncd or ntpd; `date -s` sets the clock once.';
  if (now.getUTCFullYear() < EARLIEST_YEAR || now.getUTCFullYear() > LATEST_YEAR)
    return [missing('clock', `It says ${now.toISOString()}: certificates made now are not valid when it is right again.`, remedy)];
  if (isSynchronised) return [ok('clock', 'Something keeps it right.')];
  return [
    fallsBack(
      'clock',
      'Nothing keeps it right, as far as the kernel knows: certificates and tokens fail when machines differ by minutes.',
      remedy,
    ),
  ];
}

/** Asks the kernel. */
export function readTime(nowMs: number): TimeFacts {
  return { nowMs, isSynchronised: isClockSynchronised() };
}
