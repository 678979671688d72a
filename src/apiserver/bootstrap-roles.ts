import type { Draft } from '#kinds/kind.ts';
import type { ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, Subject } from '#kinds/types.gen.ts';
import { CONTROLLER_RULES, MONITORING_PATHS, NAMESPACED_RULES } from './bootstrap-controller-roles.ts';
import { allow, allowPaths, EVENTS, READ, WRITE } from './bootstrap-rules.ts';
import { NODE_RULES } from './node-authorizer.ts';

/** A role or binding as it is to be: without what the server gives it. */
export type BootstrapRole = Draft<ClusterRole> & { metadata: { name: string } };
export type BootstrapBinding = Draft<ClusterRoleBinding> & { metadata: { name: string } };
export type BootstrapLocal = Draft<Role | RoleBinding> & { metadata: { name: string; namespace: string } };

const RBAC = 'rbac.authorization.k8s.io';
const AGGREGATE = `${RBAC}/aggregate-to-`;
const READ_WRITE = `${READ} ${WRITE}`;

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
    role('system:aggregated-metrics-reader', [allow(READ, 'metrics.k8s.io', 'pods nodes')], ['view', 'edit', 'admin']),
    role('system:basic-user', [
      allow('create', 'authorization.k8s.io', 'selfsubjectaccessreviews selfsubjectrulesreviews'),
      allow('create', 'authentication.k8s.io', 'selfsubjectreviews'),
    ]),
    role('system:discovery', [
      allowPaths('get', '/api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/'),
    ]),
    role('system:public-info-viewer', [allowPaths('get', '/healthz /livez /readyz /version /version/')]),
    role('system:monitoring', [MONITORING_PATHS]),
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
    role('system:heapster', [allow(READ, '', 'events pods nodes namespaces'), allow(READ, 'extensions', 'deployments')]),
    role('system:node-problem-detector', [allow('get', '', 'nodes'), allow('patch', '', 'nodes/status'), EVENTS]),
    role('system:node-bootstrapper', [allow(`create ${READ}`, CERTIFICATES, 'certificatesigningrequests')]),
    role('system:kube-aggregator', [allow(READ, '', 'services endpoints'), allow(READ, 'discovery.k8s.io', 'endpointslices')]),
    role('system:persistent-volume-provisioner', [
      allow(`${READ} create delete`, '', 'persistentvolumes'),
      allow(`${READ} update`, '', 'persistentvolumeclaims'),
      allow(READ, 'storage.k8s.io', 'storageclasses'),
      allow('watch', '', 'events'),
      EVENTS,
    ]),
    role('system:volume-scheduler', [
      allow(`${READ} patch update`, '', 'persistentvolumes persistentvolumeclaims'),
      allow(READ, 'storage.k8s.io', 'storageclasses'),
    ]),
    role('system:cluster-trust-bundle-discovery', [allow(READ, CERTIFICATES, 'clustertrustbundles')]),
    role('system:certificates.k8s.io:certificatesigningrequests:nodeclient', [
      allow('create', CERTIFICATES, 'certificatesigningrequests/nodeclient'),
    ]),
    role('system:certificates.k8s.io:certificatesigningrequests:selfnodeclient', [
      allow('create', CERTIFICATES, 'certificatesigningrequests/selfnodeclient'),
    ]),
    ...SIGNERS.map(signer =>
      role(`system:certificates.k8s.io:${signer}-approver`, [allow('approve', CERTIFICATES, 'signers', `kubernetes.io/${signer}`)]),
    ),
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
    bind('system:cluster-trust-bundle-discovery', [group('system:serviceaccounts')]),
    bind('system:volume-scheduler', [user('system:kube-scheduler')]),
    // Whoever joins by a bootstrap token for nodes asks for a node's certificate; nodes renew their own.
    bind('kubeadm:kubelet-bootstrap', [group(JOINING)], 'system:node-bootstrapper'),
    bind('kubeadm:node-autoapprove-bootstrap', [group(JOINING)], 'system:certificates.k8s.io:certificatesigningrequests:nodeclient'),
    bind(
      'kubeadm:node-autoapprove-certificate-rotation',
      [group('system:nodes')],
      'system:certificates.k8s.io:certificatesigningrequests:selfnodeclient',
    ),
    ...Object.keys(CONTROLLER_RULES).map(name => bind(`system:controller:${name}`, [account(name)])),
  ];
}

/** Roles of one namespace and who is bound to them. */
export function bootstrapLocals(): BootstrapLocal[] {
  return NAMESPACED_RULES.flatMap(({ namespace, name, rules, to }): BootstrapLocal[] => {
    const common = { ...metadata(name), namespace };
    const made: BootstrapLocal = { apiVersion: `${RBAC}/v1`, kind: 'Role', metadata: common, rules } as Draft<Role> & BootstrapLocal;
    if (!to) return [made];
    const subjects = [to.account ? account(to.account) : user(to.user ?? '')];
    const roleRef = { apiGroup: RBAC, kind: 'Role', name };
    return [made, { apiVersion: `${RBAC}/v1`, kind: 'RoleBinding', metadata: common, roleRef, subjects } as BootstrapLocal];
  });
}

const CERTIFICATES = 'certificates.k8s.io';
/** What kubeadm gives the bootstrap tokens with which nodes join. */
const JOINING = 'system:bootstrappers:kubeadm:default-node-token';
const SIGNERS = ['kube-apiserver-client', 'kube-apiserver-client-kubelet', 'kubelet-serving', 'legacy-unknown'];

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
