import assert from 'node:assert/strict';
import { isUmiakError } from '#base/errors.ts';
import { seededRandom } from '#base/ids.ts';
import type { CommitResult, Entry, ListResult, Store, StoreEvent, Transaction, WatchBatch } from './store.ts';

const CLIENTS = 12;
const KEYS = 24;
const PREFIXES = ['', '/r/', '/r/a/', '/r/b/'];

/** What a client did, and between which revisions it must have taken effect. */
interface Done<Result> {
  from: number;
  to: number;
  result: Result;
}
type State = Map<string, Entry>;

/**
 * Lets clients commit, read and watch at random while compaction goes on, then looks for one order of all that explains every
 * answer: the order of revisions, in which nothing takes effect before it was asked or after it was answered.
 * The seed is printed when that fails; `UMIAK_SEED` repeats it. `UMIAK_SOAK` makes it longer.
 */
export async function checkRandomHistory(store: Store): Promise<void> {
  const seed = Number(process.env.UMIAK_SEED ?? Math.floor(Math.random() * 2 ** 31));
  try {
    await new RandomHistory(store, seededRandom(seed)).run(process.env.UMIAK_SOAK ? 2000 : 120);
  } catch (error) {
    throw new Error(`random history with UMIAK_SEED=${seed}: ${error instanceof Error ? error.message : error}`, { cause: error });
  }
}

