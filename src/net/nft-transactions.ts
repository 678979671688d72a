import { isUmiakError } from '#base/errors.ts';
import { WorkerCalls } from '#base/worker-calls.ts';
import type { StaleTarget } from './nft-rules.ts';
import type { NftHandlers } from './nft-transactions-worker.ts';

/**
 * nftables by libnftables in a worker, without a process: each `apply` is one atomic transaction, in the order of the calls.
 * Gathering several changes into one is the caller's affair. What was applied stays when this is disposed.
 */
export class NftTransactions implements AsyncDisposable {
  readonly #worker = new WorkerCalls<NftHandlers>(new URL('./nft-transactions-worker.ts', import.meta.url), { name: 'nftables' });

  /**
   * Makes all commands of the ruleset (nft's own language) take effect together.
   * @throws UmiakError with nftables' message, which quotes the rule; then nothing has changed
   */
  async apply(ruleset: string): Promise<void> {
    await this.#worker.call('run', ruleset);
  }

  /** A table as nft prints it, or undefined when there is none. */
  async list(table: string): Promise<string | undefined> {
    try {
      return await this.#worker.call('run', `list table ip ${table}`);
    } catch (error) {
      if (isUmiakError(error) && error.message.includes('No such file or directory')) return undefined;
      throw error;
    }
  }

  /** Deletes a table with all that is in it. Without one, nothing happens. */
  async deleteTable(table: string): Promise<void> {
    await this.apply(`add table ip ${table}\ndelete table ip ${table}`);
  }

  /** Makes the kernel forget tracked UDP flows to places that rules no longer lead to; call it after the change. */
  async forgetFlows(targets: readonly StaleTarget[]): Promise<void> {
    if (targets.length > 0) await this.#worker.call('forget', [...targets]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker[Symbol.asyncDispose]();
  }
}
