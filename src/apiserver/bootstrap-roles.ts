import type { Draft } from '#kinds/kind.ts';
import type { ClusterRole, ClusterRoleBinding, PolicyRule, Subject } from '#kinds/types.gen.ts';
import { NODE_RULES } from './node-authorizer.ts';

/** A role or binding as it is to be: without what the server gives it. */
export type BootstrapRole = Draft<ClusterRole> & { metadata: { name: string } };
export type BootstrapBinding = Draft<ClusterRoleBinding> & { metadata: { name: string } };

const RBAC = 'rbac.authorization.k8s.io';
const AGGREGATE = `${RBAC}/aggregate-to-`;
const READ = 'get list watch';
const WRITE = 'create delete deletecollection patch update';
const READ_WRITE = `${READ} ${WRITE}`;
const EVENTS = allow('create patch update', ' events.k8s.io', 'events');

/** The ClusterRoles of every cluster, as far as what they speak of exists here. */
export function bootstrapClusterRoles(): BootstrapRole[] {
  return [
    role('cluster-admin', [allow('*', '*', '*'), allowPaths('*', '*')]),
    aggregated('admin', 'admin'),
    aggregated('edit', 'edit', ['admin']),
    aggregated('view', 'view', ['edit']),
    role('system:aggregate-to-admin', ADMIN_RULES, ['admin']),
    role('system:aggregate-to-edit', EDIT_RULES, ['edit']),
    role('system:aggregate-to-view', VIEW_RULES, ['view']),
    role('system:basic-user', [
      allow('create', 'authorization.k8s.io', 'selfsubjectaccessreviews selfsubjectrulesreviews'),
      allow('create', 'authentication.k8s.io', 'selfsubjectreviews'),
    ]),
    role('system:discovery', [
      allowPaths('get', '/api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/'),
    ]),
    role('system:public-info-viewer', [allowPaths('get', '/healthz /livez /readyz /version /version/')]),
    role('system:monitoring', [allowPaths('get', '/healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/*')]),
    role('system:service-account-issuer-discovery', [allowPaths('get', '/.well-known/openid-configuration /openid/v1/jwks')]),
    role('system:auth-delegator', [
      allow('create', 'authentication.k8s.io', 'tokenreviews'),
      allow('create', 'authorization.k8s.io', 'subjectaccessreviews'),
    ]),
    role('system:kubelet-api-admin', [
      allow(`${READ} proxy`, '', 'nodes'),
      allow('*', '', 'nodes/log nodes/metrics nodes/proxy nodes/stats nodes/checkpoint nodes/configz nodes/healthz nodes/pods'),
    ]),
    // Bound to nobody: nodes are judged by the Node authorizer.
    role('system:node', NODE_RULES),
    role('system:node-proxier', [
      allow('list watch', '', 'services endpoints'),
      allow(READ, '', 'nodes'),
      allow('list watch', 'discovery.k8s.io', 'endpointslices'),
      EVENTS,
    ]),
    role('system:kube-dns', [allow('list watch', '', 'services endpoints')]),
    role('system:kube-scheduler', SCHEDULER_RULES),
    role('system:kube-controller-manager', [
      EVENTS,
      allow('create', 'coordination.k8s.io', 'leases'),
      allow('get update', 'coordination.k8s.io', 'leases', 'kube-controller-manager'),
      allow('create get update', '', 'secrets serviceaccounts'),
      allow('delete', '', 'secrets'),
      allow('get', '', 'namespaces configmaps'),
      allow('create', 'authentication.k8s.io', 'tokenreviews'),
      allow('create', 'authorization.k8s.io', 'subjectaccessreviews'),
      allow('list watch', '*', '*'),
      allow('create', '', 'serviceaccounts/token'),
    ]),
    ...Object.entries(CONTROLLER_RULES).map(([name, rules]) => role(`system:controller:${name}`, rules)),
  ];
}

