import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Pod } from './pod.ts';
import { defaultPullPolicy } from './pod-defaults.ts';
import { amountsOf, podRequests, qosClassOf } from './pod-resources.ts';
import { made, problemsOf, updateProblemsOf } from './testing.ts';
import { validateUpdate } from './validate-object.ts';

const web = { name: 'web', image: 'nginx:1' };
const pod = (spec: object, container: object = {}) => ({
  metadata: { name: 'a', namespace: 'default' },
  spec: { containers: [{ ...web, ...container }], ...spec },
});
const withMount = (mount: object, volume: object = { emptyDir: {} }) =>
  pod({ volumes: [{ name: 'v', ...volume }] }, { volumeMounts: [{ name: 'v', mountPath: '/v', ...mount }] });

test('defaults fill in what kubectl shows', () => {
  const { spec, status } = made(
    Pod,
    pod(
      { volumes: [{ name: 'v' }, { name: 'c', configMap: { name: 'c' } }] },
      { readinessProbe: { httpGet: { port: 80 } }, ports: [{ containerPort: 80 }], resources: { limits: { cpu: '1' } } },
    ),
  );
  assert.deepEqual(spec, {
    containers: [
      {
        name: 'web',
        image: 'nginx:1',
        imagePullPolicy: 'IfNotPresent',
        ports: [{ containerPort: 80, protocol: 'TCP' }],
        readinessProbe: {
          httpGet: { port: 80, path: '/', scheme: 'HTTP' },
          timeoutSeconds: 1,
          periodSeconds: 10,
          successThreshold: 1,
          failureThreshold: 3,
        },
        resources: { limits: { cpu: '1' }, requests: { cpu: '1' } },
        terminationMessagePath: '/dev/termination-log',
        terminationMessagePolicy: 'File',
      },
    ],
    volumes: [
      { name: 'v', emptyDir: {} },
      { name: 'c', configMap: { name: 'c', defaultMode: 420 } },
    ],
    dnsPolicy: 'ClusterFirst',
    enableServiceLinks: true,
    restartPolicy: 'Always',
    schedulerName: 'default-scheduler',
    securityContext: {},
    terminationGracePeriodSeconds: 30,
  });
  assert.deepEqual(status, { phase: 'Pending', qosClass: 'Burstable' });
});

test('pull policy follows the tag', () => {
  const cases = {
    nginx: 'Always',
    'nginx:latest': 'Always',
    'nginx:1': 'IfNotPresent',
    'host:5000/nginx': 'Always',
    'host:5000/nginx:1': 'IfNotPresent',
    'nginx@sha256:ab': 'IfNotPresent',
  };
  for (const [image, policy] of Object.entries(cases)) assert.equal(defaultPullPolicy(image), policy, image);
});

