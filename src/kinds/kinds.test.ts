import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UmiakError } from '#base/errors.ts';
import { AutoscalingV1HorizontalPodAutoscaler } from './autoscaling.ts';
import { ConfigMap } from './config-map.ts';
import { Deployment, rollingLimits } from './deployment.ts';
import { EndpointSlice } from './endpoint-slice.ts';
import { Event, EventsV1Event } from './event.ts';
import { jsonEqual } from './json-equal.ts';
import { apiVersionOf, type Kind } from './kind.ts';
import { Lease } from './lease.ts';
import { Namespace } from './namespace.ts';
import { Node } from './node.ts';
import { RoleBinding } from './rbac.ts';
import { builtinKinds, kindOf } from './registry.ts';
import { ReplicaSet } from './replica-set.ts';
import { checkObject } from './schema.ts';
import { schemaData } from './schema-data.ts';
import { Secret } from './secret.ts';
import { Service } from './service.ts';
import { made, problemsOf, updateProblemsOf } from './testing.ts';
import { validateCreate, validateStatusUpdate, validateUpdate } from './validate-object.ts';

test('the registry has every served resource once, in the order of discovery', () => {
  const name = ({ resource }: Kind) => `${apiVersionOf(resource)}/${resource.kind}`;
  assert.deepEqual(
    builtinKinds.map(name),
    schemaData().resources.map(row => `${apiVersionOf(row)}/${row.kind}`),
  );
  for (const kind of builtinKinds) assert.equal(kindOf(apiVersionOf(kind.resource), kind.resource.kind), kind);
});

test('every stored kind has a value for every column', () => {
  for (const kind of builtinKinds) {
    if (kind.refused || kind.virtual) continue;
    assert.deepEqual(
      kind.columns?.map(({ name }) => name),
      kind.resource.columns?.map(({ name }) => name) ?? ['Name', 'Age'],
      kind.resource.kind,
    );
  }
});

const template = { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'web', image: 'nginx:1' }] } };
const deployment = (spec: object = {}) => ({
  metadata: { name: 'a', namespace: 'default' },
  spec: { selector: { matchLabels: { app: 'web' } }, template, ...spec },
});
const service = (spec: object, metadata: object = {}) => ({ metadata: { name: 'a', namespace: 'default', ...metadata }, spec });
const port = { port: 80 };
const slice = (address: string, addressType = 'IPv4') => ({ addressType, endpoints: [{ addresses: [address] }] });
const binding = (more: object) => ({ roleRef: { kind: 'Role', name: 'r' }, subjects: [], ...more });

