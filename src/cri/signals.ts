import { criSchema } from './schema.ts';
import type { Signal } from './types.gen.ts';

/** CRI's name of a signal as images write it: `SIGRTMINPLUS3` is `SIGRTMIN+3`; undefined for the image's own. */
export function fromSignal(signal: Signal | undefined): string | undefined {
  if (signal === undefined || signal === 'RUNTIME_DEFAULT') return undefined;
  return signal.replace('PLUS', '+').replace('MINUS', '-');
}

/** The other way; what CRI has no name for is the image's own. */
export function toSignal(signal: string | undefined): Signal {
  const name = `SIG${(signal ?? '').toUpperCase().replace(/^SIG/, '')}`.replace('+', 'PLUS').replace('-', 'MINUS');
  return criSchema.hasValue('Signal', name) ? (name as Signal) : 'RUNTIME_DEFAULT';
}
