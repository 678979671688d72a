import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import type { OciSpec } from '../oci-types.ts';
import { applyCdiEdits } from './apply.ts';
import { CdiDevices } from './devices.ts';
import { isDeviceName, toCdiSpec } from './spec.ts';

const directory = mkdtempSync(join(tmpdir(), 'umiak-cdi-'));
after(() => rmSync(directory, { recursive: true }));
const [fixed, fresh] = [join(directory, 'etc'), join(directory, 'run')];
for (const each of [fixed, fresh]) mkdirSync(each);
const write = (where: string, name: string, value: unknown) =>
  writeFileSync(join(where, name), typeof value === 'string' ? value : JSON.stringify(value), { mode: 0o644 });
const device = (name: string, containerEdits: object = {}) => ({ name, containerEdits });
const vendor = (kind: string, devices: object[], more: object = {}) => ({ cdiVersion: '0.8.0', kind, devices, ...more });
const cdi = new CdiDevices([fixed, fresh]);
const resolve = (...names: string[]) => cdi.resolve(names);

describe('specifications', () => {
  const refused: [string, object, RegExp][] = [
    ['an unknown version', { cdiVersion: '9.0.0' }, /cdiVersion: "9.0.0" is none of 0.3.0/],
    ['a kind without a class', { kind: 'vendor.com' }, /kind: "vendor.com" must have the form vendor.com\/class/],
    ['a name twice', { devices: [device('a'), device('a')] }, /devices: a is there twice/],
    ['a variable without a name', { containerEdits: { env: ['=x'] } }, /containerEdits.env\[0\]: "=x" must have the form/],
    [
      'a relative path',
      { devices: [device('a', { deviceNodes: [{ path: 'dev/x' }] })] },
      /devices\[0\].containerEdits.deviceNodes\[0\].path/,
    ],
    ['resource control', { containerEdits: { intelRdt: { closID: 'x' } } }, /containerEdits.intelRdt: is not supported/],
    ['network devices', { containerEdits: { netDevices: [{}] } }, /containerEdits.netDevices: is not supported/],
    ['a hook that nobody runs', { containerEdits: { hooks: [{ hookName: 'poststop', path: '/x' }] } }, /poststop is not supported/],
    [
      'permissions',
      { containerEdits: { deviceNodes: [{ path: '/dev/x', permissions: 'rx' }] } },
      /permissions: "rx" must be of r, w and m/,
    ],
    ['no list', { devices: {} }, /devices: must be a list/],
  ];
  for (const [what, more, message] of refused)
    test(`${what} is refused by its field`, () =>
      assert.throws(() => toCdiSpec({ ...vendor('vendor.com/class', [device('a')]), ...more }), { reason: 'Invalid', message }));

  test('names', () => {
    for (const name of ['vendor.com/class=0', 'a/b=c:1.2_x-3']) assert.ok(isDeviceName(name), name);
    for (const name of ['', '/dev/x', 'vendor.com/class', 'vendor.com/class=', 'a/b=c=d', '1/b=c', 'a/b=-'])
      assert.ok(!isDeviceName(name), name);
  });
});