class RandomHistory {
  readonly #store: Store;
  readonly #random: () => number;
  readonly #start: number;
  readonly #commits: (Done<CommitResult> & { transaction: Transaction })[] = [];
  readonly #gets: (Done<Entry | undefined> & { key: string; at: number | undefined })[] = [];
  readonly #lists: (Done<ListResult> & { prefix: string; at: number | undefined })[] = [];
  readonly #watches: {
    prefix: string;
    after: number;
    seen: number;
    events: StoreEvent[];
    stop: AbortController;
    ended: Promise<unknown>;
  }[] = [];
  #values = 0;

  constructor(store: Store, random: () => number) {
    this.#store = store;
    this.#random = random;
    this.#start = store.revision;
  }

  async run(steps: number): Promise<void> {
    this.#watch('', this.#start);
    try {
      await Promise.all(Array.from({ length: CLIENTS }, () => this.#client(steps)));
      const end = this.#store.revision;
      for (const watch of this.#watches) while (watch.seen < end && !watch.stop.signal.aborted) await this.#store.get('/none');
    } finally {
      for (const watch of this.#watches) watch.stop.abort();
    }
    for (const { ended } of this.#watches) await ended;
    this.#check();
  }

  async #client(steps: number): Promise<void> {
    for (let step = 0; step < steps; step++) {
      const dice = this.#random();
      if (dice < 0.6) await this.#commit();
      else if (dice < 0.75) await this.#get();
      else if (dice < 0.85) await this.#list();
      else if (dice < 0.9) this.#watch(this.#pick(PREFIXES), this.#pastRevision());
      else if (dice < 0.92) await this.#store.compact(Math.max(this.#start, this.#store.revision - this.#below(200)));
      else await new Promise(resolve => setImmediate(resolve));
    }
  }

  async #during<Result>(run: () => Promise<Result>): Promise<Done<Result>> {
    const from = this.#store.revision;
    const result = await run();
    return { from, to: this.#store.revision, result };
  }

  async #commit(): Promise<void> {
    const keys = new Set(Array.from({ length: 1 + this.#below(3) }, () => this.#key()));
    const writes = [...keys].map(key => ({ key, value: this.#random() < 0.3 ? null : this.#value() }));
    const conditions: { key: string; revision: number }[] = [];
    for (let count = this.#below(3); count > 0; count--) {
      const key = this.#random() < 0.7 ? writes[0]!.key : this.#key();
      const known = this.#random() < 0.8 ? await this.#store.get(key) : undefined;
      conditions.push({ key, revision: known?.revision ?? 0 });
    }
    const transaction = { conditions, writes };
    this.#commits.push({ transaction, ...(await this.#during(() => this.#store.commit(transaction))) });
  }

  async #get(): Promise<void> {
    const key = this.#key();
    const at = this.#random() < 0.5 ? undefined : this.#pastRevision();
    await this.#unlessExpired(at, async () => {
      this.#gets.push({ key, at, ...(await this.#during(() => this.#store.get(key, at === undefined ? {} : { at }))) });
    });
  }

  async #list(): Promise<void> {
    const prefix = this.#pick(PREFIXES);
    const at = this.#random() < 0.5 ? undefined : this.#pastRevision();
    await this.#unlessExpired(at, async () => {
      this.#lists.push({ prefix, at, ...(await this.#during(() => this.#store.list(prefix, at === undefined ? {} : { at }))) });
    });
  }

  async #unlessExpired(at: number | undefined, read: () => Promise<void>): Promise<void> {
    try {
      await read();
    } catch (error) {
      if (!isUmiakError(error, 'Expired') || at === undefined) throw error;
      // Its reply may overtake the compaction's, which was then asked for, but not yet answered.
      await this.#store.compact(Math.min(at + 1, this.#store.revision));
      assert.ok(at < this.#store.compactedRevision, `${at} is Expired, but compaction stands at ${this.#store.compactedRevision}`);
    }
  }

  #watch(prefix: string, after: number): void {
    const stop = new AbortController();
    const watch = { prefix, after, seen: after, events: [] as StoreEvent[], stop, ended: Promise.resolve() as Promise<unknown> };
    const receive = ({ events, revision }: WatchBatch) => {
      assert.ok(
        revision > watch.seen && events.every(event => event.revision > watch.seen && event.revision <= revision),
        'a batch out of order',
      );
      watch.events.push(...events);
      watch.seen = revision;
      if (this.#watches.indexOf(watch) > 0 && this.#random() < 0.01) stop.abort();
    };
    watch.ended = this.#store.watch(prefix, { after, receive, signal: stop.signal }).catch(error => {
      if (!isUmiakError(error, 'Expired')) throw error;
      stop.abort();
    });
    watch.ended.catch(() => stop.abort());
    this.#watches.push(watch);
  }

  #check(): void {
    const { states, events } = this.#replayCommits();
    for (const { from, to, result, transaction } of this.#commits) {
      if (result.ok) continue;
      const { failed, current } = result;
      assert.ok(transaction.conditions!.includes(failed));
      assert.notEqual(failed.revision, current?.revision ?? 0);
      this.#explained(from, to, revision => sameEntry(states(revision).get(failed.key), current), `refusal of ${failed.key}`);
    }
    for (const { from, to, result, key, at } of this.#gets) {
      if (at === undefined) this.#explained(from, to, revision => sameEntry(states(revision).get(key), result), `get of ${key}`);
      else assert.ok(sameEntry(states(at).get(key), result), `get of ${key} at ${at}`);
    }
    for (const { from, to, result, prefix, at } of this.#lists) {
      if (at === undefined) assert.ok(result.revision >= from && result.revision <= to, `list at ${result.revision} in (${from}, ${to}]`);
      else assert.equal(result.revision, at);
      const expected = [...states(result.revision).values()]
        .filter(({ key }) => key.startsWith(prefix))
        .sort((a, b) => (a.key < b.key ? -1 : 1));
      assert.deepEqual(result.entries.map(plainEntry), expected.map(plainEntry), `list of ${prefix} at ${result.revision}`);
    }
    for (const watch of this.#watches) {
      const expected = events.filter(
        ({ key, revision }) => revision > watch.after && revision <= watch.seen && key.startsWith(watch.prefix),
      );
      assert.deepEqual(
        watch.events.map(plainEvent),
        expected.map(plainEvent),
        `watch of ${watch.prefix} from ${watch.after} to ${watch.seen}`,
      );
    }
  }

  /** Runs the accepted transactions in the order of their revisions; each must have been possible where it stands. */
  #replayCommits(): { states: (revision: number) => State; events: StoreEvent[] } {
    const accepted = Map.groupBy(
      this.#commits.filter(({ result }) => result.ok),
      ({ result }) => (result as { revision: number }).revision,
    );
    const states: State[] = [new Map()];
    const events: StoreEvent[] = [];
    for (let revision = this.#start; revision <= this.#store.revision; revision++) {
      const before = states.at(-1)!;
      const group = accepted.get(revision) ?? [];
      for (const { from, to } of group)
        assert.ok(revision >= from && revision <= to, `a commit at ${revision} was asked at ${from} and answered at ${to}`);
      const writer =
        revision === this.#start
          ? undefined
          : group.toSorted((a, b) => puts(b.transaction) - puts(a.transaction)).find(commit => isEffective(commit.transaction, before));
      if (revision > this.#start) assert.ok(writer, `nobody wrote revision ${revision}`);
      const after = new Map(before);
      if (writer) {
        assert.ok(holds(writer.transaction, before), `conditions of the commit at ${revision}`);
        events.push(...apply(writer.transaction, after, revision));
        states.push(after);
      }
      for (const commit of group) {
        if (commit === writer) continue;
        assert.ok(!isEffective(commit.transaction, after) && holds(commit.transaction, after), `a second commit at ${revision}`);
      }
    }
    return { states: revision => states[revision - this.#start]!, events };
  }

  #explained(from: number, to: number, isSo: (revision: number) => boolean, what: string): void {
    for (let revision = from; revision <= to; revision++) if (isSo(revision)) return;
    assert.fail(`${what} fits no revision in ${from}..${to}`);
  }

  #pastRevision(): number {
    return Math.max(this.#start, this.#store.revision - this.#below(150));
  }

  #key(): string {
    const n = this.#below(KEYS);
    return `/r/${n % 2 ? 'a' : 'b'}/${n}`;
  }

  #value(): Uint8Array {
    return new TextEncoder().encode(`${++this.#values}`.padEnd(this.#below(40)));
  }

  #below(end: number): number {
    return Math.floor(this.#random() * end);
  }

  #pick<Item>(items: readonly Item[]): Item {
    return items[this.#below(items.length)]!;
  }
}