const wrong: [why: string, kind: Kind, draft: unknown, problems: string[]][] = [
  ['a deployment', Deployment, deployment(), []],
  [
    'a deployment of nothing',
    Deployment,
    {},
    [
      'spec.selector: Required value',
      'spec.template.metadata.labels: Invalid value: {}: `selector` does not match template `labels`',
      'spec.template.spec.containers: Required value',
    ],
  ],
  [
    'a selector that misses',
    Deployment,
    deployment({ selector: { matchLabels: { app: 'api' } } }),
    ['spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match template `labels`'],
  ],
  ['a negative count', Deployment, deployment({ replicas: -1 }), ['spec.replicas: Invalid value: -1: must be greater than or equal to 0']],
  [
    'no progress possible',
    Deployment,
    deployment({ strategy: { rollingUpdate: { maxSurge: 0, maxUnavailable: 0 } } }),
    ['spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0'],
  ],
  [
    'no percentage',
    Deployment,
    deployment({ strategy: { rollingUpdate: { maxSurge: 'x%' } } }),
    [
      "spec.strategy.rollingUpdate.maxSurge: Invalid value: \"x%\": a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')",
    ],
  ],
  [
    'recreate with limits',
    Deployment,
    deployment({ strategy: { type: 'Recreate', rollingUpdate: {} } }),
    ["spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"],
  ],
  [
    'pods that end',
    Deployment,
    deployment({ template: { ...template, spec: { ...template.spec, restartPolicy: 'Never' } } }),
    ['spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"'],
  ],
  ['a replica set without a template', ReplicaSet, { spec: { selector: { matchLabels: { a: 'b' } } } }, ['spec.template: Required value']],
  ['a service', Service, service({ ports: [port] }), []],
  ['a service without ports', Service, service({}), ['spec.ports: Required value']],
  ['headless without ports', Service, service({ clusterIP: 'None' }), []],
  [
    'a service named like a number',
    Service,
    service({ ports: [port] }, { name: '1a' }),
    [
      "metadata.name: Invalid value: \"1a\": a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')",
    ],
  ],
  [
    'ports without names',
    Service,
    service({ ports: [port, { port: 81 }] }),
    ['spec.ports[0].name: Required value', 'spec.ports[1].name: Required value'],
  ],
  [
    'the same port twice',
    Service,
    service({
      ports: [
        { ...port, name: 'a' },
        { ...port, name: 'b' },
      ],
    }),
    ['spec.ports[1]: Duplicate value: {"Name":"","Protocol":"TCP","AppProtocol":null,"Port":80,"TargetPort":0,"NodePort":0}'],
  ],
  [
    'a node port on a ClusterIP',
    Service,
    service({ ports: [{ ...port, nodePort: 30000 }] }),
    ["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
  ],
  [
    'a bad type',
    Service,
    service({ type: 'Magic', ports: [port] }),
    ['spec.type: Unsupported value: "Magic": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"'],
  ],
  [
    'a bad address',
    Service,
    service({ clusterIP: '10.0.0.256', ports: [port] }),
    ['spec.clusterIPs[0]: Invalid value: "10.0.0.256": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'],
  ],
  ['an external name that is none', Service, service({ type: 'ExternalName' }), ['spec.externalName: Required value']],
  [
    'a key in both maps',
    ConfigMap,
    { data: { a: 'b' }, binaryData: { a: 'YQ==' } },
    ['data[a]: Invalid value: "a": duplicate of key present in binaryData'],
  ],
  [
    'a bad key',
    ConfigMap,
    { data: { 'a/b': 'c' } },
    [
      "data[a/b]: Invalid value: \"a/b\": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
    ],
  ],
  ['too much data', ConfigMap, { data: { a: 'x'.repeat(1048577) } }, ['[]: Too long: may not be more than 1048576 bytes']],
  ['a TLS secret without a key', Secret, { type: 'kubernetes.io/tls', data: { 'tls.crt': '' } }, ['data[tls.key]: Required value']],
  [
    'a registry secret that is no JSON',
    Secret,
    { type: 'kubernetes.io/dockerconfigjson', stringData: { '.dockerconfigjson': '{' } },
    ['data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": unexpected end of JSON input'],
  ],
  ['a namespace with a dot', Namespace, { metadata: { name: 'a.b' } }, ['metadata.name: Invalid value: "a.b": must not contain dots']],
  ['a namespaced node', Node, { metadata: { name: 'a', namespace: 'b' } }, ['metadata.namespace: Forbidden: not allowed on this type']],
  ['a taint without effect', Node, { spec: { taints: [{ key: 'a' }] } }, ['metadata.taints[0].effect: Required value']],
  [
    'a lease of no time',
    Lease,
    { spec: { leaseDurationSeconds: 0 } },
    ['spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0'],
  ],
  [
    'a loopback endpoint',
    EndpointSlice,
    slice('127.0.0.1'),
    ['endpoints[0].addresses[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)'],
  ],
  [
    'an endpoint of the other family',
    EndpointSlice,
    slice('fd00::1'),
    ['endpoints[0].addresses[0]: Invalid value: "fd00::1": must be a valid IPv4 address'],
  ],
  ['a good IPv6 endpoint', EndpointSlice, slice('fd00::1', 'IPv6'), []],
  [
    'an event elsewhere',
    Event,
    { involvedObject: { namespace: 'other', name: 'a' } },
    ['involvedObject.namespace: Invalid value: "other": does not match event.namespace'],
  ],
  [
    'a binding',
    RoleBinding,
    binding({
      subjects: [
        { kind: 'User', name: 'u' },
        { kind: 'ServiceAccount', name: 's', namespace: 'n' },
      ],
    }),
    [],
  ],
  [
    'a binding of a strange subject',
    RoleBinding,
    binding({ subjects: [{ kind: 'Dog', name: 'd' }] }),
    ['subjects[0].kind: Unsupported value: "Dog": supported values: "ServiceAccount", "User", "Group"'],
  ],
];
for (const [why, kind, draft, problems] of wrong) test(`validation: ${why}`, () => assert.deepEqual(problemsOf(kind, draft), problems));

const changes: [why: string, kind: Kind, draft: object, old: object, problems: string[]][] = [
  [
    'a selector',
    Deployment,
    deployment({
      selector: { matchLabels: { app: 'web', b: 'c' } },
      template: { ...template, metadata: { labels: { app: 'web', b: 'c' } } },
    }),
    deployment(),
    ['spec.selector: Invalid value: {"matchLabels":{"app":"web","b":"c"}}: field is immutable'],
  ],
  [
    'an image',
    Deployment,
    deployment({ template: { ...template, spec: { containers: [{ name: 'web', image: 'nginx:2' }] } } }),
    deployment(),
    [],
  ],
  [
    'a cluster IP',
    Service,
    service({ clusterIP: '10.0.0.2', ports: [port] }),
    service({ clusterIP: '10.0.0.1', ports: [port] }),
    ['spec.clusterIPs[0]: Invalid value: ["10.0.0.2"]: may not change once set'],
  ],
  ['a cluster IP left out', Service, service({ ports: [port] }), service({ clusterIP: '10.0.0.1', ports: [port] }), []],
  [
    'frozen data',
    ConfigMap,
    { metadata: { name: 'a', namespace: 'default' }, immutable: true, data: { a: 'c' } },
    { metadata: { name: 'a', namespace: 'default' }, immutable: true, data: { a: 'b' } },
    ['data: Forbidden: field is immutable when `immutable` is set'],
  ],
  [
    "a secret's type",
    Secret,
    { metadata: { name: 'a', namespace: 'default' }, type: 'x' },
    { metadata: { name: 'a', namespace: 'default' } },
    ['type: Invalid value: "x": field is immutable'],
  ],
  [
    'a role',
    RoleBinding,
    { ...binding({ roleRef: { kind: 'Role', name: 's' } }), metadata: { name: 'a', namespace: 'default' } },
    { ...binding({}), metadata: { name: 'a', namespace: 'default' } },
    ['roleRef: Invalid value: {"kind":"Role","name":"s","apiGroup":"rbac.authorization.k8s.io"}: cannot change roleRef'],
  ],
  [
    'an address type',
    EndpointSlice,
    { ...slice('fd00::1', 'IPv6'), metadata: { name: 'a', namespace: 'default' } },
    { ...slice('10.0.0.1'), metadata: { name: 'a', namespace: 'default' } },
    ['addressType: Invalid value: "IPv6": field is immutable'],
  ],
  [
    'a finalizer while it is being deleted',
    ConfigMap,
    { metadata: { name: 'a', namespace: 'default', deletionTimestamp: '2026-01-01T00:00:00Z', finalizers: ['x/y'] } },
    { metadata: { name: 'a', namespace: 'default', deletionTimestamp: '2026-01-01T00:00:00Z' } },
    ['metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{"x/y"}'],
  ],
];
for (const [why, kind, draft, old, problems] of changes)
  test(`update: ${why}`, () => assert.deepEqual(updateProblemsOf(kind, draft, old), problems));

test('a service that changes its type loses what only the old type had, and keeps what was allocated', () => {
  const old = made(Service, service({ type: 'NodePort', clusterIP: '10.0.0.1', ports: [{ ...port, nodePort: 30_080 }] }));
  const changed = (spec: object) => {
    const next = structuredClone({ ...old, spec: { ...old.spec, ...spec } });
    Service.prepareForUpdate?.(next, old);
    return next.spec;
  };
  const inside = changed({ type: 'ClusterIP' });
  assert.deepEqual([inside.clusterIP, inside.ports?.[0]?.nodePort, inside.externalTrafficPolicy], ['10.0.0.1', undefined, undefined]);
  const outside = changed({ type: 'ExternalName', externalName: 'example.com' });
  assert.deepEqual([outside.clusterIP, outside.ipFamilies], [undefined, undefined]);
  const same = changed({ clusterIP: undefined, ports: [{ port: 80, protocol: 'TCP' }] });
  assert.deepEqual([same.clusterIP, same.ports?.[0]?.nodePort], ['10.0.0.1', 30_080]);
});

test('defaults of a deployment and a service', () => {
  const { replicas, revisionHistoryLimit, progressDeadlineSeconds, strategy } = made(Deployment, deployment()).spec;
  assert.deepEqual(
    { replicas, revisionHistoryLimit, progressDeadlineSeconds, strategy },
    {
      replicas: 1,
      revisionHistoryLimit: 10,
      progressDeadlineSeconds: 600,
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: '25%', maxSurge: '25%' } },
    },
  );
  assert.deepEqual(made(Service, service({ ports: [port] })).spec, {
    ports: [{ port: 80, protocol: 'TCP', targetPort: 80 }],
    sessionAffinity: 'None',
    type: 'ClusterIP',
    internalTrafficPolicy: 'Cluster',
    ipFamilyPolicy: 'SingleStack',
    ipFamilies: ['IPv4'],
  });
  assert.deepEqual(made(Secret, { stringData: { a: 'b' } }).data, { a: 'Yg==' });
});

