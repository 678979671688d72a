import koffi from 'koffi';
import { uninterrupted } from './uninterrupted.ts';

const library = koffi.load('libnftables.so.1');
const newContext = library.func('void *nft_ctx_new(uint32_t flags)');
const freeContext = library.func('void nft_ctx_free(void *context)');
const bufferOutput = library.func('int nft_ctx_buffer_output(void *context)');
const bufferError = library.func('int nft_ctx_buffer_error(void *context)');
const runCommands = library.func('int nft_run_cmd_from_buffer(void *context, const char *commands)');
const setDryRun = library.func('void nft_ctx_set_dry_run(void *context, bool on)');
const takeOutput = library.func('const char *nft_ctx_get_output_buffer(void *context)');
const takeError = library.func('const char *nft_ctx_get_error_buffer(void *context)');

/** libnftables in this thread; its netlink socket belongs to the network namespace that the thread is in when it is made. */
export class Nftables implements Disposable {
  readonly #context: unknown = newContext(0);

  constructor() {
    bufferOutput(this.#context);
    bufferError(this.#context);
  }

  /** Runs commands as one transaction; only checks them when it is a trial. `error` is nftables' own words, empty when all went well. */
  run(commands: string, { isTrial = false } = {}): { output: string; error: string } {
    return uninterrupted(() => this.#run(commands, isTrial));
  }

  #run(commands: string, isTrial: boolean): { output: string; error: string } {
    if (isTrial) setDryRun(this.#context, true);
    const hasFailed = runCommands(this.#context, commands) !== 0;
    if (isTrial) setDryRun(this.#context, false);
    const output: string = takeOutput(this.#context);
    const error: string = takeError(this.#context);
    return { output, error: hasFailed ? error || 'nftables gave no reason' : '' };
  }

  [Symbol.dispose](): void {
    freeContext(this.#context);
  }
}
