import type { LentRecord, LentRecords } from '#net/cni/index.ts';
import type { LentLink, NetworkPool } from '#net/index.ts';

export interface PoolLinksOptions {
  /** Has adopted what `records` say. */
  pool: Pick<NetworkPool, 'lend' | 'connect' | 'takeBack'>;
  records: LentRecords;
}

/** No CNI network is called so: its GC is about others. */
const NETWORK = 'docker:bridge';

/** Links of the default network into namespaces that were not made with one: of containers whose first network is another. Written down before they are made. */
export class PoolLinks {
  readonly #options: PoolLinksOptions;

  constructor(options: PoolLinksOptions) {
    this.#options = options;
  }

  /** @throws ServiceUnavailable when the addresses are used up */
  async attach(containerId: string, path: string, ifName: string): Promise<LentLink> {
    const { pool, records } = this.#options;
    const record: LentRecord = { version: 1, phase: 'making', network: NETWORK, containerId, link: pool.lend({ path, ifName }) };
    try {
      records.write(record);
      await pool.connect(record.link);
      records.write({ ...record, phase: 'made' });
      return record.link;
    } catch (error) {
      await this.#end(record);
      throw error;
    }
  }

  find(containerId: string): LentLink | undefined {
    return this.#all().find(record => record.containerId === containerId)?.link;
  }

  /** Twice is as good as once. */
  async detach(containerId: string): Promise<void> {
    for (const record of this.#all()) if (record.containerId === containerId) await this.#end(record);
  }

  /** Ends those of containers that do not run any more. */
  async keepOnly(containerIds: ReadonlySet<string>): Promise<void> {
    for (const record of this.#all()) if (!containerIds.has(record.containerId)) await this.#end(record);
  }

  #all(): LentRecord[] {
    return this.#options.records.all.filter(({ network }) => network === NETWORK);
  }

  async #end(record: LentRecord): Promise<void> {
    await this.#options.pool.takeBack(record.link);
    this.#options.records.remove(record);
  }
}
