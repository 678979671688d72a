/** What of a pod's rules is judged as upstream's API server judges it, asked of that server itself: accepted or not, fields, words. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Pod } from './pod.ts';
import { made } from './testing.ts';
import { validateCreate, validateStatusUpdate, validateUpdate } from './validate-object.ts';

type Loose = Record<string, unknown>;

const container = (more: Loose = {}) => ({ name: 'c', image: 'i:1', ...more });
const podOf = (spec: Loose, metadata: Loose = { labels: { app: 'web' } }) =>
  made(Pod, { metadata: { name: 'p', namespace: 'n', ...metadata }, spec: { containers: [container()], ...spec } } as never);
const texts = (causes: readonly { field: string; message: string }[]) => causes.map(({ field, message }) => `${field}: ${message}`);
const created = (spec: Loose) => texts(validateCreate(Pod, podOf(spec)));
const cpu = (requests: string, limits?: string) => ({
  resources: { requests: { cpu: requests }, ...(limits && { limits: { cpu: limits } }) },
});
const spread = (more: Loose) => ({ maxSkew: 1, topologyKey: 'zone', whenUnsatisfiable: 'DoNotSchedule', ...more });

const REFUSED: [name: string, spec: Loose, causes: string[]][] = [
  [
    'keys of labels beside no selector',
    { topologySpreadConstraints: [spread({ matchLabelKeys: ['app'] })] },
    ['spec.topologySpreadConstraints[0].matchLabelKeys: Forbidden: must not be specified when labelSelector is not set'],
  ],
  [
    'least domains where pods may be anywhere',
    { topologySpreadConstraints: [spread({ minDomains: 2, whenUnsatisfiable: 'ScheduleAnyway', labelSelector: {} })] },
    [
      'spec.topologySpreadConstraints[0].minDomains: Invalid value: 2: can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ScheduleAnyway',
    ],
  ],
  [
    'claims of the whole pod',
    { resources: { claims: [], requests: { cpu: '1' } } },
    ['spec.resources.claims: Forbidden: claims may not be set for Resources at pod-level'],
  ],
  [
    'less than the containers ask for',
    { containers: [container(cpu('2'))], resources: { requests: { cpu: '1' } } },
    ['spec.resources.requests[cpu]: Invalid value: "1": must be greater than or equal to aggregate container requests of 2'],
  ],
  [
    'a container that may take more than the pod',
    { containers: [container(cpu('1', '3'))], resources: { requests: { cpu: '1' }, limits: { cpu: '2' } } },
    ['spec.resources.containers[0][cpu].limits: Invalid value: "3": must be less than or equal to pod limits of 2'],
  ],
  [
    'what only containers have',
    { resources: { requests: { 'example.com/x': '1' }, limits: { 'example.com/x': '1' } } },
    ['limits', 'requests'].map(
      which =>
        `spec.resources.${which}[example.com/x]: Unsupported value: "example.com/x": supported values: "cpu", "hugepages-", "memory"`,
    ),
  ],
  [
    'a sleep that outlasts the pod',
    { containers: [container({ lifecycle: { preStop: { sleep: { seconds: 31 } } } })] },
    [
      'spec.containers[0].lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and less than terminationGracePeriodSeconds (30)',
    ],
  ],
  [
    'an unmasked /proc with the users of the host',
    { containers: [container({ securityContext: { procMount: 'Unmasked' } })] },
    ['spec.containers[0].securityContext.procMount: Invalid value: "Unmasked": `hostUsers` must be false to use `Unmasked`'],
  ],
  [
    'a key of a file in no volume',
    { containers: [container({ env: [{ name: 'A', valueFrom: { fileKeyRef: { volumeName: 'v', path: 'f', key: 'k' } } }] })] },
    ['spec.containers[0].env[0].valueFrom.fileKeyRef.volumeName: Not found: "v"'],
  ],
  [
    'a user of Windows with an empty domain',
    { securityContext: { windowsOptions: { runAsUserName: '\\x' } } },
    [
      `spec.securityContext.windowsOptions.runAsUserName: Invalid value: "\\\\x": runAsUserName's Domain doesn't match the NetBios nor the DNS format`,
    ],
  ],
  [
    'a process of the host outside its network',
    { securityContext: { windowsOptions: { hostProcess: true } } },
    ['spec.hostNetwork: Invalid value: false: hostNetwork must be true if pod contains any hostProcess containers'],
  ],
];

for (const [name, spec, causes] of REFUSED) test(`refused: ${name}`, () => assert.deepEqual(created(spec), causes));

test('accepted: empty texts are as good as absent, a negative grace becomes a second, a secret may lack its name', () => {
  const { spec } = podOf({
    restartPolicy: '',
    dnsPolicy: '',
    schedulerName: '',
    terminationGracePeriodSeconds: -3,
    imagePullSecrets: [{}],
    containers: [container({ imagePullPolicy: '', terminationMessagePath: '', terminationMessagePolicy: '' })],
  });
  const { restartPolicy, dnsPolicy, schedulerName, terminationGracePeriodSeconds } = spec;
  assert.deepEqual(
    { restartPolicy, dnsPolicy, schedulerName, terminationGracePeriodSeconds },
    { restartPolicy: 'Always', dnsPolicy: 'ClusterFirst', schedulerName: 'default-scheduler', terminationGracePeriodSeconds: 1 },
  );
  assert.equal(spec.containers[0]?.imagePullPolicy, 'IfNotPresent');
  assert.deepEqual(created({ imagePullSecrets: [{}], schedulerName: 'Any_Thing' }), []);
});

test('matchLabelKeys and mismatchLabelKeys are written into the selectors at creation', () => {
  const term = { topologyKey: 'zone', labelSelector: {}, matchLabelKeys: ['app', 'absent'], mismatchLabelKeys: ['team'] };
  const pod = podOf(
    {
      topologySpreadConstraints: [spread({ labelSelector: { matchLabels: { a: 'b' } }, matchLabelKeys: ['app'] })],
      affinity: {
        podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [structuredClone(term)] },
        podAntiAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 1, podAffinityTerm: structuredClone(term) }] },
      },
    },
    { labels: { app: 'web', team: 'x' } },
  );
  const is = { key: 'app', operator: 'In', values: ['web'] };
  const isNot = { key: 'team', operator: 'NotIn', values: ['x'] };
  const { topologySpreadConstraints, affinity } = pod.spec;
  assert.deepEqual(topologySpreadConstraints?.[0]?.labelSelector, { matchLabels: { a: 'b' }, matchExpressions: [is] });
  const hard = affinity?.podAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  const soft = affinity?.podAntiAffinity?.preferredDuringSchedulingIgnoredDuringExecution;
  assert.deepEqual(hard?.[0]?.labelSelector, { matchExpressions: [is, isNot] });
  assert.deepEqual(soft?.[0]?.podAffinityTerm.labelSelector, { matchExpressions: [is, isNot] });
  assert.deepEqual(texts(validateCreate(Pod, pod)), []);
});

test("a pod's own requests follow its containers', then its limits", () => {
  const { resources } = podOf({
    initContainers: [container({ name: 'i', ...cpu('3') })],
    containers: [container(cpu('1500m')), container({ name: 'd', ...cpu('1') })],
    resources: { limits: { cpu: '4', memory: '1Gi' } },
  }).spec;
  assert.deepEqual(resources, { limits: { cpu: '4', memory: '1Gi' }, requests: { cpu: '3', memory: '1Gi' } });
});

const gated = (more: Loose = {}) => ({ schedulingGates: [{ name: 'g' }], nodeSelector: { a: 'b' }, ...more });
const needed = (...terms: Loose[]) => ({
  affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: terms } } },
});
const has = (...keys: string[]) => ({ matchExpressions: keys.map(key => ({ key, operator: 'Exists' })) });
const TERMS = 'spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms';

const UPDATES: [name: string, old: Loose, now: Loose, fields: string[]][] = [
  ['an empty list for none', {}, { tolerations: [], affinity: {} }, []],
  ['a gated pod with one node label more', gated(), gated({ nodeSelector: { a: 'b', c: 'd' } }), []],
  ['a gated pod with another node label', gated(), gated({ nodeSelector: { a: 'x' } }), ['spec.nodeSelector']],
  ['a gated pod that asks its nodes for more', gated(needed(has('a'))), gated(needed(has('a', 'b'))), []],
  ['a gated pod that asks its nodes for something else', gated(needed(has('a'))), gated(needed(has('b'))), [`${TERMS}[0]`]],
  ['a gated pod with one more choice', gated(needed(has('a'))), gated(needed(has('a'), has('b'))), [TERMS]],
  ['a pod without gates that asks its nodes for more', needed(has('a')), needed(has('a', 'b')), ['spec']],
  ['a deadline that comes', {}, { activeDeadlineSeconds: 5 }, []],
  ['a deadline put off', { activeDeadlineSeconds: 5 }, { activeDeadlineSeconds: 6 }, ['spec.activeDeadlineSeconds']],
];

for (const [name, old, now, fields] of UPDATES)
  test(`update: ${name}`, () => {
    const causes = validateUpdate(Pod, podOf(now), podOf(old));
    assert.deepEqual(
      causes.map(({ field }) => field),
      fields,
    );
  });

const two = { containers: [container(cpu('1', '2'))] };

const RESIZES: [name: string, old: Loose, now: Loose, causes: string[]][] = [
  ['more cpu', two, { containers: [container(cpu('2', '3'))] }, []],
  [
    'a limit taken back',
    two,
    { containers: [container(cpu('1'))] },
    ['spec.containers[0].resources.limits: Forbidden: resource limits cannot be removed'],
  ],
  [
    'another resource',
    two,
    { containers: [container({ resources: { requests: { cpu: '1', 'ephemeral-storage': '1Gi' }, limits: { cpu: '2' } } })] },
    ['spec: Forbidden: only cpu and memory resources are mutable'],
  ],
  [
    'another class',
    two,
    { containers: [container(cpu('2', '2'))], resources: { limits: { cpu: '2', memory: '1Gi' } } },
    ['spec: Invalid value: "Burstable": Pod QOS Class may not change as a result of resizing'],
  ],
  [
    'a container more',
    two,
    { containers: [...two.containers, container({ name: 'd' })] },
    ['spec.containers: Forbidden: containers may not be added or removed on resize'],
  ],
];

for (const [name, old, now, causes] of RESIZES)
  test(`resize: ${name}`, () => assert.deepEqual(texts(validateUpdate(Pod, podOf(now), podOf(old), [], 'resize')), causes));

const ended = {
  containerStatuses: [{ name: 'c', ready: false, restartCount: 0, image: '', imageID: '', state: { terminated: { exitCode: 0 } } }],
};
const running = { containerStatuses: [{ name: 'c', ready: true, restartCount: 0, image: '', imageID: '', state: { running: {} } }] };

const STATUSES: [name: string, spec: Loose, old: Loose, now: Loose, causes: string[]][] = [
  ['a container that starts again', {}, ended, running, []],
  [
    'a container that must not start again',
    { restartPolicy: 'Never' },
    ended,
    running,
    ['status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state'],
  ],
  [
    'another class',
    {},
    { qosClass: 'BestEffort' },
    { qosClass: 'Burstable' },
    ['status.qosClass: Invalid value: "Burstable": field is immutable'],
  ],
  [
    'an address that is none',
    {},
    {},
    { podIP: '1.2.3' },
    ['status.podIPs[0]: Invalid value: "1.2.3": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'],
  ],
  [
    'zeros before an address',
    {},
    {},
    { podIPs: [{ ip: '01.2.3.4' }] },
    ['status.podIPs[0]: Invalid value: "01.2.3.4": must not have leading 0s'],
  ],
  [
    'a node for a bound pod',
    { nodeName: 'x' },
    {},
    { nominatedNodeName: 'y' },
    ['status.nominatedNodeName: Forbidden: may not be set on pods that are already bound to a node'],
  ],
];

for (const [name, spec, old, now, causes] of STATUSES)
  test(`status: ${name}`, () => {
    const [pod, before] = [podOf(spec), podOf(spec)];
    pod.status = now as never;
    before.status = old as never;
    Pod.prepareForStatusUpdate?.(pod, before);
    assert.deepEqual(texts(validateStatusUpdate(Pod, pod, before)), causes);
  });