describe('devices are found by name', () => {
  test('in JSON and YAML; what was made at run time goes before what stands there for good', async () => {
    write(fixed, 'one.json', vendor('v.com/gpu', [device('0', { env: ['WHERE=etc'] })], { containerEdits: { env: ['ALL=1'] } }));
    write(fixed, 'two.yaml', 'cdiVersion: 0.6.0\nkind: v.com/nic\ndevices:\n- name: x\n  containerEdits:\n    env: [NIC=x]\n');
    assert.deepEqual(
      (await resolve('v.com/gpu=0', 'v.com/nic=x')).flatMap(({ env }) => env ?? []),
      ['ALL=1', 'WHERE=etc', 'NIC=x'],
    );
    write(fresh, 'one.json', vendor('v.com/gpu', [device('0', { env: ['WHERE=run'] }), device('1')]));
    assert.deepEqual(
      (await resolve('v.com/gpu=0', 'v.com/gpu=0')).flatMap(({ env }) => env ?? []),
      ['WHERE=run'],
    );
  });

  test('a file that has changed is read again, one that has not is not', async () => {
    write(fresh, 'changing.json', vendor('v.com/changing', [device('0', { env: ['A=1'] })]));
    const before = await resolve('v.com/changing=0');
    assert.equal((await resolve('v.com/changing=0'))[1], before[1]);
    write(fresh, 'changing.json', vendor('v.com/changing', [device('0', { env: ['A=2'] })]));
    assert.deepEqual((await resolve('v.com/changing=0'))[1]?.env, ['A=2']);
    rmSync(join(fresh, 'changing.json'));
    await assert.rejects(resolve('v.com/changing=0'), { reason: 'NotFound' });
  });

  test('those that are not there, or in two places of equal rank, are named', async () => {
    await assert.rejects(resolve('v.com/gpu=7', 'v.com/gpu=0'), {
      reason: 'NotFound',
      message: 'CDI device injection failed: unresolvable CDI devices v.com/gpu=7',
    });
    await assert.rejects(resolve('gpu'), /"gpu": a name must have the form vendor.com\/class=name/);
    write(fresh, 'clash.json', vendor('v.com/gpu', [device('1')]));
    await assert.rejects(resolve('v.com/gpu=1'), ({ hint }: { hint: string }) =>
      /v.com\/gpu=1 is in .*clash.json and .*one.json|one.json and .*clash.json/.test(hint),
    );
  });

  test('a broken file, one that is too large, and one that others can write tell why they are not taken', async () => {
    write(fixed, 'broken.json', '{');
    write(fixed, 'large.json', ' '.repeat((1 << 20) + 1));
    write(fixed, 'open.json', vendor('v.com/open', [device('0')]));
    chmodSync(join(fixed, 'open.json'), 0o666);
    execFileSync('mkfifo', [join(fixed, 'fifo.json')]);
    await assert.rejects(resolve('v.com/open=0'), ({ hint }: { hint: string }) => {
      assert.match(hint, /broken.json/);
      assert.match(hint, /fifo.json: is no file/);
      assert.match(hint, /large.json: has more than 1048576 bytes/);
      assert.match(hint, /open.json: can be written by others than root/);
      return true;
    });
  });
});

test('edits change environment, nodes, rules, mounts, groups and hooks, and nothing else', () => {
  const spec: OciSpec = {
    ociVersion: '1.0.2',
    process: {
      terminal: false,
      user: { uid: 0, gid: 0, additionalGids: [0] },
      args: ['x'],
      env: ['PATH=/bin', 'A=1'],
      cwd: '/',
      capabilities: { bounding: [], effective: [], permitted: [] },
      noNewPrivileges: false,
    },
    root: { path: '/r', readonly: false },
    mounts: [{ destination: '/etc/hosts', type: 'bind', source: '/h', options: [] }],
    linux: { namespaces: [], cgroupsPath: '/c', resources: { devices: [{ allow: false, access: 'rwm' }] } },
  };
  const edited = applyCdiEdits(
    spec,
    [
      { env: ['A=2', 'B=3'], additionalGids: [44, 0], hooks: [{ hookName: 'createContainer', path: '/h', args: ['h', 'x'] }] },
      {
        deviceNodes: [
          { path: '/dev/own', type: 'c', major: 1, minor: 2, permissions: 'r' },
          { path: '/dev/x', hostPath: '/dev/y', uid: 7 },
        ],
        mounts: [
          { hostPath: '/lib/a', containerPath: '/lib/a', options: ['ro', 'bind'] },
          { hostPath: '/b', containerPath: '/b' },
        ],
      },
    ],
    (hostPath, path = hostPath, permissions = 'rwm') => ({ path, type: 'c', major: 5, minor: 6, permissions, uid: 0 }),
  );
  assert.deepEqual(edited.process.env, ['PATH=/bin', 'A=2', 'B=3']);
  assert.deepEqual(edited.process.user.additionalGids, [0, 44]);
  assert.deepEqual(edited.hooks, { createContainer: [{ path: '/h', args: ['h', 'x'] }] });
  assert.deepEqual(edited.linux.devices, [
    { path: '/dev/own', type: 'c', major: 1, minor: 2 },
    { path: '/dev/x', type: 'c', major: 5, minor: 6, uid: 7 },
  ]);
  assert.deepEqual(edited.linux.resources.devices.slice(1), [
    { allow: true, access: 'r', type: 'c', major: 1, minor: 2 },
    { allow: true, access: 'rwm', type: 'c', major: 5, minor: 6 },
  ]);
  assert.deepEqual(
    edited.mounts.map(({ destination, options }) => [destination, options]),
    [
      ['/etc/hosts', []],
      ['/b', ['rbind']],
      ['/lib/a', ['ro', 'bind']],
    ],
  );
  assert.equal(spec.process.env.length, 2);
});