const wrong: [why: string, draft: unknown, problems: string[]][] = [
  ['nothing', pod({}), []],
  ['no containers', { spec: {} }, ['spec.containers: Required value']],
  ['no image', pod({}, { image: '' }), ['spec.containers[0].image: Required value']],
  [
    'a bad name',
    { ...pod({}), metadata: { name: 'A_b' } },
    [
      `metadata.name: Invalid value: "A_b": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')`,
    ],
  ],
  ['two containers of one name', pod({ containers: [web, web] }), ['spec.containers[1].name: Duplicate value: "web"']],
  ['a name twice across lists', pod({ initContainers: [web] }), ['spec.initContainers[0].name: Duplicate value: "web"']],
  [
    'a bad policy',
    pod({ restartPolicy: 'Sometimes' }),
    ['spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"'],
  ],
  [
    'a port out of range',
    pod({}, { ports: [{ containerPort: 70000 }] }),
    ['spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive'],
  ],
  ['no port', pod({}, { ports: [{}] }), ['spec.containers[0].ports[0].containerPort: Required value']],
  [
    'a host port twice',
    pod(
      {},
      {
        ports: [
          { containerPort: 1, hostPort: 9 },
          { containerPort: 2, hostPort: 9 },
        ],
      },
    ),
    ['spec.containers[0].ports[1].hostPort: Duplicate value: "TCP//9"'],
  ],
  [
    'host network with another host port',
    pod({ hostNetwork: true }, { ports: [{ containerPort: 1, hostPort: 9 }] }),
    ['spec.containers[0].ports[0].containerPort: Invalid value: 1: must match `hostPort` when `hostNetwork` is true'],
  ],
  ['a mount of no volume', withMount({ name: 'w' }), ['spec.containers[0].volumeMounts[0].name: Not found: "w"']],
  [
    'a sub path that leaves',
    withMount({ subPath: 'a/../../b' }),
    ['spec.containers[0].volumeMounts.subPath: Invalid value: "a/../../b": must not contain \'..\''],
  ],
  [
    'two sources',
    withMount({}, { emptyDir: {}, hostPath: { path: '/x' } }),
    [
      'spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type',
      'spec.containers[0].volumeMounts[0].name: Not found: "v"',
    ],
  ],
  [
    'a Secret volume without a Secret',
    withMount({}, { secret: {} }),
    ['spec.volumes[0].secret.secretName: Required value', 'spec.containers[0].volumeMounts[0].name: Not found: "v"'],
  ],
  [
    'a short token',
    withMount({}, { projected: { sources: [{ serviceAccountToken: { path: 't', expirationSeconds: 5 } }] } }),
    [
      'spec.volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 5: may not specify a duration less than 10 minutes',
      'spec.containers[0].volumeMounts[0].name: Not found: "v"',
    ],
  ],
  [
    'env with two sources',
    pod({}, { env: [{ name: 'A', value: 'x', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } }] }),
    ['spec.containers[0].env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty'],
  ],
  ['env without a name', pod({}, { env: [{ value: 'x' }] }), ['spec.containers[0].env[0].name: Required value']],
  [
    'an unknown field',
    pod({}, { env: [{ name: 'A', valueFrom: { fieldRef: { fieldPath: 'status.phase' } } }] }),
    [
      'spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Unsupported value: "status.phase": supported values: "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"',
    ],
  ],
  [
    'a probe without a handler',
    pod({}, { livenessProbe: { periodSeconds: 1 } }),
    ['spec.containers[0].livenessProbe: Required value: must specify a handler type'],
  ],
  [
    'a probe with two',
    pod({}, { livenessProbe: { exec: { command: ['a'] }, tcpSocket: { port: 1 } } }),
    ['spec.containers[0].livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type'],
  ],
  [
    'liveness that must succeed twice',
    pod({}, { livenessProbe: { tcpSocket: { port: 1 }, successThreshold: 2 } }),
    ['spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1'],
  ],
  [
    'a request above its limit',
    pod({}, { resources: { requests: { memory: '2Gi' }, limits: { memory: '1Gi' } } }),
    ['spec.containers[0].resources.requests: Invalid value: "2Gi": must be less than or equal to memory limit of 1Gi'],
  ],
  [
    'a negative request',
    pod({}, { resources: { requests: { cpu: '-1' } } }),
    ['spec.containers[0].resources.requests[cpu]: Invalid value: "-1": must be greater than or equal to 0'],
  ],
  [
    'a toleration for all',
    pod({ tolerations: [{}] }),
    [
      'spec.tolerations[0].operator: Invalid value: "": operator must be Exists when `key` is empty, which means "match all values and all keys"',
    ],
  ],
  [
    'toleration seconds',
    pod({ tolerations: [{ key: 'a', operator: 'Exists', effect: 'NoSchedule', tolerationSeconds: 1 }] }),
    ['spec.tolerations[0].effect: Invalid value: "NoSchedule": effect must be \'NoExecute\' when `tolerationSeconds` is set'],
  ],
  [
    'an operator that is none',
    pod({
      affinity: {
        nodeAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchExpressions: [{ key: 'a', operator: 'Near' }] }] },
        },
      },
    }),
    [
      'spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].operator: Invalid value: "Near": not a valid selector operator',
    ],
  ],
  [
    'a label too long',
    { ...pod({}), metadata: { name: 'a', labels: { a: 'x'.repeat(64) } } },
    [`metadata.labels: Invalid value: "${'x'.repeat(64)}": must be no more than 63 bytes`],
  ],
  [
    'annotations too large',
    { ...pod({}), metadata: { annotations: { a: 'x'.repeat(262144) } } },
    ['metadata.annotations: Too long: may not be more than 262144 bytes'],
  ],
  [
    'a finalizer of nobody',
    { ...pod({}), metadata: { finalizers: ['mine'] } },
    ['metadata.finalizers[0]: Invalid value: "mine": name is neither a standard finalizer name nor is it fully qualified'],
  ],
  [
    'privileges both ways',
    pod({}, { securityContext: { privileged: true, allowPrivilegeEscalation: false } }),
    [
      'spec.containers[0].securityContext: Invalid value: {"privileged":true,"allowPrivilegeEscalation":false}: cannot set `allowPrivilegeEscalation` to false and `privileged` to true',
    ],
  ],
  [
    'a probe on an init container',
    pod({ initContainers: [{ name: 'i', image: 'i', startupProbe: { tcpSocket: { port: 1 } } }] }),
    ['spec.initContainers[0].startupProbe: Forbidden: may not be set for init containers without restartPolicy=Always'],
  ],
  ['DNS None', pod({ dnsPolicy: 'None' }), ['spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None']],
];
for (const [why, draft, problems] of wrong) test(`validation: ${why}`, () => assert.deepEqual(problemsOf(Pod, draft), problems));

