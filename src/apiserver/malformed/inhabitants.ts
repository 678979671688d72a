import type { CrdSchema } from '#kinds/crd-schema.ts';
import type { Goal } from './objects.ts';

/** The kind that custom resources' requests are for. */
export const CRON_TABS: Goal = {
  group: 'malformed.example.com',
  version: 'v1',
  kind: 'CronTab',
  plural: 'crontabs',
  namespaced: true,
  subresources: [
    { name: 'status', kind: 'CronTab', verbs: ['get', 'patch', 'update'] },
    { name: 'scale', kind: 'Scale', group: 'autoscaling', version: 'v1', verbs: ['get', 'patch', 'update'] },
  ],
  verbs: ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'],
  fields: ['spec.name'],
};

const anything = { 'x-kubernetes-preserve-unknown-fields': true } as const;
const spec: CrdSchema = {
  type: 'object',
  properties: {
    replicas: { type: 'integer', minimum: 0, default: 1 },
    name: { type: 'string', maxLength: 20, pattern: '^[a-z]*$' },
    port: { 'x-kubernetes-int-or-string': true },
    when: { type: 'string', format: 'date-time' },
    values: { type: 'object', maxProperties: 5, additionalProperties: { type: 'string' } },
    items: {
      type: 'array',
      maxItems: 5,
      items: { type: 'object', required: ['key'], properties: { key: { type: 'string' }, value: { type: 'number' } } },
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['key'],
    },
    command: { type: 'array', items: { type: 'string' }, 'x-kubernetes-list-type': 'set' },
    template: { type: 'object', 'x-kubernetes-embedded-resource': true, ...anything },
    labels: { type: 'object', ...anything },
  },
  'x-kubernetes-validations': [
    { rule: '!has(self.replicas) || self.replicas < 100', message: 'too many' },
    { rule: '!has(oldSelf.name) || self.name == oldSelf.name', messageExpression: '"was " + oldSelf.name' },
  ],
};

const template = { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'i' }] } };
const selector = { matchLabels: { a: 'b' } };
const constraints = { resourceRules: [{ apiGroups: ['*'], apiVersions: ['*'], operations: ['*'], resources: ['*/*'] }] };
const policyName = { metadata: { name: 'looks-at-everything' } };

/** What stands in the cluster before the requests come, so that they find something to change. */
export const INHABITANTS: readonly [path: string, body: object][] = [
  ['/api/v1/namespaces/default/serviceaccounts', { metadata: { name: 'default' } }],
  ['/api/v1/namespaces/default/serviceaccounts', { metadata: { name: 'x' } }],
  ['/api/v1/namespaces/default/configmaps', { metadata: { name: 'x' }, data: { a: 'b' } }],
  ['/api/v1/namespaces/default/secrets', { metadata: { name: 'x' }, stringData: { a: 'b' } }],
  ['/api/v1/namespaces/default/pods', { metadata: { name: 'x', labels: { a: 'b' } }, spec: template.spec }],
  ['/api/v1/namespaces/default/services', { metadata: { name: 'x' }, spec: { ports: [{ port: 80 }] } }],
  ['/api/v1/namespaces/default/replicationcontrollers', { metadata: { name: 'x' }, spec: { selector: { a: 'b' }, template } }],
  ['/api/v1/nodes', { metadata: { name: 'x' }, spec: {} }],
  ['/apis/apps/v1/namespaces/default/deployments', { metadata: { name: 'x' }, spec: { selector, template } }],
  ['/apis/apps/v1/namespaces/default/replicasets', { metadata: { name: 'x' }, spec: { selector, template } }],
  ['/apis/apps/v1/namespaces/default/daemonsets', { metadata: { name: 'x' }, spec: { selector, template } }],
  ['/apis/apps/v1/namespaces/default/statefulsets', { metadata: { name: 'x' }, spec: { serviceName: 'x', selector, template } }],
  [
    '/apis/batch/v1/namespaces/default/jobs',
    { metadata: { name: 'x' }, spec: { template: { spec: { ...template.spec, restartPolicy: 'Never' } } } },
  ],
  ['/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles', { metadata: { name: 'x' }, rules: [] }],
  ['/apis/coordination.k8s.io/v1/namespaces/default/leases', { metadata: { name: 'x' }, spec: {} }],
  ['/apis/policy/v1/namespaces/default/poddisruptionbudgets', { metadata: { name: 'x' }, spec: { minAvailable: 1, selector } }],
  ['/apis/networking.k8s.io/v1/namespaces/default/networkpolicies', { metadata: { name: 'x' }, spec: { podSelector: {} } }],
  [
    '/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers',
    { metadata: { name: 'x' }, spec: { maxReplicas: 3, scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'x' } } },
  ],
  [
    '/apis/apiextensions.k8s.io/v1/customresourcedefinitions',
    {
      metadata: { name: `${CRON_TABS.plural}.${CRON_TABS.group}` },
      spec: {
        group: CRON_TABS.group,
        scope: 'Namespaced',
        names: { plural: CRON_TABS.plural, kind: CRON_TABS.kind },
        versions: [
          {
            name: 'v1',
            served: true,
            storage: true,
            schema: { openAPIV3Schema: { type: 'object', properties: { spec, status: { type: 'object', ...anything } } } },
            subresources: { status: {}, scale: { specReplicasPath: '.spec.replicas', statusReplicasPath: '.status.replicas' } },
            selectableFields: [{ jsonPath: '.spec.name' }],
            additionalPrinterColumns: [{ name: 'When', type: 'date', jsonPath: '.spec.when' }],
          },
        ],
      },
    },
  ],
  [
    '/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies',
    {
      ...policyName,
      spec: {
        failurePolicy: 'Ignore',
        matchConstraints: constraints,
        validations: [{ expression: 'object.spec.replicas < 1000 && object.metadata.labels.all(k, k != "z")' }],
      },
    },
  ],
  [
    '/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies',
    { metadata: { name: 'x' }, spec: { matchConstraints: constraints, validations: [{ expression: 'true' }] } },
  ],
  [
    '/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings',
    { ...policyName, spec: { policyName: policyName.metadata.name, validationActions: ['Warn', 'Audit'] } },
  ],
];
