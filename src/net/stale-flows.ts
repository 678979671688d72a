import { endpointsOf, isServiceRule, type Rule } from './rules.ts';

/** A port that led somewhere over UDP and no longer does: flows tracked before the change still would. */
export interface StaleTarget {
  port: number;
  address: string;
  targetPort: number;
}

/** Where datagrams were led before and are not any more; the kernel must forget these flows after the change. */
export function planStaleFlows(before: Iterable<Rule>, after: Iterable<Rule>): StaleTarget[] {
  const [old, now] = [udpTargets(before), udpTargets(after)];
  return [...old].filter(([key]) => !now.has(key)).map(([, target]) => target);
}

function udpTargets(rules: Iterable<Rule>): Map<string, StaleTarget> {
  const targets = new Map<string, StaleTarget>();
  const add = (id: string, port: number, address: string, targetPort: number) =>
    void targets.set(`${id} ${port} ${address} ${targetPort}`, { port, address, targetPort });
  for (const rule of rules) {
    if (!isServiceRule(rule)) {
      if (rule.protocol === 'udp') add(rule.id, rule.hostPort, rule.address, rule.port);
      continue;
    }
    for (const served of rule.ports) {
      if (served.protocol !== 'udp') continue;
      for (const endpoint of endpointsOf(served)) {
        add(rule.id, served.port, endpoint.address, endpoint.port);
        if (served.nodePort !== undefined) add(rule.id, served.nodePort, endpoint.address, endpoint.port);
      }
    }
  }
  return targets;
}
