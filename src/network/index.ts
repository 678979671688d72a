/**
 * What Services mean on this node: rules for the kernel, names for the DNS server.
 *
 * `service-rules.ts` and `dns-records.ts` are pure translations of one Service with its EndpointSlices; `cluster-network.ts` watches and
 * writes the difference; `health-check-ports.ts` answers load balancers that ask for this node's endpoints. Not here: which pods stand
 * behind a Service (the endpoint slice controller), NetworkPolicies (later).
 */
export { ClusterNetwork, type ClusterNetworkOptions } from './cluster-network.ts';
export { reverseOf, toDnsRecords } from './dns-records.ts';
export { type HealthCheck, HealthCheckPorts, type HealthCheckPortsOptions } from './health-check-ports.ts';
export { HostPorts, type HostPortsOptions } from './host-ports.ts';
export { toHealthCheck, toServiceRule } from './service-rules.ts';
