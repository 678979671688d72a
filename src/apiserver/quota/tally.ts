import { formatQuantity, parseQuantity, type Quantity } from '#base/quantity.ts';
import type { KubeObject, Resource } from '#kinds/kind.ts';
import { isInQuotaScope, missingForQuota, quotaSourceOf, quotaUsageOf, type Usage } from '#kinds/quota-usage.ts';
import type { Pod, ResourceQuota } from '#kinds/types.gen.ts';
import type { ResourceCache } from '../resource-cache.ts';

/** Objects looked at between two turns of the event loop, while a new quota's usage is found out. */
const PIECE = 200;

/** What a write would add, until the cache shows it. */
interface Reservation {
  /** The revision that the write replaces: whatever is newer than that and shown decides it. */
  base: number;
  usage: Usage;
}

/** One quota: its bounds, what the objects of its namespace use of them, and what writes on their way will. */
export class Tally {
  readonly name: string;
  readonly spec: NonNullable<ResourceQuota['spec']>;
  readonly hard: ReadonlyMap<string, Quantity>;
  /** Resources whose objects count, as `plural.group`. */
  readonly sources: ReadonlySet<string>;
  readonly #namespace: string;
  readonly #clock: { now(): number };
  readonly #used = new Map<string, Quantity>();
  readonly #counted = new Map<string, Usage>();
  readonly #reserved: Map<string, Reservation[]>;
  /** Resources that have been counted (true) or are being. */
  readonly #caches = new Map<ResourceCache, true | Counting>();

  /** `before`: the same quota with other bounds, whose reservations stay. */
  constructor({ metadata, spec = {} }: ResourceQuota, clock: { now(): number }, before?: Tally) {
    this.#reserved = before ? before.#reserved : new Map();
    this.name = metadata.name;
    this.#namespace = metadata.namespace ?? '';
    this.#clock = clock;
    this.spec = spec;
    this.hard = new Map(Object.entries(spec.hard ?? {}).map(([name, amount]) => [name, parseQuantity(amount)]));
    this.sources = new Set([...this.hard.keys()].map(quotaSourceOf));
    for (const name of this.hard.keys()) this.#used.set(name, ZERO);
  }

  /** Counts the resource's objects if that has not been done; undefined when it has. */
  count(cache: ResourceCache, resource: Resource): Promise<void> | undefined {
    const known = this.#caches.get(cache);
    if (known === true) return undefined;
    if (known) return known.done;
    const counting: Counting = { touched: new Set(), done: Promise.resolve() };
    this.#caches.set(cache, counting);
    counting.done = this.#walk(cache, resource, counting.touched);
    return counting.done;
  }

  /** The object is this now, or gone. */
  changed(cache: ResourceCache, resource: Resource, key: string, object: KubeObject | undefined, revision: number): void {
    const known = this.#caches.get(cache);
    if (!known) return;
    const full = cache.prefix + key;
    if (known !== true) known.touched.add(key);
    this.#put(full, object && this.#usageOf(resource, object));
    const left = this.#reserved.get(full)?.filter(({ base }) => base >= revision);
    if (!left) return;
    if (left.length > 0) this.#reserved.set(full, left);
    else this.#reserved.delete(full);
  }

  /** What is wrong with a write that makes `object`, or what it would use. */
  judge(resource: Resource, full: string, object: KubeObject, isCreation: boolean): { refusal: string } | { usage: Usage } {
    if (!isInQuotaScope(this.spec, resource, object)) return { usage: {} };
    if (isCreation && resource.plural === 'pods' && resource.group === '') {
      const missing = missingForQuota([...this.hard.keys()], (object as Pod).spec);
      const list = [...missing]
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([name, containers]) => `${name} for: ${containers.sort().join(',')}`);
      if (list.length > 0) return { refusal: `failed quota: ${this.name}: must specify ${list.join('; ')}` };
    }
    const before = isCreation ? {} : (this.#counted.get(full) ?? {});
    const usage: Usage = {};
    for (const [name, { nano, format }] of Object.entries(this.#usageOf(resource, object))) {
      const more = nano - (before[name]?.nano ?? 0n);
      if (more > 0n) usage[name] = { nano: more, format };
    }
    const exceeded = Object.keys(usage)
      .filter(name => this.#taken(name).nano + usage[name]!.nano > this.hard.get(name)!.nano)
      .sort();
    if (exceeded.length === 0) return { usage };
    const show = (of: (name: string) => Quantity) => exceeded.map(name => `${name}=${formatQuantity(of(name))}`).join(',');
    return {
      refusal: `exceeded quota: ${this.name}, requested: ${show(name => usage[name]!)}, used: ${show(name => this.#taken(name))}, limited: ${show(name => this.hard.get(name)!)}`,
    };
  }

  /** Keeps room for a write on its way. Returns what gives it back. */
  reserve(full: string, base: number, usage: Usage): () => void {
    const reservation = { base, usage };
    this.#reserved.set(full, [...(this.#reserved.get(full) ?? []), reservation]);
    return () => {
      const left = this.#reserved.get(full)?.filter(one => one !== reservation) ?? [];
      if (left.length > 0) this.#reserved.set(full, left);
      else this.#reserved.delete(full);
    };
  }

  /** The quota's status: what is there, without what is on its way. */
  get status(): { hard: Record<string, string>; used: Record<string, string> } {
    const texts = (of: Iterable<[string, Quantity]>) => Object.fromEntries([...of].map(([name, amount]) => [name, formatQuantity(amount)]));
    return { hard: texts(this.hard), used: texts(this.#used) };
  }

  #taken(name: string): Quantity {
    let sum = this.#used.get(name) ?? ZERO;
    for (const reservations of this.#reserved.values()) for (const { usage } of reservations) if (usage[name]) sum = plus(sum, usage[name]);
    return sum;
  }

  #usageOf(resource: Resource, object: KubeObject): Usage {
    const masked: Usage = {};
    if (!isInQuotaScope(this.spec, resource, object)) return masked;
    const usage = quotaUsageOf(resource, object, this.#clock.now());
    for (const name of this.hard.keys()) if (usage[name]) masked[name] = usage[name];
    return masked;
  }

  #put(full: string, usage: Usage | undefined): void {
    const before = this.#counted.get(full);
    for (const name in before) this.#used.set(name, minus(this.#used.get(name) ?? ZERO, before[name]!));
    for (const name in usage) this.#used.set(name, plus(this.#used.get(name) ?? ZERO, usage[name]!));
    if (usage) this.#counted.set(full, usage);
    else this.#counted.delete(full);
  }

  /** What changes meanwhile has been told by `changed`. */
  async #walk(cache: ResourceCache, resource: Resource, touched: ReadonlySet<string>): Promise<void> {
    const { view } = cache.snapshot();
    let inPiece = 0;
    for (const stored of view.range(`${this.#namespace}/`, `${this.#namespace}0`)) {
      if (++inPiece % PIECE === 0) await new Promise(resolve => setImmediate(resolve));
      if (!touched.has(stored.key)) this.#put(cache.prefix + stored.key, this.#usageOf(resource, stored.object()));
    }
    this.#caches.set(cache, true);
  }
}

interface Counting {
  touched: Set<string>;
  done: Promise<void>;
}

const ZERO: Quantity = { nano: 0n, format: 'DecimalSI' };

function plus(a: Quantity, b: Quantity): Quantity {
  return { nano: a.nano + b.nano, format: a.nano === 0n ? b.format : a.format };
}

function minus(a: Quantity, b: Quantity): Quantity {
  return { nano: a.nano - b.nano, format: a.format };
}
