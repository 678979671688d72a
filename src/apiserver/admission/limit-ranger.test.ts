import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LimitRange } from '#kinds/limit-range.ts';
import type { LimitRangeItem, Pod } from '#kinds/types.gen.ts';
import { applyDefaults, claimBreaks, podBreaks } from './limit-ranger.ts';

function rangeOf(...limits: LimitRangeItem[]): LimitRange {
  const range = { apiVersion: 'v1', kind: 'LimitRange', metadata: { name: 'l' }, spec: { limits } } as LimitRange;
  LimitRange.defaults?.(range);
  return range;
}
const podOf = (resources: object, more: object = {}) =>
  ({ metadata: { name: 'p' }, spec: { containers: [{ name: 'c', resources }], ...more } }) as unknown as Pod;

test('a container gets the limits and requests that it leaves out', () => {
  const pod = podOf({ requests: { cpu: '50m' } }, { initContainers: [{ name: 'i' }] });
  applyDefaults(pod, rangeOf({ type: 'Container', max: { memory: '1Gi' }, default: { cpu: '500m' }, defaultRequest: { cpu: '100m' } }));
  assert.deepEqual(pod.spec.containers[0]?.resources, { requests: { cpu: '50m', memory: '1Gi' }, limits: { cpu: '500m', memory: '1Gi' } });
  assert.deepEqual(pod.spec.initContainers?.[0]?.resources?.requests, { cpu: '100m', memory: '1Gi' });
  assert.equal(
    pod.metadata.annotations?.['kubernetes.io/limit-ranger'],
    'LimitRanger plugin set: memory request for container c; cpu, memory limit for container c; cpu, memory request for init container i; cpu, memory limit for init container i',
  );
});

const bounds: [what: string, pod: Pod, item: LimitRangeItem, expected: string[]][] = [
  [
    'too little',
    podOf({ requests: { cpu: '10m' } }),
    { type: 'Container', min: { cpu: '50m' } },
    ['minimum cpu usage per Container is 50m, but request is 10m'],
  ],
  [
    'no request',
    podOf({}),
    { type: 'Container', min: { cpu: '50m' } },
    ['minimum cpu usage per Container is 50m.  No request is specified'],
  ],
  [
    'too much',
    podOf({ requests: { cpu: 1 }, limits: { cpu: '2' } }),
    { type: 'Container', max: { cpu: '1500m' } },
    ['maximum cpu usage per Container is 1500m, but limit is 2'],
  ],
  [
    'too wide',
    podOf({ requests: { cpu: '100m' }, limits: { cpu: '500m' } }),
    { type: 'Container', maxLimitRequestRatio: { cpu: '4' } },
    ['cpu max limit to request ratio per Container is 4, but provided ratio is 5.000000'],
  ],
  [
    'the whole pod',
    podOf(
      { limits: { memory: '1Gi' }, requests: { memory: '1Gi' } },
      { initContainers: [{ name: 's', restartPolicy: 'Always', resources: { limits: { memory: '1Gi' }, requests: { memory: '1Gi' } } }] },
    ),
    { type: 'Pod', max: { memory: '1Gi' } },
    ['maximum memory usage per Pod is 1Gi, but limit is 2Gi'],
  ],
  ['all well', podOf({ requests: { cpu: '1' }, limits: { cpu: '1' } }), { type: 'Pod', max: { cpu: '1' }, min: { cpu: '1' } }, []],
];
for (const [what, pod, item, expected] of bounds)
  test(`bounds of pods: ${what}`, () => assert.deepEqual(podBreaks(pod, rangeOf(item)), expected));

test('bounds of claims', () => {
  const claim = { spec: { resources: { requests: { storage: '5Gi' } } } } as never;
  const item = { type: 'PersistentVolumeClaim', min: { storage: '6Gi' }, max: { storage: '4Gi' } };
  assert.deepEqual(claimBreaks(claim, rangeOf(item)), [
    'minimum storage usage per PersistentVolumeClaim is 6Gi, but request is 5Gi',
    'maximum storage usage per PersistentVolumeClaim is 4Gi, but request is 5Gi',
  ]);
});

test('a limit range that contradicts itself is invalid', () => {
  const wrong =
    LimitRange.validate?.(rangeOf({ type: 'Container', min: { cpu: '2' }, max: { cpu: '1' }, defaultRequest: { cpu: '3' } })) ?? [];
  assert.deepEqual(
    wrong.map(({ field, message }) => `${field}: ${message}`),
    [
      'spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1',
      'spec.limits[0].defaultRequest[cpu]: Invalid value: "3": default request value 3 is greater than max value 1',
      'spec.limits[0].defaultRequest[cpu]: Invalid value: "3": default request value 3 is greater than default limit value 1',
      'spec.limits[0].default[cpu]: Invalid value: "2": min value 2 is greater than default value 1',
    ],
  );
});
