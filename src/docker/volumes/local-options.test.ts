import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MS_BIND, MS_NODEV, MS_RDONLY, MS_REC } from '#linux/mount.ts';
import { type MountPlan, parseLocalOptions, planLocalMount } from './local-options.ts';
import { planPruneFilter, planVolumeFilter } from './volume-forms.ts';
import { checkVolumeName } from './volume-store.ts';

const plans: [options: Record<string, string>, expected: MountPlan | RegExp | undefined][] = [
  [{}, undefined],
  [
    { type: 'tmpfs', device: 'tmpfs', o: 'size=1m,uid=5,nodev' },
    { by: 'call', type: 'tmpfs', device: 'tmpfs', flags: MS_NODEV, data: 'size=1m,uid=5' },
  ],
  [
    { type: 'none', device: '/srv', o: 'bind,ro' },
    { by: 'call', type: null, device: '/srv', flags: MS_BIND | MS_RDONLY, data: '' },
  ],
  [
    { type: 'none', device: '/srv', o: 'rbind' },
    { by: 'call', type: null, device: '/srv', flags: MS_BIND | MS_REC, data: '' },
  ],
  [
    { type: 'nfs', device: ':/export', o: 'addr=files.example,rw,vers=4' },
    { by: 'process', type: 'nfs', device: ':/export', options: 'addr=files.example,rw,vers=4', addressOf: 'files.example' },
  ],
  [
    { type: 'ext4', device: '/dev/sdb1' },
    { by: 'process', type: 'ext4', device: '/dev/sdb1', options: '' },
  ],
  [{ type: 'none', device: 'srv', o: 'bind' }, /must be an absolute path/],
  [{ type: 'tmpfs' }, /missing required option: "device"/],
  [{ device: '/srv' }, /missing required option: "type"/],
  [{ o: 'bind' }, /missing required option/],
  [{ size: '1m' }, /quota size requested but no quota support/],
  [{ colour: 'red' }, /invalid option: "colour"/],
  [{ type: '-t', device: 'x' }, /invalid option: type/],
];
for (const [options, expected] of plans)
  test(`a volume with ${JSON.stringify(options)}`, () => {
    const plan = () => {
      const mount = parseLocalOptions(options);
      return mount && planLocalMount(mount);
    };
    if (expected instanceof RegExp) assert.throws(plan, expected);
    else assert.deepEqual(plan(), expected);
  });

test('names', () => {
  for (const name of ['ab', 'A.b_c-9', 'x'.repeat(255)]) checkVolumeName(name);
  assert.throws(() => checkVolumeName('a'), /volume name is too short/);
  for (const name of ['../x', '..', '.gone', 'a/b', 'a b', '-a', 'ä1'])
    assert.throws(() => checkVolumeName(name), /includes invalid characters/);
  assert.throws(() => checkVolumeName('x'.repeat(256)), /at most 255/);
});

const data = { version: 1, name: 'data', createdAtMs: 0, labels: { tier: 'db' }, options: {} } as const;
const filters: [query: object, passes: boolean][] = [
  [{}, true],
  [{ dangling: ['true'] }, false],
  [{ dangling: ['false'] }, true],
  [{ driver: ['local'] }, true],
  [{ driver: ['nfs'] }, false],
  [{ name: ['at'] }, true],
  [{ name: ['other'] }, false],
  [{ label: ['tier=db'] }, true],
  [{ label: ['tier=web'] }, false],
];
for (const [query, passes] of filters)
  test(`docker volume ls with ${JSON.stringify(query)}`, () =>
    assert.equal(planVolumeFilter(JSON.stringify(query), () => true)(data), passes));

test('prune takes nameless volumes, older clients’ all, never those with options; labels choose', () => {
  assert.equal(planPruneFilter(null, 51)(data), false);
  assert.equal(planPruneFilter(null, 51)({ ...data, isAnonymous: true }), true);
  assert.equal(planPruneFilter('{"all":["true"]}', 51)(data), true);
  assert.equal(planPruneFilter(null, 41)(data), true);
  assert.equal(planPruneFilter('{"label!":["tier"]}', 41)(data), false);
  assert.equal(planPruneFilter(null, 41)({ ...data, options: { type: 'tmpfs' } }), false);
  assert.throws(() => planPruneFilter('{"all":["true"]}', 41), /invalid filter 'all'/);
});
