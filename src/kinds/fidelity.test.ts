/** What of other kinds is judged as upstream's API server judges it, asked of that server itself: accepted or not, fields, words. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cidrWarnings, ipWarnings } from './address-warnings.ts';
import { Deployment } from './deployment.ts';
import { Job } from './job.ts';
import type { Kind, KubeObject } from './kind.ts';
import { LimitRange } from './limit-range.ts';
import { Node } from './node.ts';
import { PersistentVolume } from './persistent-volume.ts';
import { ResourceQuota } from './resource-quota.ts';
import { Secret } from './secret.ts';
import { Service } from './service.ts';
import { StatefulSet } from './stateful-set.ts';
import { made, problemsOf, updateProblemsOf } from './testing.ts';
import { validateStatusUpdate } from './validate-object.ts';

const template = { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'c', image: 'i' }] } };
const workload = (spec: object = {}) => ({ spec: { selector: { matchLabels: { app: 'web' } }, template, ...spec } });
const quota = (spec: object) => ({ spec: { hard: { pods: '1' }, ...spec } });
const limits = (item: object) => ({ spec: { limits: [{ type: 'Container', ...item }] } });
const secret = (type: string, data: object) => ({ type, data });
const base64 = (text: string) => Buffer.from(text).toString('base64');
const REDACTED = '"<secret contents redacted>"';
const HARD = 'spec.hard';

const REFUSED: [what: string, kind: unknown, draft: unknown, problems: string[]][] = [
  [
    'a resource that is none',
    ResourceQuota,
    quota({ hard: { foo: '1' } }),
    ['must be a standard resource type or fully qualified', 'must be a standard resource for quota'].map(
      why => `${HARD}[foo]: Invalid value: "foo": ${why}`,
    ),
  ],
  [
    'a part of a device',
    ResourceQuota,
    quota({ hard: { 'a.b/c': '1500m' } }),
    [`${HARD}[a.b/c]: Invalid value: "1500m": must be an integer`],
  ],
  [
    'a scope that asks for values',
    ResourceQuota,
    quota({ scopeSelector: { matchExpressions: [{ scopeName: 'PriorityClass', operator: 'Like' }] } }),
    ['spec.scopeSelector.matchExpressions.operator: Invalid value: "Like": not a valid selector operator'],
  ],
  [
    'storage of a container',
    LimitRange,
    limits({ max: { storage: '1Gi' } }),
    ['max', 'default', 'defaultRequest'].map(
      field => `spec.limits[0].${field}[storage]: Invalid value: "storage": must be a standard resource for containers`,
    ),
  ],
  [
    'devices that differ',
    LimitRange,
    limits({ default: { 'a.b/c': '2' }, defaultRequest: { 'a.b/c': '1' } }),
    ['spec.limits[0].defaultRequest[a.b/c]: Invalid value: "1": default value 2 must equal to defaultRequest value 1 in a.b/c'],
  ],
  [
    'limits of what nobody knows',
    LimitRange,
    { spec: { limits: [{ type: 'Foo' }] } },
    ['spec.limits[0].type: Invalid value: "Foo": must be a standard limit type or fully qualified'],
  ],
  [
    'credentials that are a list',
    Secret,
    secret('kubernetes.io/dockercfg', { '.dockercfg': base64('[]') }),
    [`data[.dockercfg]: Invalid value: ${REDACTED}: json: cannot unmarshal array into Go value of type map[string]interface {}`],
  ],
  ['an empty key', Secret, secret('kubernetes.io/ssh-auth', { 'ssh-privatekey': '' }), ['data[ssh-privatekey]: Required value']],
  [
    'addresses without the first',
    Service,
    { spec: { ports: [{ port: 80 }], clusterIPs: ['10.0.0.1'] } },
    ['spec.clusterIPs: Invalid value: ["10.0.0.1"]: must be empty when `clusterIP` is not specified'],
  ],
  [
    'a class that is no name',
    Service,
    { spec: { type: 'LoadBalancer', ports: [{ port: 80 }], loadBalancerClass: 'a b' } },
    [
      "spec.loadBalancerClass: Invalid value: \"a b\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
    ],
  ],
  [
    'a node with less than nothing',
    Node,
    { status: { allocatable: { cpu: '-1' } } },
    ['status.allocatable.cpu: Invalid value: "-1": must be greater than or equal to 0'],
  ],
  [
    'a host path of an odd type',
    PersistentVolume,
    { spec: { capacity: { storage: '1Gi' }, accessModes: ['ReadWriteOnce'], hostPath: { path: '/x', type: 'Odd' } } },
    [
      'spec.hostPath.type: Unsupported value: "Odd": supported values: "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"',
    ],
  ],
  [
    'a volume of a driver whose secrets are nowhere',
    PersistentVolume,
    {
      spec: {
        capacity: { storage: '1Gi' },
        accessModes: ['ReadWriteOnce'],
        csi: { driver: 'a.b', volumeHandle: 'x', nodePublishSecretRef: { name: 's' } },
      },
    },
    ['spec.csi.nodePublishSecretRef.namespace: Required value'],
  ],
  [
    'an empty manager',
    Job,
    { spec: { managedBy: '', template: { spec: { restartPolicy: 'Never', containers: [{ name: 'c', image: 'i' }] } } } },
    ['spec.selector: Required value', 'spec.managedBy: Required value'],
  ],
  [
    'a service that is no label',
    StatefulSet,
    workload({ serviceName: 'a.b' }),
    ['spec.serviceName: Invalid value: "a.b": must not contain dots'],
  ],
];

for (const [what, kind, draft, problems] of REFUSED)
  test(`refused: ${what}`, () => assert.deepEqual(problemsOf(kind as Kind, draft), problems));

const named = (kind: unknown, draft: unknown) => ({
  ...(draft as object),
  metadata: { name: 'a', ...(kind !== Node && { namespace: 'n' }) },
});

const UPDATES: [what: string, kind: unknown, now: unknown, old: unknown, problems: string[]][] = [
  [
    'another address by its one name',
    Service,
    { spec: { ports: [{ port: 80 }], clusterIP: '10.0.0.2', clusterIPs: ['10.0.0.1'] } },
    { spec: { ports: [{ port: 80 }], clusterIP: '10.0.0.1' } },
    ['spec.clusterIPs[0]: Invalid value: ["10.0.0.2"]: may not change once set'],
  ],
  [
    'a Service that becomes an alias keeps no address',
    Service,
    { spec: { type: 'ExternalName', externalName: 'a.b', clusterIP: '10.0.0.1', clusterIPs: ['10.0.0.1'] } },
    { spec: { ports: [{ port: 80 }], clusterIP: '10.0.0.1' } },
    [],
  ],
  [
    'a selector with an empty list',
    Deployment,
    workload({ selector: { matchLabels: { app: 'web' }, matchExpressions: [] } }),
    workload(),
    [],
  ],
  [
    'a node that changes its range',
    Node,
    { spec: { podCIDR: '10.1.0.0/24' } },
    { spec: { podCIDR: '10.0.0.0/24' } },
    ['spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid'],
  ],
];

for (const [what, kind, now, old, problems] of UPDATES)
  test(`update: ${what}`, () => assert.deepEqual(updateProblemsOf(kind as Kind, named(kind, now), named(kind, old)), problems));

const STATUSES: [what: string, kind: unknown, draft: object, status: object, problems: string[]][] = [
  [
    'more that are ready than there are',
    Deployment,
    workload(),
    { replicas: 1, readyReplicas: 2 },
    ['status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas'],
  ],
  [
    'a balancer of a Service without one',
    Service,
    { spec: { ports: [{ port: 80 }] } },
    { loadBalancer: { ingress: [{ ip: '1.2.3.4' }] } },
    ["status.loadBalancer.ingress: Forbidden: may only be used when `spec.type` is 'LoadBalancer'"],
  ],
  [
    'an address twice',
    Node,
    {},
    { addresses: [1, 2].map(() => ({ type: 'InternalIP', address: '10.0.0.1' })) },
    ['status.addresses[1]: Duplicate value: {"Type":"InternalIP","Address":"10.0.0.1"}'],
  ],
];

for (const [what, kind, draft, status, problems] of STATUSES)
  test(`status: ${what}`, () => {
    const old = made(kind as Kind, draft);
    const now = { ...old, status } as KubeObject;
    const causes = validateStatusUpdate(kind as Kind, now, old);
    assert.deepEqual(
      causes.map(({ field, message }) => `${field}: ${message}`),
      problems,
    );
  });

test('warned of: addresses that are not written as they should be', () => {
  assert.deepEqual(ipWarnings('fd00::1', 'f'), []);
  assert.deepEqual(ipWarnings('FD00::1', 'f'), ['f: IPv6 address "FD00::1" should be in RFC 5952 canonical format ("fd00::1")']);
  assert.deepEqual(cidrWarnings('10.0.0.0/8', 'f'), []);
  assert.deepEqual(cidrWarnings('10.1.2.3/8', 'f'), [
    'f: CIDR value "10.1.2.3/8" is ambiguous in this context (should be "10.0.0.0/8" or "10.1.2.3/32"?)',
  ]);
  assert.deepEqual(cidrWarnings('fd00::1/64', 'f'), [
    'f: CIDR value "fd00::1/64" is ambiguous in this context (should be "fd00::/64" or "fd00::1/128"?)',
  ]);
});

test('a node comes with its status, and configures nobody', () => {
  const node = made(Node, { spec: { podCIDRs: ['10.0.0.0/24'], configSource: { configMap: {} } }, status: { capacity: { cpu: '2' } } });
  assert.deepEqual(node.spec, { podCIDRs: ['10.0.0.0/24'], podCIDR: '10.0.0.0/24' });
  assert.deepEqual(node.status, { capacity: { cpu: '2' }, allocatable: { cpu: '2' } });
});