const allowed =
  'spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n';
const changes: [why: string, draft: unknown, old: unknown, problems: string[]][] = [
  ['nothing', pod({}), pod({}), []],
  ['an image', pod({}, { image: 'nginx:2' }), pod({}), []],
  ['a label', { ...pod({}), metadata: { name: 'a', namespace: 'default', labels: { a: 'b' } } }, pod({}), []],
  ['an added toleration', pod({ tolerations: [{ key: 'a', operator: 'Exists' }] }), pod({}), []],
  [
    'a removed toleration',
    pod({}),
    pod({ tolerations: [{ key: 'a', operator: 'Exists' }] }),
    ['spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds'],
  ],
  ['a deadline set', pod({ activeDeadlineSeconds: 5 }), pod({}), []],
  [
    'a deadline raised',
    pod({ activeDeadlineSeconds: 5 }),
    pod({ activeDeadlineSeconds: 4 }),
    ['spec.activeDeadlineSeconds: Invalid value: 5: must be less than or equal to previous value'],
  ],
  ['a command', pod({}, { command: ['a'] }), pod({}), [`${allowed}spec.containers differs`]],
  ['a host name', pod({ hostname: 'h' }), pod({}), [`${allowed}spec.hostname differs`]],
  [
    'another container',
    pod({ containers: [web, { ...web, name: 'b' }] }),
    pod({}),
    ['spec.containers: Forbidden: pod updates may not add or remove containers'],
  ],
  ['a gate removed', pod({}), pod({ schedulingGates: [{ name: 'a' }] }), []],
  [
    'a gate added',
    pod({ schedulingGates: [{ name: 'a' }] }),
    pod({}),
    ["spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate 'a'"],
  ],
];
for (const [why, draft, old, problems] of changes)
  test(`update: ${why}`, () => assert.deepEqual(updateProblemsOf(Pod, draft, old), problems));

const now = Date.parse('2026-01-01T01:00:00Z');
const status = (containers: object[], more: object = {}) => ({
  phase: 'Running',
  containerStatuses: containers.map((one, i) => ({ name: `c${i}`, restartCount: 0, ready: false, ...one })),
  ...more,
});
const running = { ready: true, state: { running: {} } };
const rows: [why: string, pod: object, cells: string[]][] = [
  ['pending', { spec: { containers: [web] }, status: { phase: 'Pending' } }, ['0/1', 'Pending', '0']],
  ['running', { spec: { containers: [web] }, status: status([running]) }, ['1/1', 'Running', '0']],
  [
    'waiting',
    {
      spec: { containers: [web] },
      status: status([
        {
          state: { waiting: { reason: 'CrashLoopBackOff' } },
          restartCount: 3,
          lastState: { terminated: { exitCode: 1, finishedAt: '2026-01-01T00:59:55Z' } },
        },
      ]),
    },
    ['0/1', 'CrashLoopBackOff', '3 (5s ago)'],
  ],
  [
    'completed',
    {
      spec: { containers: [web] },
      status: status([{ state: { terminated: { exitCode: 0, reason: 'Completed' } } }], { phase: 'Succeeded' }),
    },
    ['0/1', 'Completed', '0'],
  ],
  [
    'one of two completed',
    {
      spec: { containers: [web, web] },
      status: status([{ state: { terminated: { exitCode: 0, reason: 'Completed' } } }, running], {
        conditions: [{ type: 'Ready', status: 'False' }],
      }),
    },
    ['1/2', 'NotReady', '0'],
  ],
  ['exit code', { spec: { containers: [web] }, status: status([{ state: { terminated: { exitCode: 3 } } }]) }, ['0/1', 'ExitCode:3', '0']],
  [
    'terminating',
    { metadata: { deletionTimestamp: '2026-01-01T00:00:00Z' }, spec: { containers: [web] }, status: status([running]) },
    ['1/1', 'Terminating', '0'],
  ],
  [
    'initializing',
    {
      spec: { containers: [web], initContainers: [web, web] },
      status: {
        phase: 'Pending',
        initContainerStatuses: [
          { name: 'i', restartCount: 1, state: { terminated: { exitCode: 0 } } },
          { name: 'j', restartCount: 0, state: { running: {} } },
        ],
      },
    },
    ['0/1', 'Init:1/2', '1'],
  ],
  [
    'init fails',
    {
      spec: { containers: [web], initContainers: [web] },
      status: {
        phase: 'Pending',
        initContainerStatuses: [{ name: 'i', restartCount: 0, state: { terminated: { exitCode: 2, reason: 'Error' } } }],
      },
    },
    ['0/1', 'Init:Error', '0'],
  ],
  [
    'with a sidecar',
    {
      spec: { containers: [web], initContainers: [{ name: 's', image: 's', restartPolicy: 'Always' }] },
      status: status([running], {
        initContainerStatuses: [{ name: 's', restartCount: 0, started: true, ready: true, state: { running: {} } }],
      }),
    },
    ['2/2', 'Running', '0'],
  ],
  [
    'gated',
    {
      spec: { containers: [web] },
      status: { phase: 'Pending', conditions: [{ type: 'PodScheduled', status: 'False', reason: 'SchedulingGated' }] },
    },
    ['0/1', 'SchedulingGated', '0'],
  ],
  ['evicted', { spec: { containers: [web] }, status: { phase: 'Failed', reason: 'Evicted' } }, ['0/1', 'Evicted', '0']],
];
for (const [why, given, cells] of rows)
  test(`columns: ${why}`, () => {
    const object = { metadata: { name: 'a', creationTimestamp: '2026-01-01T00:00:00Z' }, ...given } as Pod;
    const row = Pod.columns?.map(column =>
      column.value({ ...object, metadata: { ...object.metadata, name: 'a', creationTimestamp: '2026-01-01T00:00:00Z' } }, now),
    );
    assert.deepEqual(row, ['a', ...cells, '60m', '<none>', '<none>', '<none>', '<none>']);
  });

