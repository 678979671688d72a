import type { Answer, Question } from 'dns-packet';

/** What one name has. Addresses and targets are as they are written; names without the final dot. */
export interface DnsEntry {
  a?: readonly string[];
  aaaa?: readonly string[];
  srv?: readonly { target: string; port: number; priority?: number; weight?: number }[];
  /** The names of an address, under its `in-addr.arpa` name. */
  ptr?: readonly string[];
  /** An alias: it has nothing else. */
  cname?: string;
  txt?: readonly string[];
  /** Seconds that others may remember it; 5 when absent. */
  ttl?: number;
}

/** Entries by name, in lower case. */
export type DnsRecords = Readonly<Record<string, DnsEntry>>;

/** Names that changed: those set replace what the name had. */
export interface DnsDelta {
  set?: DnsRecords;
  removed?: readonly string[];
}

export const NOERROR = 0;
export const FORMERR = 1;
export const SERVFAIL = 2;
export const NXDOMAIN = 3;
export const NOTIMP = 4;
export const REFUSED = 5;

/** An answer of the zones that are ours. */
export interface ZoneAnswer {
  rcode: number;
  answers: Answer[];
  authorities: Answer[];
  additionals: Answer[];
  /** An alias leads out of our zones to this name: its records are to be asked for elsewhere. */
  chase?: string;
}

/** The answer about any name of ours before the first update. */
export const UNFILLED: ZoneAnswer = { rcode: SERVFAIL, answers: [], authorities: [], additionals: [] };

const DEFAULT_TTL_SECONDS = 5;
const MAX_ALIASES = 8;

/** The data of the zones that this server is the authority for. Pure: knows nothing of sockets. */
export class DnsZones {
  readonly #zones: readonly string[];
  readonly #entries = new Map<string, DnsEntry>();
  /** How many names lie below each name: such a name exists, though it may have nothing. */
  readonly #below = new Map<string, number>();
  #serial = 1;
  #isFilled = false;
  #turn = 0;

  constructor(zones: readonly string[]) {
    this.#zones = zones.map(normal).sort((a, b) => b.length - a.length);
  }

  /** Applies changes; answers from now on know them. */
  update({ set = {}, removed = [] }: DnsDelta): void {
    for (const name of removed) if (this.#entries.delete(normal(name))) this.#count(normal(name), -1);
    for (const [name, entry] of Object.entries(set)) {
      if (!this.#entries.has(normal(name))) this.#count(normal(name), 1);
      this.#entries.set(normal(name), entry);
    }
    this.#serial++;
    this.#isFilled = true;
  }

  /**
   * The answer to a question, or undefined when its name is in none of our zones. Before the first update nothing is known of any name:
   * SERVFAIL, where NXDOMAIN would be believed.
   */
  answer({ name, type }: Question): ZoneAnswer | undefined {
    const zone = this.#zoneOf(normal(name));
    if (zone === undefined) return undefined;
    if (!this.#isFilled) return UNFILLED;
    const answers: Answer[] = [];
    let owner = name;
    for (let hop = 0; hop < MAX_ALIASES; hop++) {
      const at = normal(owner);
      if (this.#zoneOf(at) === undefined) return { rcode: NOERROR, answers, authorities: [], additionals: [], chase: owner };
      const entry = this.#entries.get(at);
      if (!entry) return this.#negative(zone, this.#below.has(at) || this.#zones.includes(at) || hop > 0 ? NOERROR : NXDOMAIN, answers);
      if (entry.cname === undefined || type === 'CNAME') {
        const found = this.#recordsOf(owner, entry, type);
        if (at === zone && type === 'SOA') found.push(this.#soa(zone));
        if (found.length === 0) return this.#negative(zone, NOERROR, answers);
        return { rcode: NOERROR, answers: [...answers, ...found], authorities: [], additionals: this.#targetsOf(entry, type) };
      }
      answers.push({ type: 'CNAME', name: owner, ttl: ttlOf(entry), data: entry.cname });
      owner = entry.cname;
    }
    return { rcode: SERVFAIL, answers: [], authorities: [], additionals: [] };
  }

  #recordsOf(name: string, entry: DnsEntry, type: string): Answer[] {
    const ttl = ttlOf(entry);
    const is = (wanted: string) => type === wanted || type === 'ANY' || type === 'UNKNOWN_255';
    return [
      ...(is('A') ? this.#turned(entry.a).map(data => ({ type: 'A' as const, name, ttl, data })) : []),
      ...(is('AAAA') ? this.#turned(entry.aaaa).map(data => ({ type: 'AAAA' as const, name, ttl, data })) : []),
      ...(is('SRV')
        ? (entry.srv ?? []).map(data => ({ type: 'SRV' as const, name, ttl, data: { priority: 0, weight: 100, ...data } }))
        : []),
      ...(is('PTR') ? (entry.ptr ?? []).map(data => ({ type: 'PTR' as const, name, ttl, data })) : []),
      ...(is('TXT') && entry.txt ? [{ type: 'TXT' as const, name, ttl, data: [...entry.txt] }] : []),
      ...(is('CNAME') && entry.cname !== undefined ? [{ type: 'CNAME' as const, name, ttl, data: entry.cname }] : []),
    ];
  }

  /** Another one first each time, so that clients that take the first spread themselves. */
  #turned(list: readonly string[] = []): string[] {
    if (list.length < 2) return [...list];
    const first = this.#turn++ % list.length;
    return [...list.slice(first), ...list.slice(0, first)];
  }

  /** The addresses of the names that SRV records lead to. */
  #targetsOf(entry: DnsEntry, type: string): Answer[] {
    if (type !== 'SRV') return [];
    const targets = new Set((entry.srv ?? []).map(({ target }) => target));
    return [...targets].flatMap(target => {
      const found = this.#entries.get(normal(target));
      return found ? [...this.#recordsOf(target, found, 'A'), ...this.#recordsOf(target, found, 'AAAA')] : [];
    });
  }

  #negative(zone: string, rcode: number, answers: Answer[]): ZoneAnswer {
    return { rcode, answers, authorities: [this.#soa(zone)], additionals: [] };
  }

  #soa(zone: string): Answer {
    const data = {
      mname: `ns.dns.${zone}`,
      rname: `hostmaster.${zone}`,
      serial: this.#serial,
      refresh: 7200,
      retry: 1800,
      expire: 86400,
      minimum: 5,
    };
    return { type: 'SOA', name: zone, ttl: DEFAULT_TTL_SECONDS, data };
  }

  #zoneOf(name: string): string | undefined {
    return this.#zones.find(zone => name === zone || name.endsWith(`.${zone}`));
  }

  #count(name: string, by: number): void {
    for (let dot = name.indexOf('.'); dot >= 0; dot = name.indexOf('.', dot + 1)) {
      const parent = name.slice(dot + 1);
      const count = (this.#below.get(parent) ?? 0) + by;
      if (count > 0) this.#below.set(parent, count);
      else this.#below.delete(parent);
    }
  }
}

function normal(name: string): string {
  return (name.endsWith('.') ? name.slice(0, -1) : name).toLowerCase();
}

function ttlOf(entry: DnsEntry): number {
  return entry.ttl ?? DEFAULT_TTL_SECONDS;
}
