import type { Finding, FindingState } from '#engine/doctor/index.ts';
import { type Colour, type OutputForm, painter, printJson, type Streams, visible } from './terminal.ts';

const WORD: Record<FindingState, [text: string, colour: Colour]> = {
  ok: ['ok', 'green'],
  fallsBack: ['falls back', 'yellow'],
  missing: ['missing', 'red'],
};

/** `umiak doctor`: a line a finding, and below it what to do. @returns 1 when something is missing that is needed, else 0 */
export function printFindings(streams: Streams, form: OutputForm, findings: readonly Finding[]): number {
  const counts = { ok: 0, fallsBack: 0, missing: 0 };
  for (const { state } of findings) counts[state]++;
  if (form === 'json') printJson(streams, { isFit: counts.missing === 0, counts, findings });
  else streams.stdout.write(describeFindings(findings, counts, streams));
  return counts.missing === 0 ? 0 : 1;
}

function describeFindings(
  findings: readonly Finding[],
  counts: Record<FindingState, number>,
  streams: Pick<Streams, 'stdout' | 'env'>,
): string {
  const paint = painter(streams.stdout, streams.env);
  const stateWidth = Math.max(...Object.values(WORD).map(([text]) => text.length));
  const aboutWidth = Math.max(0, ...findings.map(({ about }) => visible(about).length));
  const lines = findings.flatMap((finding, at) => {
    const [word, colour] = WORD[finding.state];
    const { area, about, says, remedy } = finding;
    return [
      ...(findings[at - 1]?.area === area ? [] : [paint('bold', area)]),
      `  ${paint(colour, word.padEnd(stateWidth))}   ${visible(about).padEnd(aboutWidth)}   ${visible(says)}`,
      ...(remedy === undefined ? [] : [`${' '.repeat(stateWidth + aboutWidth + 8)}${paint('dim', `→ ${visible(remedy)}`)}`]),
    ];
  });
  const sum = `${counts.ok} ok, ${counts.fallsBack} fall back, ${counts.missing} missing`;
  const verdict = counts.missing === 0 ? 'umiak works on this machine' : 'umiak does not work on this machine as it is';
  return `${[...lines, '', `${verdict}: ${sum}`].join('\n')}\n`;
}