const puts = ({ writes }: Transaction) => writes.filter(({ value }) => value).length;
const holds = ({ conditions = [] }: Transaction, state: State) =>
  conditions.every(({ key, revision }) => (state.get(key)?.revision ?? 0) === revision);
const isEffective = ({ writes }: Transaction, state: State) => writes.some(({ key, value }) => value || state.has(key));

function apply({ writes }: Transaction, state: State, revision: number): StoreEvent[] {
  const events: StoreEvent[] = [];
  for (const { key, value } of writes) {
    const current = state.get(key);
    if (!current && !value) continue;
    const createRevision = current?.createRevision ?? revision;
    const event: StoreEvent = { type: value ? 'put' : 'delete', key, value: value ?? new Uint8Array(0), revision, createRevision };
    if (current) event.previous = { value: current.value, revision: current.revision };
    events.push(event);
    if (value) state.set(key, { key, value, revision, createRevision });
    else state.delete(key);
  }
  return events;
}

const hex = (value: Uint8Array) => Buffer.from(value).toString('latin1');
const plainEntry = (entry: Entry) => `${entry.key} ${entry.revision} ${entry.createRevision} ${hex(entry.value)}`;
const plainEvent = ({ type, key, value, revision, createRevision, previous }: StoreEvent) =>
  `${revision} ${type} ${key} ${createRevision} ${hex(value)} before: ${previous?.revision} ${previous && hex(previous.value)}`;
const sameEntry = (a: Entry | undefined, b: Entry | undefined) => (a && b ? plainEntry(a) === plainEntry(b) : a === b);