test('rolling limits round surge up and unavailability down, and never forbid all', () => {
  const limits = (replicas: number, rollingUpdate: object) =>
    rollingLimits(made(Deployment, deployment({ replicas, strategy: { rollingUpdate } })));
  assert.deepEqual(limits(10, {}), { maxSurge: 3, maxUnavailable: 2 });
  assert.deepEqual(limits(1, { maxSurge: 0 }), { maxSurge: 0, maxUnavailable: 1 });
});

const now = Date.parse('2026-01-01T01:00:00Z');
const rows: [kind: Kind, object: object, row: unknown[]][] = [
  [
    Deployment,
    { ...deployment({ replicas: 2 }), status: { replicas: 2, readyReplicas: 1, updatedReplicas: 2, availableReplicas: 1 } },
    ['a', '1/2', '2', '1', '60m', 'web', 'nginx:1', 'app=web'],
  ],
  [
    ReplicaSet,
    { ...deployment({ replicas: 2 }), status: { replicas: 2, readyReplicas: 1 } },
    ['a', 2, 2, 1, '60m', 'web', 'nginx:1', 'app=web'],
  ],
  [
    Service,
    service({ type: 'NodePort', clusterIP: '10.0.0.1', ports: [{ port: 80, nodePort: 30080, protocol: 'TCP' }], selector: { a: 'b' } }),
    ['a', 'NodePort', '10.0.0.1', '<none>', '80:30080/TCP', '60m', 'a=b'],
  ],
  [Service, service({ type: 'LoadBalancer', clusterIP: 'None' }), ['a', 'LoadBalancer', 'None', '<pending>', '<none>', '60m', '<none>']],
  [ConfigMap, { data: { a: 'b' }, binaryData: { c: '' } }, ['a', '2', '60m']],
  [Secret, { type: 'Opaque', data: { a: '' } }, ['a', 'Opaque', '1', '60m']],
  [Namespace, { status: { phase: 'Active' } }, ['a', 'Active', '60m']],
  [
    Node,
    {
      metadata: { labels: { 'node-role.kubernetes.io/control-plane': '' } },
      spec: { unschedulable: true },
      status: {
        conditions: [{ type: 'Ready', status: 'True' }],
        nodeInfo: { kubeletVersion: 'v1.36.0', osImage: 'Debian', kernelVersion: '6.18', containerRuntimeVersion: 'umiak://1' },
        addresses: [{ type: 'InternalIP', address: '10.0.0.1' }],
      },
    },
    ['a', 'Ready,SchedulingDisabled', 'control-plane', '60m', 'v1.36.0', '10.0.0.1', '<none>', 'Debian', '6.18', 'umiak://1'],
  ],
  [Lease, { spec: { holderIdentity: 'me' } }, ['a', 'me', '60m']],
  [
    EndpointSlice,
    { ...slice('10.0.0.1'), ports: [{ port: 80 }, { port: 81 }, { port: 82 }, { port: 83 }] },
    ['a', 'IPv4', '80,81,82 + 1 more...', '10.0.0.1', '60m'],
  ],
  [
    Event,
    {
      involvedObject: { kind: 'Pod', name: 'p' },
      type: 'Warning',
      reason: 'BackOff',
      message: 'm\n',
      lastTimestamp: '2026-01-01T00:59:58Z',
      firstTimestamp: '2026-01-01T00:58:00Z',
      count: 3,
      source: { component: 'kubelet', host: 'n' },
    },
    ['2s', 'Warning', 'BackOff', 'pod/p', '', 'kubelet, n', 'm', '2m', '3', 'a'],
  ],
];
for (const [kind, object, row] of rows)
  test(`columns of ${kind.resource.kind}: ${row.slice(1, 3).join(', ')}`, () => {
    const given = object as { metadata?: object };
    const complete = {
      apiVersion: apiVersionOf(kind.resource),
      kind: kind.resource.kind,
      ...given,
      metadata: { ...given.metadata, name: 'a', creationTimestamp: '2026-01-01T00:00:00Z' },
    };
    assert.deepEqual(
      kind.columns?.map(column => column.value(complete as never, now)),
      row,
    );
  });