/** Who is bound to them from the start. */
export function bootstrapClusterRoleBindings(): BootstrapBinding[] {
  return [
    bind('cluster-admin', [group('system:masters')]),
    bind('kubeadm:cluster-admins', [group('kubeadm:cluster-admins')], 'cluster-admin'),
    bind('system:basic-user', [group('system:authenticated')]),
    bind('system:discovery', [group('system:authenticated')]),
    bind('system:public-info-viewer', [group('system:authenticated'), group('system:unauthenticated')]),
    bind('system:monitoring', [group('system:monitoring')]),
    bind('system:service-account-issuer-discovery', [group('system:serviceaccounts')]),
    bind('system:node-proxier', [user('system:kube-proxy')]),
    bind('system:kube-dns', [account('kube-dns')]),
    bind('system:kube-scheduler', [user('system:kube-scheduler')]),
    bind('system:kube-controller-manager', [user('system:kube-controller-manager')]),
    bind('system:node', []),
    ...Object.keys(CONTROLLER_RULES).map(name => bind(`system:controller:${name}`, [account(name)])),
  ];
}

const ADMIN_RULES = [allow('create', 'authorization.k8s.io', 'localsubjectaccessreviews'), allow(READ_WRITE, RBAC, 'roles rolebindings')];

const EDIT_RULES = [
  allow(READ, '', 'pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy'),
  allow('impersonate', '', 'serviceaccounts'),
  allow(WRITE, '', 'pods pods/attach pods/exec pods/portforward pods/proxy'),
  allow('create', '', 'pods/eviction'),
  allow(
    WRITE,
    '',
    'configmaps events persistentvolumeclaims replicationcontrollers replicationcontrollers/scale secrets serviceaccounts services services/proxy',
  ),
  allow('create', '', 'serviceaccounts/token'),
  allow(
    WRITE,
    'apps',
    'daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale statefulsets statefulsets/scale',
  ),
  allow(WRITE, 'autoscaling', 'horizontalpodautoscalers'),
  allow(WRITE, 'batch', 'cronjobs jobs'),
  allow(WRITE, 'policy', 'poddisruptionbudgets'),
  allow(WRITE, 'networking.k8s.io', 'ingresses networkpolicies'),
  allow(READ_WRITE, 'coordination.k8s.io', 'leases'),
  allow(WRITE, 'resource.k8s.io', 'resourceclaims resourceclaimtemplates'),
];

const VIEW_RULES = [
  allow(
    READ,
    '',
    'configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods replicationcontrollers replicationcontrollers/scale serviceaccounts services services/status',
  ),
  allow(
    READ,
    '',
    'bindings events limitranges namespaces/status pods/log pods/status replicationcontrollers/status resourcequotas resourcequotas/status',
  ),
  allow(READ, '', 'namespaces'),
  allow(READ, 'discovery.k8s.io', 'endpointslices'),
  allow(
    READ,
    'apps',
    'controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status replicasets replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status',
  ),
  allow(READ, 'autoscaling', 'horizontalpodautoscalers horizontalpodautoscalers/status'),
  allow(READ, 'batch', 'cronjobs cronjobs/status jobs jobs/status'),
  allow(READ, 'policy', 'poddisruptionbudgets poddisruptionbudgets/status'),
  allow(READ, 'networking.k8s.io', 'ingresses ingresses/status networkpolicies'),
  allow(READ, 'resource.k8s.io', 'resourceclaims resourceclaims/status resourceclaimtemplates'),
];

const SCHEDULER_RULES = [
  EVENTS,
  allow('create', 'coordination.k8s.io', 'leases'),
  allow('get list watch update', 'coordination.k8s.io', 'leases', 'kube-scheduler'),
  allow(READ, '', 'nodes namespaces replicationcontrollers services persistentvolumeclaims persistentvolumes'),
  allow(`${READ} delete`, '', 'pods'),
  allow('create', '', 'bindings pods/binding'),
  allow('patch update', '', 'pods/status'),
  allow(READ, 'apps', 'replicasets statefulsets'),
  allow(READ, 'policy', 'poddisruptionbudgets'),
  allow(READ, 'storage.k8s.io', 'csinodes csidrivers csistoragecapacities storageclasses'),
  allow(READ, 'scheduling.k8s.io', 'priorityclasses'),
  allow('create', 'authentication.k8s.io', 'tokenreviews'),
  allow('create', 'authorization.k8s.io', 'subjectaccessreviews'),
];

