import assert from 'node:assert/strict';
import { test } from 'node:test';
import { podWarnings, workloadWarnings } from './pod-warnings.ts';
import type { Container, Pod } from './types.gen.ts';

const pod = (spec: object, annotations: Record<string, string> = {}) =>
  ({ metadata: { name: 'p', annotations }, spec: { containers: [], ...spec } }) as unknown as Pod;
const container = (more: object): { containers: Container[] } => ({ containers: [{ name: 'c', ...more }] });
const SECCOMP = 'seccomp.security.alpha.kubernetes.io/pod';

const cases: [what: string, pod: Pod, expected: string[]][] = [
  ['nothing', pod(container({ env: [{ name: 'A' }, { name: 'B' }] })), []],
  [
    'a variable defined twice',
    pod(container({ env: [{ name: 'A' }, { name: 'A' }] })),
    ['spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply'],
  ],
  [
    'a port named twice',
    pod(container({ ports: [{ containerPort: 80 }, { containerPort: 80, protocol: 'TCP' }, { containerPort: 80, protocol: 'UDP' }] })),
    ['spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]'],
  ],
  [
    'parts of bytes',
    pod(container({ resources: { requests: { memory: '100m' } } })),
    ['spec.containers[0].resources.requests[memory]: fractional byte value "100m" is invalid, must be an integer'],
  ],
  [
    'annotations without effect',
    pod({}, { [SECCOMP]: 'runtime/default' }),
    [`metadata.annotations[${SECCOMP}]: non-functional in v1.27+; use the "seccompProfile" field instead`],
  ],
  [
    'old labels, volumes and empty names',
    pod({ nodeSelector: { 'beta.kubernetes.io/os': 'linux' }, volumes: [{ name: 'g', gitRepo: {} }], imagePullSecrets: [{}] }),
    [
      'spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead',
      'spec.volumes[0].gitRepo: deprecated in v1.11, and disabled by default in v1.33+',
      'spec.imagePullSecrets[0].name: invalid empty name ""',
    ],
  ],
];
for (const [what, given, expected] of cases) test(`warnings of a pod: ${what}`, () => assert.deepEqual(podWarnings(given), expected));

test('a workload is warned of when its template changes', () => {
  const { metadata, spec } = pod(container({ env: [{ name: 'A' }, { name: 'A' }] }));
  const set = { apiVersion: 'apps/v1', kind: 'ReplicaSet', metadata, spec: { replicas: 1, template: { metadata, spec } } } as never;
  assert.match(String(workloadWarnings(set)), /^spec\.template\.spec\.containers\[0\]\.env\[1\]: hides/);
  assert.deepEqual(workloadWarnings(set, set), []);
  assert.deepEqual(podWarnings(pod({}, { [SECCOMP]: 'x' }), pod({})), []);
});
