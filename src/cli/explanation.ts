import { painter, type Streams, visible } from './terminal.ts';

/** One reason, in sentences; what shows it; what to do about it. */
export interface Finding {
  says: string;
  /** Quoted lines: the last words of a container, the message of a probe. */
  evidence?: string[];
  todo?: string[];
}

/** Why something is as it is. */
export interface Explanation {
  /** `pod shop/api-1` */
  about: string;
  /** `fine` needs nothing, `busy` needs patience, `stuck` needs somebody. */
  state: 'fine' | 'busy' | 'stuck';
  /** Continues `about`: `does not run: its image is not here`. */
  summary: string;
  findings: Finding[];
}

/** The explanation for people. */
export function toText({ about, state, summary, findings }: Explanation, { stdout, env }: Pick<Streams, 'stdout' | 'env'>): string {
  const paint = painter(stdout, env);
  const colour = { fine: 'green', busy: 'yellow', stuck: 'red' } as const;
  const lines = [`${paint('bold', about)} ${paint(colour[state], visible(summary))}`];
  for (const { says, evidence = [], todo = [] } of findings) {
    lines.push('', `  ${visible(says)}`, ...evidence.map(line => paint('dim', `    | ${visible(line)}`)));
    if (todo.length > 0) lines.push('  What to do:', ...todo.map(line => `    - ${line}`));
  }
  return `${lines.join('\n')}\n`;
}

/** The worst of several: one that is stuck makes all stuck. */
export function worst(states: readonly Explanation['state'][]): Explanation['state'] {
  return states.includes('stuck') ? 'stuck' : states.includes('busy') ? 'busy' : 'fine';
}

/** `1 pod`, `2 pods`. */
export function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}

/** `12 seconds`, `3 minutes`. */
export function duration(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 120) return count(seconds, 'second');
  if (seconds < 7200) return count(Math.floor(seconds / 60), 'minute');
  return seconds < 172_800 ? count(Math.floor(seconds / 3600), 'hour') : count(Math.floor(seconds / 86_400), 'day');
}