test('requests: the larger of start and run, with sidecars and overhead', () => {
  const box = (name: string, cpu: string, memory: string, more: object = {}) => ({
    name,
    image: 'x',
    resources: { requests: { cpu, memory } },
    ...more,
  });
  const { spec } = made(
    Pod,
    pod({
      containers: [box('a', '100m', '64Mi'), box('b', '200m', '64Mi')],
      initContainers: [box('s', '50m', '1Mi', { restartPolicy: 'Always' }), box('i', '1', '10Mi')],
      overhead: { cpu: '10m' },
    }),
  );
  assert.deepEqual(podRequests(spec), { cpu: 1060, memory: 129 * 1024 * 1024 });
  assert.deepEqual(amountsOf({ cpu: '1500m', memory: '1Ki', 'example.com/x': '2' }), { cpu: 1500, memory: 1024, 'example.com/x': 2 });
});

test('QoS classes', () => {
  const withResources = (resources: object) => qosClassOf(made(Pod, pod({}, { resources })).spec);
  assert.equal(withResources({}), 'BestEffort');
  assert.equal(withResources({ requests: { cpu: '1' } }), 'Burstable');
  assert.equal(withResources({ limits: { cpu: '1' } }), 'Burstable');
  assert.equal(withResources({ limits: { cpu: '1', memory: '1Gi' } }), 'Guaranteed');
  assert.equal(withResources({ limits: { cpu: '1', memory: '1Gi' }, requests: { cpu: '500m' } }), 'Burstable');
});

test('ephemeral containers come by their subresource alone, and stay', () => {
  const debug = { name: 'debug', image: 'busybox:1' };
  const forbiddenAtCreate = ['spec.ephemeralContainers: Forbidden: cannot be set on create'];
  assert.deepEqual(problemsOf(Pod, pod({ ephemeralContainers: [debug] })), forbiddenAtCreate);
  const [without, withOne] = [made(Pod, pod({})), made(Pod, pod({ ephemeralContainers: [debug] }))];
  const changed = made(Pod, pod({ ephemeralContainers: [{ ...debug, image: 'busybox:2' }] }));
  const problems = (object: Pod, old: Pod) => validateUpdate(Pod, object, old, [], 'ephemeralcontainers').map(({ message }) => message);
  assert.deepEqual(problems(withOne, without), []);
  assert.deepEqual(problems(without, withOne), ['Forbidden: existing ephemeral containers "debug" may not be removed\n']);
  assert.deepEqual(problems(changed, withOne), ['Forbidden: existing ephemeral containers "debug" may not be changed\n']);
});

test('a resize may change requests, but not the QoS class', () => {
  const sized = (cpu: string) => made(Pod, pod({}, { resources: { requests: { cpu } } }));
  assert.deepEqual(validateUpdate(Pod, sized('2'), sized('1'), [], 'resize'), []);
  const [cause] = validateUpdate(Pod, made(Pod, pod({})), sized('1'), [], 'resize');
  assert.equal(cause?.message, 'Invalid value: "Burstable": Pod QOS Class may not change as a result of resizing');
});
