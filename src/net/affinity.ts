import { endpointsOf, isServiceRule, type Rule } from './rules.ts';

/** A client that the kernel keeps with an endpoint, for `sessionAffinity: ClientIP`. */
export interface Affinity {
  /** `saddr . daddr . protocol . port` of what the client began. */
  key: string;
  /** `address . port` of its endpoint. */
  endpoint: string;
  /** What is left of it, as nft prints and reads it: `timeout 3h expires 2h59m`. */
  lifetime: string;
}

/** Reads what `nft list map` prints. */
export function parseAffinities(listing: string): Affinity[] {
  const entry = /((?:[\d.]+ \. ){2}\w+ \. \d+) (timeout \w+ expires \w+) : ([\d.]+ \. \d+)/g;
  return [...listing.matchAll(entry)].map(([, key = '', lifetime = '', endpoint = '']) => ({ key, lifetime, endpoint }));
}

/** True when rules with affinity lost an endpoint or lead others elsewhere: then clients may be kept with what they must leave. */
export function losesAffinity(before: Iterable<Rule>, after: Iterable<Rule>): boolean {
  const now = targetsOf(after);
  return [...targetsOf(before)].some(([key, { endpoints, way }]) => {
    const left = now.get(key);
    return !left || left.way !== way || [...endpoints].some(endpoint => !left.endpoints.has(endpoint));
  });
}

/**
 * Of those kept, whom the rules still lead where they are. With `before`, whose way through the rules is another now (another
 * traffic policy) is not among them: which endpoints are theirs the kernel decides anew.
 */
export function planAffinities(kept: readonly Affinity[], rules: Iterable<Rule>, before?: Iterable<Rule>): Affinity[] {
  const now = targetsOf(rules);
  const old = before && targetsOf(before);
  return kept.filter(({ key, endpoint }) => {
    const [, daddr, protocol, port] = key.split(' . ');
    const target = [`${daddr} . ${protocol} . ${port}`, `${protocol} . ${port}`].find(each => now.has(each)) ?? '';
    const way = old?.get(target)?.way;
    return now.get(target)?.endpoints.has(endpoint) === true && (way === undefined || way === now.get(target)?.way);
  });
}

interface Target {
  endpoints: Set<string>;
  way: string;
}

/** By address and port, or by node port: the endpoints of what keeps its clients. */
function targetsOf(rules: Iterable<Rule>): Map<string, Target> {
  const targets = new Map<string, Target>();
  for (const rule of rules) {
    if (!isServiceRule(rule) || rule.affinitySeconds === undefined) continue;
    const way = `${rule.internalPolicyLocal ?? false} ${rule.externalPolicyLocal ?? false}`;
    for (const served of rule.ports) {
      const { protocol, port, nodePort } = served;
      const target = { way, endpoints: new Set(endpointsOf(served).map(endpoint => `${endpoint.address} . ${endpoint.port}`)) };
      for (const address of [...rule.addresses, ...(rule.externalAddresses ?? [])])
        targets.set(`${address} . ${protocol} . ${port}`, target);
      if (nodePort !== undefined) targets.set(`${protocol} . ${nodePort}`, target);
    }
  }
  return targets;
}
