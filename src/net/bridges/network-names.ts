import type { Answer, Question } from 'dns-packet';
import { NOERROR, type ZoneAnswer } from '../dns-zones.ts';

/** A container in a network, as the others there may call it. */
export interface NamedEndpoint {
  /** Unique in its network. */
  id: string;
  /** What its address is called in turn. */
  name: string;
  /** All of its names, in any spelling. */
  names: readonly string[];
  addresses: readonly string[];
}

/** A network as one of its containers sees it. */
export interface JoinedNetwork {
  id: string;
  name: string;
  /** Names of this container's own for others: alias by what they are called. */
  links?: Readonly<Record<string, string>>;
}

/** Seconds for which others may remember an answer: docker's. */
const TTL_SECONDS = 600;

/** Who is in which network under which names. Answers by the networks of who asks. Pure: knows nothing of sockets. */
export class NetworkNames {
  readonly #networks = new Map<string, { endpoints: Map<string, NamedEndpoint>; byName: Map<string, Set<NamedEndpoint>> }>();
  #turn = 0;

  /** Adds an endpoint, or changes what it is called. */
  put(networkId: string, endpoint: NamedEndpoint): void {
    this.drop(networkId, endpoint.id);
    const network = this.#networks.get(networkId) ?? { endpoints: new Map(), byName: new Map() };
    this.#networks.set(networkId, network);
    network.endpoints.set(endpoint.id, endpoint);
    for (const name of namesOf(endpoint)) network.byName.set(name, (network.byName.get(name) ?? new Set()).add(endpoint));
  }

  /** Removes an endpoint. One that is not there is ignored. */
  drop(networkId: string, endpointId: string): void {
    const network = this.#networks.get(networkId);
    const endpoint = network?.endpoints.get(endpointId);
    if (!network || !endpoint) return;
    network.endpoints.delete(endpointId);
    for (const name of namesOf(endpoint)) {
      const same = network.byName.get(name);
      same?.delete(endpoint);
      if (same?.size === 0) network.byName.delete(name);
    }
    if (network.endpoints.size === 0) this.#networks.delete(networkId);
  }

  /** The answer for a container in these networks; undefined when nobody there is called so, and others are to be asked. */
  answer(joined: readonly JoinedNetwork[], { name, type }: Question): ZoneAnswer | undefined {
    const asked = normal(name);
    if (type === 'PTR') return this.#reverse(joined, name, asked);
    const found = this.#find(joined, asked);
    if (!found) return undefined;
    const isWanted = (address: string) => (address.includes(':') ? type === 'AAAA' : type === 'A');
    const addresses = this.#turned(found.flatMap(({ addresses }) => addresses).filter(isWanted));
    return answered(addresses.map(data => ({ type: type as 'A' | 'AAAA', name, ttl: TTL_SECONDS, data })));
  }

  /** In the first network that knows the name; `web.shop` is `web` in the network `shop`. */
  #find(joined: readonly JoinedNetwork[], asked: string): NamedEndpoint[] | undefined {
    for (let dot = asked.length; dot > 0; dot = asked.lastIndexOf('.', dot - 1)) {
      const [label, networkName] = [asked.slice(0, dot), asked.slice(dot + 1)];
      for (const network of joined) {
        if (networkName && normal(network.name) !== networkName) continue;
        const meant = networkName ? label : normal(network.links?.[label] ?? label);
        const found = this.#networks.get(network.id)?.byName.get(meant);
        if (found) return [...found];
      }
    }
    return undefined;
  }

  #reverse(joined: readonly JoinedNetwork[], name: string, asked: string): ZoneAnswer | undefined {
    for (const network of joined)
      for (const endpoint of this.#networks.get(network.id)?.endpoints.values() ?? [])
        if (endpoint.addresses.some(address => reverseName(address) === asked))
          return answered([{ type: 'PTR', name, ttl: TTL_SECONDS, data: `${endpoint.name}.${network.name}` }]);
    return undefined;
  }

  /** Another one first each time, so that clients that take the first spread themselves. */
  #turned(list: string[]): string[] {
    if (list.length < 2) return list;
    const first = this.#turn++ % list.length;
    return [...list.slice(first), ...list.slice(0, first)];
  }
}

/** `2.0.18.172.in-addr.arpa`, or the 32 digits of `ip6.arpa`. */
export function reverseName(address: string): string {
  if (!address.includes(':')) return `${address.split('.').reverse().join('.')}.in-addr.arpa`;
  const [head = '', tail = ''] = address.split('::');
  const groups = (part: string) => (part ? part.split(':').map(group => group.padStart(4, '0')) : []);
  const [front, back] = [groups(head), groups(tail)];
  const zeros = Array.from({ length: 8 - front.length - back.length }, () => '0000');
  return `${[...[...front, ...zeros, ...back].join('')].reverse().join('.')}.ip6.arpa`;
}

function answered(answers: Answer[]): ZoneAnswer {
  return { rcode: NOERROR, answers, authorities: [], additionals: [] };
}

function namesOf({ name, names }: NamedEndpoint): Set<string> {
  return new Set([name, ...names].map(normal));
}

function normal(name: string): string {
  return (name.endsWith('.') ? name.slice(0, -1) : name).toLowerCase();
}
