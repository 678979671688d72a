import type { PolicyRule } from '#kinds/types.gen.ts';
import { allow, allowPaths, EVENTS, READ } from './bootstrap-rules.ts';

const CLAIMS = 'resourceclaims';
const SERVICE_READER = allow(READ, '', 'services pods nodes');

/**
 * Controllers under upstream's names, each a service account in `kube-system`, with the rules of its ClusterRole
 * `system:controller:<name>`. Informers of their own: so they list and watch what they read.
 */
export const CONTROLLER_RULES: Record<string, PolicyRule[]> = {
  'attachdetach-controller': [
    allow('list watch', '', 'persistentvolumes persistentvolumeclaims'),
    allow(READ, '', 'nodes'),
    allow('patch update', '', 'nodes/status'),
    allow('list watch', '', 'pods'),
    EVENTS,
    allow(`${READ} create delete`, 'storage.k8s.io', 'volumeattachments'),
    allow(READ, 'storage.k8s.io', 'csidrivers csinodes'),
  ],
  'certificate-controller': [
    allow(`${READ} delete`, 'certificates.k8s.io', 'certificatesigningrequests'),
    allow('update', 'certificates.k8s.io', 'certificatesigningrequests/approval certificatesigningrequests/status'),
    allow(
      'approve',
      'certificates.k8s.io',
      'signers',
      'kubernetes.io/kube-apiserver-client-kubelet kubernetes.io/kubelet-serving kubernetes.io/legacy-unknown',
    ),
    allow(
      'sign',
      'certificates.k8s.io',
      'signers',
      'kubernetes.io/kube-apiserver-client kubernetes.io/kube-apiserver-client-kubelet kubernetes.io/kubelet-serving kubernetes.io/legacy-unknown',
    ),
    allow('create', 'authorization.k8s.io', 'subjectaccessreviews'),
    EVENTS,
  ],
  'clusterrole-aggregation-controller': [allow(`escalate ${READ} patch update`, 'rbac.authorization.k8s.io', 'clusterroles')],
  'cronjob-controller': [
    allow(`${READ} update`, 'batch', 'cronjobs'),
    allow(`${READ} create update delete patch`, 'batch', 'jobs'),
    allow('update', 'batch', 'cronjobs/status cronjobs/finalizers'),
    allow('list watch delete', '', 'pods'),
    EVENTS,
  ],
  'daemon-set-controller': [
    allow(READ, 'apps', 'daemonsets'),
    allow('update', 'apps', 'daemonsets/status daemonsets/finalizers'),
    allow('list watch', '', 'nodes'),
    allow('list watch create delete patch', '', 'pods'),
    allow('create', '', 'pods/binding'),
    allow(`${READ} create delete update patch`, 'apps', 'controllerrevisions'),
    EVENTS,
  ],
  'deployment-controller': [
    allow(`${READ} update`, 'apps', 'deployments'),
    allow('update', 'apps', 'deployments/status deployments/finalizers'),
    allow(`${READ} create update patch delete`, 'apps', 'replicasets'),
    allow(`${READ} update`, '', 'pods'),
    EVENTS,
  ],
  'device-taint-eviction-controller': [
    allow(`${READ} delete`, '', 'pods'),
    allow('patch update', '', 'pods/status'),
    allow(READ, 'resource.k8s.io', `${CLAIMS} resourceslices deviceclasses devicetaintrules`),
    EVENTS,
  ],
  'disruption-controller': [
    allow(READ, 'apps', 'deployments replicasets statefulsets'),
    allow(READ, '', 'replicationcontrollers'),
    allow(READ, 'policy', 'poddisruptionbudgets'),
    allow('get list', '', 'pods'),
    allow('list watch', '', 'pods'),
    allow('patch update', '', 'pods/status'),
    allow('update', 'policy', 'poddisruptionbudgets/status'),
    allow('get', '*', '*/scale'),
    EVENTS,
  ],
  'endpoint-controller': [
    SERVICE_READER,
    allow(`${READ} create update delete`, '', 'endpoints'),
    allow('create', '', 'endpoints/restricted'),
    EVENTS,
  ],
  'endpointslice-controller': [
    SERVICE_READER,
    allow('update', '', 'services/finalizers'),
    allow(`${READ} create update patch delete`, 'discovery.k8s.io', 'endpointslices'),
    allow('create', 'discovery.k8s.io', 'endpointslices/restricted'),
    EVENTS,
  ],
  'endpointslicemirroring-controller': [
    allow(READ, '', 'endpoints services'),
    allow('update', '', 'services/finalizers endpoints/finalizers'),
    allow(`${READ} create update delete`, 'discovery.k8s.io', 'endpointslices'),
    allow('create', 'discovery.k8s.io', 'endpointslices/restricted'),
    EVENTS,
  ],
  'ephemeral-volume-controller': [
    allow(READ, '', 'pods'),
    allow('update', '', 'pods/finalizers'),
    allow(`${READ} create`, '', 'persistentvolumeclaims'),
    EVENTS,
  ],
  'expand-controller': [
    allow(`${READ} update patch`, '', 'persistentvolumes'),
    allow('update patch', '', 'persistentvolumeclaims/status'),
    allow(READ, '', 'persistentvolumeclaims'),
    allow(READ, 'storage.k8s.io', 'storageclasses'),
    allow('get', '', 'services endpoints'),
    allow('get', '', 'secrets'),
    EVENTS,
  ],
  'generic-garbage-collector': [allow(`${READ} patch update delete`, '*', '*'), EVENTS],
  'horizontal-pod-autoscaler': [
    allow(READ, 'autoscaling', 'horizontalpodautoscalers'),
    allow('update', 'autoscaling', 'horizontalpodautoscalers/status'),
    allow('get update', '*', '*/scale'),
    allow('list watch', '', 'pods'),
    allow('list', 'metrics.k8s.io', 'pods'),
    allow('get list', 'custom.metrics.k8s.io', '*'),
    allow('get list', 'external.metrics.k8s.io', '*'),
    EVENTS,
  ],
  'job-controller': [
    allow(`${READ} update patch`, 'batch', 'jobs'),
    allow('update', 'batch', 'jobs/status jobs/finalizers'),
    allow('list watch create delete patch', '', 'pods'),
    EVENTS,
  ],
  'legacy-service-account-token-cleaner': [
    allow(READ, '', 'configmaps', 'kube-apiserver-legacy-service-account-token-tracking'),
    allow(`${READ} patch delete`, '', 'secrets'),
    allow('list watch', '', 'pods serviceaccounts'),
  ],
  'namespace-controller': [
    allow(`${READ} delete`, '', 'namespaces'),
    allow('update', '', 'namespaces/finalize namespaces/status'),
    allow(`${READ} delete deletecollection`, '*', '*'),
  ],
  'node-controller': [
    allow(`${READ} delete update patch`, '', 'nodes'),
    allow('patch update', '', 'nodes/status pods/status'),
    allow(`${READ} delete`, '', 'pods'),
    allow(READ, 'coordination.k8s.io', 'leases'),
    allow('list watch', 'networking.k8s.io', 'clustercidrs'),
    EVENTS,
  ],
  'persistent-volume-binder': [
    allow(`${READ} update create delete`, '', 'persistentvolumes'),
    allow('update', '', 'persistentvolumes/status persistentvolumeclaims/status'),
    allow(`${READ} update`, '', 'persistentvolumeclaims'),
    allow(`${READ} create delete`, '', 'pods'),
    allow(READ, 'storage.k8s.io', 'storageclasses csinodes'),
    allow('get create update delete', '', 'endpoints services'),
    allow('get list', '', 'secrets'),
    allow('watch', '', 'events'),
    EVENTS,
  ],
  'pod-garbage-collector': [
    allow('list watch delete', '', 'pods'),
    allow('get list watch', '', 'nodes'),
    allow('patch', '', 'pods/status'),
  ],
  'podcertificaterequestcleaner-controller': [allow(`${READ} delete`, 'certificates.k8s.io', 'podcertificaterequests'), EVENTS],
  'pv-protection-controller': [allow(`${READ} update`, '', 'persistentvolumes'), EVENTS],
  'pvc-protection-controller': [allow(`${READ} update`, '', 'persistentvolumeclaims'), allow(READ, '', 'pods'), EVENTS],
  'replicaset-controller': [
    allow(`${READ} update`, 'apps', 'replicasets'),
    allow('update', 'apps', 'replicasets/status replicasets/finalizers'),
    allow(`${READ} create delete patch`, '', 'pods'),
    EVENTS,
  ],
  'replication-controller': [
    allow(`${READ} update`, '', 'replicationcontrollers'),
    allow('update', '', 'replicationcontrollers/status replicationcontrollers/finalizers'),
    allow(`${READ} create delete patch`, '', 'pods'),
    EVENTS,
  ],
  'resource-claim-controller': [
    allow(READ, '', 'pods'),
    allow('update', '', 'pods/finalizers'),
    allow(`${READ} create delete`, 'resource.k8s.io', CLAIMS),
    allow(READ, 'resource.k8s.io', 'resourceclaimtemplates'),
    allow('update patch', 'resource.k8s.io', `${CLAIMS}/status`),
    allow('update patch', '', 'pods/status'),
    EVENTS,
  ],
  'resourcequota-controller': [allow('list watch', '*', '*'), allow('update', '', 'resourcequotas/status'), EVENTS],
  'root-ca-cert-publisher': [allow(READ, '', 'namespaces'), allow(`${READ} create update`, '', 'configmaps'), EVENTS],
  'route-controller': [allow('list watch', '', 'nodes'), allow('patch', '', 'nodes/status'), EVENTS],
  'selinux-warning-controller': [
    allow(READ, '', 'pods persistentvolumes persistentvolumeclaims'),
    allow(READ, 'storage.k8s.io', 'csidrivers'),
    EVENTS,
  ],
  'service-account-controller': [allow(READ, '', 'namespaces'), allow(`${READ} create`, '', 'serviceaccounts'), EVENTS],
  'service-cidrs-controller': [
    allow(`${READ} patch update`, 'networking.k8s.io', 'servicecidrs'),
    allow('patch update', 'networking.k8s.io', 'servicecidrs/status servicecidrs/finalizers'),
    allow(READ, 'networking.k8s.io', 'ipaddresses'),
    EVENTS,
  ],
  'service-controller': [
    allow(READ, '', 'services'),
    allow('patch update', '', 'services/status'),
    allow('list watch', '', 'nodes'),
    EVENTS,
  ],
  'statefulset-controller': [
    allow('list watch', '', 'pods'),
    allow(READ, 'apps', 'statefulsets'),
    allow('update', 'apps', 'statefulsets/status statefulsets/finalizers'),
    allow('get create delete update patch', '', 'pods'),
    allow(`${READ} create delete update patch`, 'apps', 'controllerrevisions'),
    allow(`${READ} create update delete`, '', 'persistentvolumeclaims'),
    EVENTS,
  ],
  'storage-version-migrator-controller': [
    allow('list patch', '*', '*'),
    allow(`${READ} update`, 'storagemigration.k8s.io', 'storageversionmigrations'),
    allow('update', 'storagemigration.k8s.io', 'storageversionmigrations/status'),
  ],
  'taint-eviction-controller': [
    allow(READ, '', 'nodes'),
    allow(`${READ} delete`, '', 'pods'),
    allow('patch update', '', 'pods/status'),
    EVENTS,
  ],
  'token-controller': [allow(READ, '', 'serviceaccounts'), allow(`${READ} update patch delete`, '', 'secrets'), EVENTS],
  'ttl-after-finished-controller': [allow(`${READ} delete`, 'batch', 'jobs'), EVENTS],
  'ttl-controller': [allow('update patch list watch', '', 'nodes'), EVENTS],
  'validatingadmissionpolicy-status-controller': [
    allow(READ, 'admissionregistration.k8s.io', 'validatingadmissionpolicies'),
    allow('get patch update', 'admissionregistration.k8s.io', 'validatingadmissionpolicies/status'),
    allow(READ, 'apiextensions.k8s.io', 'customresourcedefinitions'),
    EVENTS,
  ],
  'volumeattributesclass-protection-controller': [
    allow(`${READ} update`, 'storage.k8s.io', 'volumeattributesclasses'),
    allow(READ, '', 'persistentvolumes persistentvolumeclaims'),
    EVENTS,
  ],
};

