import type { Draft } from '#kinds/kind.ts';
import type { FlowSchema, PriorityLevelConfiguration } from '#kinds/types.gen.ts';

type Rules = NonNullable<FlowSchema['spec']['rules']>[number];
type Subject = Rules['subjects'][number];
export type BootstrapFlow = Draft<FlowSchema> & { metadata: { name: string } };
export type BootstrapLevel = Draft<PriorityLevelConfiguration> & { metadata: { name: string } };

const API = 'flowcontrol.apiserver.k8s.io/v1';

/** Those that every cluster has as they are; the others may be changed. */
export const MANDATORY = new Set(['exempt', 'catch-all']);

/** The priority levels of every cluster. */
export function bootstrapLevels(): BootstrapLevel[] {
  return [
    level('exempt', { type: 'Exempt', exempt: { nominalConcurrencyShares: 0, lendablePercent: 0 } }),
    limited('catch-all', 5, 0),
    limited('system', 30, 33, { queues: 64, handSize: 6, queueLengthLimit: 50 }),
    limited('node-high', 40, 25, { queues: 64, handSize: 6, queueLengthLimit: 50 }),
    limited('leader-election', 10, 0, { queues: 16, handSize: 4, queueLengthLimit: 50 }),
    limited('workload-high', 40, 50, { queues: 128, handSize: 6, queueLengthLimit: 50 }),
    limited('workload-low', 100, 90, { queues: 128, handSize: 6, queueLengthLimit: 50 }),
    limited('global-default', 20, 50, { queues: 128, handSize: 6, queueLengthLimit: 50 }),
  ];
}

/** The flow schemas of every cluster. */
export function bootstrapFlows(): BootstrapFlow[] {
  const everything = { resourceRules: [resources('*', '*', '*')], nonResourceRules: [{ verbs: ['*'], nonResourceURLs: ['*'] }] };
  const leases = { resourceRules: [{ ...resources('get create update', 'coordination.k8s.io', 'leases'), clusterScope: false }] };
  const everybody = [group('system:unauthenticated'), group('system:authenticated')];
  const endpoints = ['endpoint-controller', 'endpointslice-controller', 'endpointslicemirroring-controller'];
  const ofNodes = [
    { ...resources('*', '', 'nodes nodes/status'), namespaces: ['*'] },
    { ...resources('*', 'coordination.k8s.io', 'leases'), clusterScope: false },
  ];
  return [
    flow('exempt', 'exempt', 1, undefined, { subjects: [group('system:masters')], ...everything }),
    flow('probes', 'exempt', 2, undefined, {
      subjects: everybody,
      nonResourceRules: [{ verbs: ['get'], nonResourceURLs: ['/healthz', '/readyz', '/livez'] }],
    }),
    flow('system-leader-election', 'leader-election', 100, 'ByUser', {
      subjects: [user('system:kube-controller-manager'), user('system:kube-scheduler')],
      ...leases,
    }),
    flow('endpoint-controller', 'workload-high', 150, 'ByUser', {
      subjects: [user('system:kube-controller-manager'), ...endpoints.map(account)],
      resourceRules: [
        { ...resources('get create update', '', 'endpoints'), clusterScope: false },
        { ...resources('get create update', 'discovery.k8s.io', 'endpointslices'), clusterScope: false },
      ],
    }),
    flow('workload-leader-election', 'leader-election', 200, 'ByUser', { subjects: [account('*')], ...leases }),
    flow('system-node-high', 'node-high', 400, 'ByUser', { subjects: [group('system:nodes')], resourceRules: ofNodes }),
    flow('system-nodes', 'system', 500, 'ByUser', { subjects: [group('system:nodes')], ...everything }),
    flow('kube-controller-manager', 'workload-high', 800, 'ByNamespace', {
      subjects: [user('system:kube-controller-manager')],
      ...everything,
    }),
    flow('kube-scheduler', 'workload-high', 800, 'ByNamespace', { subjects: [user('system:kube-scheduler')], ...everything }),
    flow('kube-system-service-accounts', 'workload-high', 900, 'ByNamespace', { subjects: [account('*')], ...everything }),
    flow('service-accounts', 'workload-low', 9000, 'ByUser', { subjects: [group('system:serviceaccounts')], ...everything }),
    flow('global-default', 'global-default', 9900, 'ByUser', { subjects: everybody, ...everything }),
    flow('catch-all', 'catch-all', 10_000, 'ByUser', { subjects: everybody, ...everything }),
  ];
}

function level(name: string, spec: PriorityLevelConfiguration['spec']): BootstrapLevel {
  return { apiVersion: API, kind: 'PriorityLevelConfiguration', metadata: metadata(name), spec };
}

function limited(
  name: string,
  nominalConcurrencyShares: number,
  lendablePercent: number,
  queuing?: { queues: number; handSize: number; queueLengthLimit: number },
): BootstrapLevel {
  const limitResponse = queuing ? { type: 'Queue', queuing } : { type: 'Reject' };
  return level(name, { type: 'Limited', limited: { nominalConcurrencyShares, lendablePercent, limitResponse } });
}

function flow(name: string, to: string, matchingPrecedence: number, by: 'ByUser' | 'ByNamespace' | undefined, rules: Rules): BootstrapFlow {
  const distinguisher = by ? { distinguisherMethod: { type: by } } : {};
  const spec = { matchingPrecedence, priorityLevelConfiguration: { name: to }, rules: [rules], ...distinguisher };
  return { apiVersion: API, kind: 'FlowSchema', metadata: metadata(name), spec };
}

function metadata(name: string) {
  return { name, annotations: { 'apf.kubernetes.io/autoupdate-spec': 'true' } };
}

function resources(verbs: string, groups: string, plurals: string) {
  return { verbs: verbs.split(' '), apiGroups: [groups], resources: plurals.split(' '), namespaces: ['*'], clusterScope: true };
}

function group(name: string): Subject {
  return { kind: 'Group', group: { name } };
}

function user(name: string): Subject {
  return { kind: 'User', user: { name } };
}

function account(name: string): Subject {
  return { kind: 'ServiceAccount', serviceAccount: { name, namespace: 'kube-system' } };
}
