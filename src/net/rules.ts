/** What a node's kernel is to do with Services and published ports, free of nftables' language. */

export type Protocol = 'tcp' | 'udp' | 'sctp';

export interface Endpoint {
  address: string;
  port: number;
}

export interface ServicePort {
  protocol: Protocol;
  port: number;
  nodePort?: number;
  /** In the whole cluster. */
  endpoints: readonly Endpoint[];
  /** On this node: where a policy is `Local`, packets lead to these alone. */
  localEndpoints?: readonly Endpoint[];
}

/** What one Service means to this node's kernel. A headless one has no addresses, and no rules. */
export interface ServiceRule {
  /** Unique among all rules, e.g. `default/web`. */
  id: string;
  /** ClusterIPs. */
  addresses: readonly string[];
  /** Where those outside reach it besides node ports: external addresses and load balancers'. */
  externalAddresses?: readonly string[];
  ports: readonly ServicePort[];
  /** Of its addresses, those to which only some may come: `loadBalancerSourceRanges`. */
  restricted?: { addresses: readonly string[]; sources: readonly string[] };
  /** `internalTrafficPolicy: Local`: ClusterIPs lead to this node's endpoints; while others have some, packets for none are dropped. */
  internalPolicyLocal?: boolean;
  /** `externalTrafficPolicy: Local`: the same of what comes from outside to node ports and external addresses. Pods and this machine see all. */
  externalPolicyLocal?: boolean;
  /** `sessionAffinity: ClientIP`: a client stays with its endpoint until it has begun nothing new for so long. */
  affinitySeconds?: number;
}

/** One port of the node that leads to a pod: a container's `hostPort`, or what docker calls a published port. */
export interface HostPortRule {
  /** Unique among all rules, e.g. `hostport/<sandbox>/8080/tcp`. */
  id: string;
  /** All addresses of the node when absent. */
  hostIp?: string;
  protocol: Protocol;
  hostPort: number;
  address: string;
  port: number;
}

export type Rule = ServiceRule | HostPortRule;

/** True for a Service's rule. */
export function isServiceRule(rule: Rule): rule is ServiceRule {
  return 'ports' in rule;
}

/** All endpoints to which a port leads, for whomever. */
export function endpointsOf({ endpoints, localEndpoints = [] }: ServicePort): Endpoint[] {
  return [...endpoints, ...localEndpoints];
}