test('both faces of events and autoscalers show the same objects', () => {
  const event = {
    apiVersion: 'events.k8s.io/v1',
    kind: 'Event',
    metadata: { name: 'a' },
    regarding: { name: 'p' },
    note: 'n',
    eventTime: '2026-01-01T00:00:00.000000Z',
    reportingController: 'c',
    deprecatedCount: 2,
  } as unknown as EventsV1Event;
  const stored = EventsV1Event.storage?.toStored(event);
  assert.deepEqual(stored, {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: 'a' },
    involvedObject: { name: 'p' },
    message: 'n',
    eventTime: '2026-01-01T00:00:00.000000Z',
    reportingComponent: 'c',
    count: 2,
  });
  assert.deepEqual(EventsV1Event.storage?.fromStored(stored!), event);
  const autoscaler = {
    apiVersion: 'autoscaling/v1',
    kind: 'HorizontalPodAutoscaler',
    metadata: { name: 'a' },
    spec: { maxReplicas: 3, scaleTargetRef: { kind: 'Deployment', name: 'd' }, targetCPUUtilizationPercentage: 50 },
  } as unknown as AutoscalingV1HorizontalPodAutoscaler;
  const { storage } = AutoscalingV1HorizontalPodAutoscaler;
  assert.deepEqual(storage?.fromStored(storage.toStored(autoscaler)), autoscaler);
});

