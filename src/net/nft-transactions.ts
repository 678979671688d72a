import { type Clock, systemClock } from '#base/clock.ts';
import { isUmiakError } from '#base/errors.ts';
import { WorkerCalls } from '#base/worker-calls.ts';
import { trimMalloc } from '#linux/malloc.ts';
import type { NftHandlers } from './nft-transactions-worker.ts';
import type { StaleTarget } from './stale-flows.ts';

/** So long without a call, and the worker with what libnftables keeps (13 MB) goes; the next call makes it anew in about 30 ms. */
export const NFT_REST_MS = 5_000;

/**
 * nftables by libnftables in a worker, without a process: each `apply` is one atomic transaction, in the order of the calls.
 * Gathering several changes into one is the caller's affair. What was applied stays when this is disposed.
 */
export class NftTransactions implements AsyncDisposable {
  readonly #clock: Clock;
  #worker: WorkerCalls<NftHandlers> | undefined;
  #underWay = 0;
  #rest: Disposable | undefined;
  #ending: Promise<void> | undefined;

  constructor({ clock = systemClock }: { clock?: Clock } = {}) {
    this.#clock = clock;
    this.#worker = startWorker();
  }

  /**
   * Makes all commands of the ruleset (nft's own language) take effect together.
   * @throws UmiakError with nftables' message, which quotes the rule; then nothing has changed
   */
  async apply(ruleset: string): Promise<void> {
    await this.#call('run', ruleset);
  }

  /** A table, or a map or chain of it, as nft prints it; undefined when there is none. */
  async list(table: string, ...part: [] | ['map' | 'chain', string]): Promise<string | undefined> {
    const [what = 'table', name = ''] = part;
    try {
      return await this.#call('run', `list ${what} ip ${table} ${name}`);
    } catch (error) {
      if (isUmiakError(error) && error.message.includes('No such file or directory')) return undefined;
      throw error;
    }
  }

  /** Deletes a table with all that is in it. Without one, nothing happens. */
  async deleteTable(table: string, family: 'ip' | 'inet' = 'ip'): Promise<void> {
    await this.apply(`add table ${family} ${table}\ndelete table ${family} ${table}`);
  }

  /**
   * Chains of other tables that drop by default what the host forwards or receives, e.g. `ip filter FORWARD`: an accept of ours can't override
   * them (for `umiak doctor`). Rules of the older iptables are not seen.
   */
  async foreignDrops(ownTable: string): Promise<string[]> {
    return planForeignDrops(await this.#call('run', 'list chains'), ownTable);
  }

  /** Makes the kernel forget tracked UDP flows to places that rules no longer lead to; call it after the change. */
  async forgetFlows(targets: readonly StaleTarget[]): Promise<void> {
    if (targets.length > 0) await this.#call('forget', [...targets]);
  }

  async #call<Name extends keyof NftHandlers>(
    name: Name,
    ...args: Parameters<NftHandlers[Name]>
  ): Promise<Awaited<ReturnType<NftHandlers[Name]>>> {
    this.#rest?.[Symbol.dispose]();
    this.#underWay += 1;
    try {
      this.#worker ??= startWorker();
      return await this.#worker.call(name, ...args);
    } finally {
      this.#underWay -= 1;
      if (this.#underWay === 0) this.#rest = this.#clock.after(NFT_REST_MS, () => (this.#ending = this.#endWorker()));
    }
  }

  async #endWorker(): Promise<void> {
    const worker = this.#worker;
    if (!worker) return;
    this.#worker = undefined;
    await worker.call('free').catch(() => {}); // it has ended of itself
    await worker[Symbol.asyncDispose]();
    await trimMalloc(); // its heap would stay, for a thread to come
  }

  /** Idempotent. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#rest?.[Symbol.dispose]();
    await this.#ending;
    await this.#worker?.[Symbol.asyncDispose]();
  }
}

function startWorker(): WorkerCalls<NftHandlers> {
  return new WorkerCalls(new URL('./nft-transactions-worker.ts', import.meta.url), { name: 'nftables' });
}

/** Finds dropping base chains in what `nft list chains` prints. */
function planForeignDrops(chains: string, ownTable: string): string[] {
  let table = '';
  let chain = '';
  const found: string[] = [];
  for (const line of chains.split('\n')) {
    table = /^table (\S+ \S+) \{/.exec(line)?.[1] ?? table;
    chain = /^\s*chain (\S+) \{/.exec(line)?.[1] ?? chain;
    if (/hook (forward|input)\b.*policy drop;/.test(line) && table !== `ip ${ownTable}`) found.push(`${table} ${chain}`);
  }
  return found;
}
