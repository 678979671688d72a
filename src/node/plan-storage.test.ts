import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock, silentLog } from '#base/index.ts';
import type { Pod } from '#kinds/pod.ts';
import { isStorageLimited, planStorageEviction, type StorageUse } from './plan-storage.ts';
import { StorageWatch, type StorageWatchOptions } from './storage-watch.ts';
import { instance, podOf, sandboxOf } from './testing.ts';

const MIB = 1 << 20;
const container = (name: string, limit?: string, more: object = {}) => ({
  name,
  image: 'i',
  ...(limit ? { resources: { limits: { 'ephemeral-storage': limit } } } : {}),
  ...more,
});
const volume = (name: string, emptyDir: object) => ({ name, emptyDir });
const use = (volumes: Record<string, number>, containers: Record<string, number> = {}): StorageUse => ({
  volumes: new Map(Object.entries(volumes)),
  containers: new Map(Object.entries(containers)),
});

test('who may take as much of the disk as there is', () => {
  assert.equal(isStorageLimited(podOf()), false);
  assert.equal(isStorageLimited(podOf({ volumes: [volume('v', {})] })), false);
  assert.equal(isStorageLimited(podOf({ volumes: [volume('v', { medium: 'Memory', sizeLimit: '1Mi' })] })), false, 'the kernel sees to it');
  assert.equal(isStorageLimited(podOf({ volumes: [volume('v', { sizeLimit: '1Mi' })] })), true);
  assert.equal(isStorageLimited(podOf({ containers: [container('a', '1Mi')] })), true);
});

const limited = podOf({ containers: [container('a', '10Mi'), container('b', '5Mi')], volumes: [volume('v', { sizeLimit: '2Mi' })] });
const half = podOf({ containers: [container('a', '10Mi'), container('b')] });
const starting = podOf({ initContainers: [container('init', '1Gi')], containers: [container('a', '1Mi')] });
const cases: [string, Pod, StorageUse, string | undefined][] = [
  ['all within', limited, use({ v: 2 * MIB }, { a: 8 * MIB, b: 5 * MIB }), undefined],
  ['a volume', limited, use({ v: 2 * MIB + 1 }), 'Usage of EmptyDir volume "v" exceeds the limit "2Mi". '],
  [
    'all together',
    limited,
    use({ v: 2 * MIB }, { a: 9 * MIB, b: 5 * MIB }),
    'Pod ephemeral local storage usage exceeds the total limit of containers 15Mi. ',
  ],
  ['one container', limited, use({}, { a: 1, b: 6 * MIB }), 'Container b exceeded its local ephemeral storage limit "5Mi". '],
  [
    'one without a limit counts for the pod',
    half,
    use({}, { b: 11 * MIB }),
    'Pod ephemeral local storage usage exceeds the total limit of containers 10Mi. ',
  ],
  ['an init container may need more', starting, use({}, { init: 900 * MIB }), undefined],
];
for (const [name, pod, used, expected] of cases) test(name, () => assert.equal(planStorageEviction(pod, used), expected));

test('it counts those that are limited, as long as there are some', async () => {
  const clock = new ManualClock();
  const [evicted, measured]: [string[], string[][]] = [[], []];
  let pods = [podOf({ volumes: [volume('v', { sizeLimit: '1Mi' })] }), podOf({}, { metadata: { uid: 'free' } })];
  let bytes = MIB;
  const options: Partial<StorageWatchOptions> = {
    engine: {
      sandboxes: () => [sandboxOf()],
      containers: () => [{ ...instance('main', 'running'), logPath: '/logs/main/0.log' }],
      writableDirectory: id => `/upper/${id}`,
    } as StorageWatchOptions['engine'],
    volumes: { directoryOf: (uid, name) => `/volumes/${uid}/${name}` },
    measure: async directories => {
      measured.push([...directories]);
      return new Map([['/volumes/uid-1/v', bytes]]);
    },
  };
  const evict = (pod: Pod, message: string) => void evicted.push(`${pod.metadata.uid}: ${message}`);
  await using watch = new StorageWatch({ ...options, pods: () => pods, evict, clock, log: silentLog } as StorageWatchOptions);
  const turns = async () => {
    for (let i = 0; i < 5; i++) await new Promise(setImmediate);
  };
  const look = async () => {
    clock.advance(10_000);
    await turns();
  };
  watch.notice(podOf());
  await look();
  assert.equal(measured.length, 0);
  for (const pod of pods) watch.notice(pod);
  await look();
  assert.deepEqual(measured, [['/volumes/uid-1/v', '/upper/main-0', '/logs/main']]);
  assert.deepEqual(evicted, []);
  bytes += 1;
  await look();
  assert.deepEqual(evicted, ['uid-1: Usage of EmptyDir volume "v" exceeds the limit "1Mi". ']);
  pods = [];
  await look();
  await look();
  assert.equal(measured.length, 3, 'nobody is limited any more');
});