test('whatever passes the schema can be defaulted, validated and shown (random)', () => {
  let seed = Number(process.env.SEED ?? Date.now() % 2 ** 31);
  console.log(`kinds seed ${seed}`);
  const random = (below: number) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor((seed / 2 ** 32) * below);
  };
  const strings = [
    '',
    'a',
    'A_b',
    'web',
    '10.0.0.1',
    'None',
    '25%',
    '../x',
    '__proto__',
    'constructor',
    "metadata.labels['a']",
    'In',
    'Exists',
    '1Gi',
    'x'.repeat(300),
  ];
  const fieldValue = (field: { type?: string; format?: string; ref?: string; items?: object; values?: object }, depth: number): unknown => {
    if (field.ref) return objectOf(field.ref, depth + 1);
    if (field.type === 'array') return Array.from({ length: random(3) }, () => fieldValue(field.items ?? {}, depth + 1));
    if (field.type === 'map')
      return Object.fromEntries(
        Array.from({ length: random(3) }, () => [strings[random(strings.length)], fieldValue(field.values ?? {}, depth + 1)]),
      );
    if (field.type === 'boolean') return random(2) === 0;
    if (field.type === 'integer') return [0, 1, -1, 80, 70000][random(5)];
    return field.format === 'byte' ? 'YQ==' : strings[random(strings.length)];
  };
  const objectOf = (typeName: string, depth: number): unknown => {
    if (typeName.endsWith('Time')) return '2026-01-01T00:00:00Z';
    if (typeName.endsWith('.Quantity')) return ['0', '1', '-1', '1Gi', '0.1'][random(5)];
    if (typeName.endsWith('.IntOrString')) return [0, -1, '', '25%', 'http', 'x'][random(6)];
    const fields = Object.entries(schemaData().types[typeName]?.fields ?? {});
    const chance = Math.min(0.9, (depth < 3 ? 12 : 4) / (fields.length + 1));
    return Object.fromEntries(
      fields
        .filter(([key]) => key !== 'apiVersion' && key !== 'kind' && random(1000) < chance * 1000)
        .map(([key, field]) => [key, fieldValue(field, depth)]),
    );
  };
  for (let i = 0; i < 6000; i++) {
    const kind = builtinKinds[i % builtinKinds.length]!;
    let object: ReturnType<typeof made>;
    try {
      object = checkObject(kind, objectOf(kind.type, 0)).object as ReturnType<typeof made>;
    } catch (error) {
      assert.ok(error instanceof UmiakError, error as Error);
      continue;
    }
    const sent = JSON.stringify(object);
    object.metadata.name ??= 'a';
    try {
      kind.defaults?.(object);
      const once = structuredClone(object);
      kind.defaults?.(object);
      assert.ok(jsonEqual(object, once), 'defaults are idempotent');
      checkObject(kind, structuredClone(object), { fieldValidation: 'Strict' });
      validateCreate(kind, object);
      const next = structuredClone(object);
      kind.prepareForCreate?.(object);
      kind.prepareForUpdate?.(next, object);
      validateUpdate(kind, next, object);
      validateStatusUpdate(kind, next, object);
      kind.warnings?.(object);
      for (const column of kind.columns ?? []) column.value(object, 0);
      for (const of of Object.values(kind.selectableFields ?? {})) assert.equal(typeof of(object), 'string');
      if (kind.storage) checkObject(kind.storage.kind, kind.storage.toStored(object), { fieldValidation: 'Strict' });
    } catch (error) {
      throw new Error(`${kind.type} with ${sent}`, { cause: error });
    }
  }
});