/** Roles in one namespace, with the service account (of `kube-system`) or user bound to them. */
export const NAMESPACED_RULES: { namespace: string; name: string; rules: PolicyRule[]; to?: { account?: string; user?: string } }[] = [
  {
    namespace: 'kube-system',
    name: 'extension-apiserver-authentication-reader',
    rules: [allow(READ, '', 'configmaps', 'extension-apiserver-authentication')],
  },
  {
    namespace: 'kube-system',
    name: 'system:controller:bootstrap-signer',
    rules: [allow(READ, '', 'secrets')],
    to: { account: 'bootstrap-signer' },
  },
  {
    namespace: 'kube-public',
    name: 'system:controller:bootstrap-signer',
    rules: [allow(READ, '', 'configmaps'), allow('update', '', 'configmaps', 'cluster-info'), EVENTS],
    to: { account: 'bootstrap-signer' },
  },
  {
    namespace: 'kube-system',
    name: 'system:controller:cloud-provider',
    rules: [allow('create get list update watch', '', 'configmaps')],
    to: { account: 'cloud-provider' },
  },
  {
    namespace: 'kube-system',
    name: 'system:controller:token-cleaner',
    rules: [allow(`${READ} delete`, '', 'secrets'), EVENTS],
    to: { account: 'token-cleaner' },
  },
  ...['kube-controller-manager', 'kube-scheduler'].map(name => ({
    namespace: 'kube-system',
    name: `system::leader-locking-${name}`,
    rules: [allow('watch', '', 'configmaps'), allow('get update', '', 'configmaps', name)],
    to: { user: `system:${name}` },
  })),
];

/** What may be read of a server's inside by those who watch over it. */
export const MONITORING_PATHS = allowPaths('get', '/healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/*');
