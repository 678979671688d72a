import { type Affinity, losesAffinity, parseAffinities, planAffinities } from './affinity.ts';
import { type Capacity, capacityFor, renderTable, suffices, type TableConfig } from './nft-rules.ts';
import type { NftTransactions } from './nft-transactions.ts';
import { planRuleChanges } from './rule-elements.ts';
import type { Rule } from './rules.ts';
import { planStaleFlows } from './stale-flows.ts';

const FORGET_ATTEMPTS = 5;

export interface RuleTableOptions {
  nft: NftTransactions;
  config: TableConfig;
}

/**
 * The instance's nftables table and the rules it holds: knows what the kernel has, so that a change is the difference.
 * Calls take effect in their order. It outlives this object; `removeNetwork` or `NftTransactions.deleteTable` ends it.
 */
export class RuleTable {
  readonly #nft: NftTransactions;
  readonly #config: TableConfig;
  #rules = new Map<string, Rule>();
  #capacity: Capacity = capacityFor([]);
  #isLoaded = false;
  #last: Promise<void> = Promise.resolve();

  constructor({ nft, config }: RuleTableOptions) {
    this.#nft = nft;
    this.#config = config;
  }

  /** What the kernel has after the last call that succeeded. */
  get rules(): ReadonlyMap<string, Rule> {
    return this.#rules;
  }

  /** Sees to it that there is a table, for what pods and containers send out, without touching one that a former process left. */
  ensure(): Promise<void> {
    return this.#queue(async () => {
      if (!this.#isLoaded && (await this.#nft.list(this.#config.instance, 'chain', 'guard')) === undefined) await this.#replace(new Map());
    });
  }

  /** Replaces the whole table, whatever it was, by one with these rules, in one transaction. Connections go on. */
  load(rules: Iterable<Rule>): Promise<void> {
    return this.#queue(() => this.#replace(new Map([...rules].map(rule => [rule.id, rule]))));
  }

  /**
   * Adds or changes rules and removes others, by their ids, in one transaction. Before the first `load` it loads.
   * @throws UmiakError with nftables' message; then nothing has changed
   */
  change(set: readonly Rule[], removedIds: readonly string[] = []): Promise<void> {
    return this.#queue(async () => {
      const next = new Map(this.#rules);
      for (const id of removedIds) next.delete(id);
      for (const rule of set) next.set(rule.id, rule);
      const needed = capacityFor(set, this.#capacity);
      const before = this.#rules;
      const ids = new Set([...removedIds, ...set.map(rule => rule.id)]);
      const chosen = (rules: Map<string, Rule>) => [...ids].flatMap(id => rules.get(id) ?? []);
      if (!this.#isLoaded || !suffices(this.#capacity, needed)) await this.#replace(next);
      else {
        const commands = planRuleChanges(this.#config.instance, chosen(before), chosen(next));
        if (commands) await this.#nft.apply(commands).catch(() => this.#replace(next)); // somebody else changed our table: say all of it again
        this.#rules = next;
      }
      await this.#nft.forgetFlows(planStaleFlows(chosen(before), chosen(next)));
      if (losesAffinity(chosen(before), chosen(next))) await this.#forgetClients(before, next);
    });
  }

  /** Clients that are kept with an endpoint which is theirs no more get another one with what they begin next. */
  async #forgetClients(before: Map<string, Rule>, rules: Map<string, Rule>): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const kept = await this.#kept();
      const right = new Set(planAffinities(kept, rules.values(), before.values()));
      const wrong = kept.filter(each => !right.has(each));
      if (wrong.length === 0) return;
      try {
        await this.#nft.apply(`delete element ip ${this.#config.instance} affinity { ${wrong.map(({ key }) => key).join(', ')} }`);
        return;
      } catch (error) {
        if (attempt === FORGET_ATTEMPTS) throw error; // one of them ended in between: look again
      }
    }
  }

  /** Who is kept with which endpoint: the kernel alone knows. */
  async #kept(): Promise<Affinity[]> {
    return parseAffinities((await this.#nft.list(this.#config.instance, 'map', 'affinity')) ?? '');
  }

  async #replace(rules: Map<string, Rule>): Promise<void> {
    const capacity = capacityFor(rules.values(), { ...this.#capacity, timeouts: [] });
    const kept = planAffinities(await this.#kept(), rules.values(), this.#rules.values());
    await this.#nft.apply(renderTable(this.#config, { rules: rules.values(), capacity, kept }));
    this.#rules = rules;
    this.#capacity = capacity;
    this.#isLoaded = true;
  }

  #queue(work: () => Promise<void>): Promise<void> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => {});
    return result;
  }
}
