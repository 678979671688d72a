import koffi from 'koffi';
import { UmiakError } from '#base/errors.ts';
import { serveCalls } from '#base/worker-calls.ts';
import { forgetUdpFlows } from '#linux/conntrack.ts';
import type { StaleTarget } from './nft-rules.ts';

/** libnftables in this thread; its netlink socket belongs to the network namespace that the thread started in. */
const nftables = koffi.load('libnftables.so.1');
const context = nftables.func('void *nft_ctx_new(uint32_t flags)')(0);
nftables.func('int nft_ctx_buffer_output(void *context)')(context);
nftables.func('int nft_ctx_buffer_error(void *context)')(context);
const runCommands = nftables.func('int nft_run_cmd_from_buffer(void *context, const char *commands)');
const takeOutput = nftables.func('const char *nft_ctx_get_output_buffer(void *context)');
const takeError = nftables.func('const char *nft_ctx_get_error_buffer(void *context)');

const handlers = {
  run(commands: string): string {
    const hasFailed = runCommands(context, commands) !== 0;
    const output: string = takeOutput(context);
    const error: string = takeError(context);
    if (hasFailed) throw new UmiakError('InternalError', `nftables refused the transaction: ${error.trim()}`);
    return output;
  },

  forget(targets: StaleTarget[]): number {
    const stale = new Set(targets.map(({ port, address, targetPort }) => `${port} ${address} ${targetPort}`));
    return forgetUdpFlows(({ destination, answeredBy }) => stale.has(`${destination.port} ${answeredBy.address} ${answeredBy.port}`));
  },
};

export type NftHandlers = typeof handlers;

serveCalls(handlers);