/** Our controllers under upstream's names, each a service account in `kube-system`. Informers of their own: so they list and watch what they read. */
const CONTROLLER_RULES: Record<string, PolicyRule[]> = {
  'deployment-controller': [
    allow(`${READ} update`, 'apps', 'deployments'),
    allow('update', 'apps', 'deployments/status deployments/finalizers'),
    allow(`${READ} create update patch delete`, 'apps', 'replicasets'),
    allow(`${READ} update`, '', 'pods'),
    EVENTS,
  ],
  'replicaset-controller': [
    allow(`${READ} update`, 'apps', 'replicasets'),
    allow('update', 'apps', 'replicasets/status replicasets/finalizers'),
    allow(`${READ} create delete patch`, '', 'pods'),
    EVENTS,
  ],
  'endpointslice-controller': [
    allow(READ, '', 'services pods nodes'),
    allow('update', '', 'services/finalizers'),
    allow(`${READ} create update patch delete`, 'discovery.k8s.io', 'endpointslices'),
    EVENTS,
  ],
  'namespace-controller': [
    allow(`${READ} delete`, '', 'namespaces'),
    allow('update', '', 'namespaces/finalize namespaces/status'),
    allow(`${READ} delete deletecollection`, '*', '*'),
  ],
  'generic-garbage-collector': [allow(`${READ} patch update delete`, '*', '*'), EVENTS],
  'service-account-controller': [allow(READ, '', 'namespaces'), allow(`${READ} create`, '', 'serviceaccounts'), EVENTS],
  'root-ca-cert-publisher': [allow(READ, '', 'namespaces'), allow(`${READ} create update`, '', 'configmaps'), EVENTS],
  'node-controller': [
    allow(`${READ} delete update patch`, '', 'nodes'),
    allow('patch update', '', 'nodes/status pods/status'),
    allow(`${READ} delete`, '', 'pods'),
    allow(READ, 'coordination.k8s.io', 'leases'),
    EVENTS,
  ],
};

function allow(verbs: string, groups: string, resources: string, resourceNames?: string): PolicyRule {
  const rule = { apiGroups: groups.split(' '), resources: resources.split(' '), verbs: verbs.split(' ') };
  return resourceNames === undefined ? rule : { ...rule, resourceNames: resourceNames.split(' ') };
}

function allowPaths(verbs: string, paths: string): PolicyRule {
  return { nonResourceURLs: paths.split(' '), verbs: verbs.split(' ') };
}

function metadata(name: string, aggregateTo: string[] = []): BootstrapRole['metadata'] {
  const labels = Object.fromEntries(aggregateTo.map(target => [`${AGGREGATE}${target}`, 'true']));
  return {
    name,
    labels: { 'kubernetes.io/bootstrapping': 'rbac-defaults', ...labels },
    annotations: { 'rbac.authorization.kubernetes.io/autoupdate': 'true' },
  };
}

function role(name: string, rules: PolicyRule[], aggregateTo?: string[]): BootstrapRole {
  return { apiVersion: `${RBAC}/v1`, kind: 'ClusterRole', metadata: metadata(name, aggregateTo), rules };
}

function aggregated(name: string, label: string, aggregateTo?: string[]): BootstrapRole {
  const aggregationRule = { clusterRoleSelectors: [{ matchLabels: { [`${AGGREGATE}${label}`]: 'true' } }] };
  return { ...role(name, [], aggregateTo), aggregationRule };
}

function bind(name: string, subjects: Subject[], roleName = name): BootstrapBinding {
  const roleRef = { apiGroup: RBAC, kind: 'ClusterRole', name: roleName };
  return { apiVersion: `${RBAC}/v1`, kind: 'ClusterRoleBinding', metadata: metadata(name), roleRef, subjects };
}

function group(name: string): Subject {
  return { apiGroup: RBAC, kind: 'Group', name };
}

function user(name: string): Subject {
  return { apiGroup: RBAC, kind: 'User', name };
}

function account(name: string): Subject {
  return { kind: 'ServiceAccount', name, namespace: 'kube-system' };
}
