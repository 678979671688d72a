import { readdirSync } from 'node:fs';
import { readCommandLine } from '#linux/process.ts';

/** Processes that have a text, say a directory of ours, in their command line; never this one. */
export function processesMentioning(text: string): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter(pid => pid > 1 && pid !== process.pid && readCommandLine(pid).some(argument => argument.includes(text)));
}
