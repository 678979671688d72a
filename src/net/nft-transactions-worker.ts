import koffi from 'koffi';
import { UmiakError } from '#base/errors.ts';
import { serveCalls } from '#base/worker-calls.ts';
import { forgetUdpFlows } from '#linux/conntrack.ts';
import type { StaleTarget } from './stale-flows.ts';

/** libnftables in this thread; its netlink socket belongs to the network namespace that the thread started in. */
const nftables = koffi.load('libnftables.so.1');
const context = nftables.func('void *nft_ctx_new(uint32_t flags)')(0);
nftables.func('int nft_ctx_buffer_output(void *context)')(context);
nftables.func('int nft_ctx_buffer_error(void *context)')(context);
const runCommands = nftables.func('int nft_run_cmd_from_buffer(void *context, const char *commands)');
const setDryRun = nftables.func('void nft_ctx_set_dry_run(void *context, bool on)');
const takeOutput = nftables.func('const char *nft_ctx_get_output_buffer(void *context)');
const takeError = nftables.func('const char *nft_ctx_get_error_buffer(void *context)');

const QUOTED_CHARACTERS = 200;

const handlers = {
  run(commands: string): string {
    const hasFailed = runCommands(context, commands) !== 0;
    const output: string = takeOutput(context);
    const error: string = takeError(context);
    if (hasFailed) throw new UmiakError('InternalError', `nftables refused the transaction: ${located(commands) ?? error.trim()}`);
    return output;
  },

  forget(targets: StaleTarget[]): number {
    const stale = new Set(targets.map(({ port, address, targetPort }) => `${port} ${address} ${targetPort}`));
    return forgetUdpFlows(({ destination, answeredBy }) => stale.has(`${destination.port} ${answeredBy.address} ${answeredBy.port}`));
  },
};

/** libnftables quotes the first line whichever is wrong. Checked again as a single line, its carets point at the rule, which is quoted alone. */
function located(commands: string): string | undefined {
  const lines = commands.split('\n').filter(line => !line.trimStart().startsWith('#'));
  setDryRun(context, true);
  runCommands(context, lines.join(';'));
  takeOutput(context);
  const report: string = takeError(context);
  setDryRun(context, false);
  const [message, quoted, carets] = report.split('\n');
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
