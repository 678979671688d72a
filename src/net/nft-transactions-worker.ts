import { UmiakError } from '#base/errors.ts';
import { serveCalls } from '#base/worker-calls.ts';
import { forgetUdpFlows } from '#linux/conntrack.ts';
import { Nftables } from './libnftables.ts';
import type { StaleTarget } from './stale-flows.ts';

const nftables = new Nftables();

const QUOTED_CHARACTERS = 200;

const handlers = {
  run(commands: string): string {
    const { output, error } = nftables.run(commands);
    if (error) throw new UmiakError('InternalError', `nftables refused the transaction: ${located(commands) ?? error.trim()}`);
    return output;
  },

  forget(targets: StaleTarget[]): number {
    const stale = new Set(targets.map(({ port, address, targetPort }) => `${port} ${address} ${targetPort}`));
    return forgetUdpFlows(({ destination, answeredBy }) => stale.has(`${destination.port} ${answeredBy.address} ${answeredBy.port}`));
  },

  /** The last call: what libnftables keeps does not go with the thread. */
  free(): void {
    nftables[Symbol.dispose]();
  },
};

/** libnftables quotes the first line whichever is wrong. Checked again as a single line, its carets point at the rule, which is quoted alone. */
function located(commands: string): string | undefined {
  const lines = commands.split('\n').filter(line => !line.trimStart().startsWith('#'));
  const { error } = nftables.run(lines.join(';'), { isTrial: true });
  const [message, quoted, carets] = error.split('\n');
  if (!quoted || !carets?.includes('^')) return undefined;
  const at = carets.indexOf('^');
  const from = quoted.lastIndexOf(';', at) + 1;
  const end = quoted.indexOf(';', at);
  const rule = quoted.slice(from, end < 0 ? undefined : end);
  const start = Math.max(0, at - from - QUOTED_CHARACTERS / 2);
  return `${message} in: ${rule.slice(start, start + QUOTED_CHARACTERS).trim()}`;
}

export type NftHandlers = typeof handlers;

serveCalls(handlers);
