import { declare } from './libc.ts';

const adjtimexCall = declare('int adjtimex(_Inout_ void *timex)');

const SIZE_OF_TIMEX = 208;
const OFFSET_OF_STATUS = 40;
const STA_UNSYNC = 0x40;
const TIME_ERROR = 5;

/** Whether something keeps the clock of this machine right, as `adjtimex(2)` tells without changing anything. */
export function isClockSynchronised(): boolean {
  const timex = Buffer.alloc(SIZE_OF_TIMEX); // modes 0: only asked
  const state = adjtimexCall(timex) as number;
  return state >= 0 && state !== TIME_ERROR && (timex.readInt32LE(OFFSET_OF_STATUS) & STA_UNSYNC) === 0;
}
