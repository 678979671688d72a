import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseMount } from './mount-request.ts';
import { type MountSpec, parseBind, parseTmpfsOptions, parseVolumesFrom } from './mount-spec.ts';
import { planMounts } from './plan-mounts.ts';
import { toContainerMount, toEngineMount } from './resolved-mount.ts';

const bind = (change: Partial<MountSpec>): MountSpec => ({
  type: 'bind',
  source: '/src',
  destination: '/dst',
  readOnly: false,
  mode: '',
  propagation: '',
  makesSource: true,
  ...change,
});
const volume = (change: Partial<MountSpec>): MountSpec => {
  const { makesSource: _, ...rest } = bind({ type: 'volume', source: 'data' });
  return { ...rest, ...change };
};

const binds: [text: string, expected: MountSpec | RegExp][] = [
  ['/src:/dst', bind({})],
  ['/src/../src/:/dst/', bind({})],
  ['/src:/dst:ro', bind({ readOnly: true, mode: 'ro' })],
  ['/src:/dst:ro,Z,rslave', bind({ readOnly: true, mode: 'ro,Z,rslave', propagation: 'rslave' })],
  ['/src:/dst:cached', bind({ mode: 'cached' })],
  ['data:/dst', volume({})],
  ['data:/dst:nocopy,rw', volume({ mode: 'nocopy,rw', noCopy: true })],
  ['/dst', volume({ source: '' })],
  ['', /invalid volume specification: ''/],
  [':/dst', /invalid volume specification: ':\/dst'/],
  ['/dst:ro', /invalid volume specification: '\/dst:ro'/],
  ['a:/b:ro:c', /invalid volume specification/],
  ['/src:/dst:rw,ro', /invalid mode: rw,ro/],
  ['/src:/dst:', /invalid mode: /],
  ['/src:/dst:quick', /invalid mode: quick/],
  ['/src:dst', /mount path must be absolute/],
  ['/src:/', /destination can't be '\/'/],
  ['/src:/..', /destination can't be '\/'/],
  ['/src:/dst:nocopy', /field VolumeOptions must not be specified/],
  ['data:/dst:shared', /field BindOptions must not be specified/],
];
for (const [text, expected] of binds)
  test(`-v ${text}`, () => {
    if (expected instanceof RegExp) assert.throws(() => parseBind(text), expected);
    else assert.deepEqual(parseBind(text), expected);
  });

const mounts: [mount: unknown, expected: Partial<MountSpec> | RegExp][] = [
  [
    { Type: 'bind', Source: '/src', Target: '/dst' },
    { type: 'bind', source: '/src', destination: '/dst' },
  ],
  [
    { Type: 'bind', Source: '/src', Target: '/dst', BindOptions: { CreateMountpoint: true, NonRecursive: true } },
    { makesSource: true, isShallow: true },
  ],
  [
    { Type: 'bind', Source: '/src', Target: '/dst', ReadOnly: true, BindOptions: { ReadOnlyNonRecursive: true } },
    { readOnlyBelow: 'never' },
  ],
  [
    { Type: 'bind', Source: '/src', Target: '/dst', BindOptions: { ReadOnlyForceRecursive: true } },
    /ReadOnlyForceRecursive requires ReadOnly/,
  ],
  [{ Type: 'bind', Source: '/src', Target: '/dst', BindOptions: { Propagation: 'wide' } }, /invalid propagation mode: wide/],
  [{ Type: 'bind', Target: '/dst' }, /invalid mount config for type "bind": field Source must not be empty/],
  [{ Type: 'bind', Source: 'src', Target: '/dst' }, /mount path must be absolute/],
  [{ Type: 'bind', Source: '/src' }, /field Target must not be empty/],
  [{ Type: 'bind', Source: '/src', Target: '/dst', VolumeOptions: {} }, /field VolumeOptions must not be specified/],
  [
    { Type: 'volume', Target: '/dst' },
    { type: 'volume', source: '' },
  ],
  [
    {
      Type: 'volume',
      Source: 'data',
      Target: '/dst',
      VolumeOptions: { NoCopy: true, Subpath: 'a/./b', Labels: { a: 'b' }, DriverConfig: { Name: 'local', Options: { type: 'tmpfs' } } },
    },
    { noCopy: true, subPath: 'a/b', labels: { a: 'b' }, driver: 'local', driverOptions: { type: 'tmpfs' } },
  ],
  [
    { Type: 'volume', Source: 'data', Target: '/dst', VolumeOptions: { Subpath: 'a/../../b' } },
    /must be a relative path within the volume/,
  ],
  [{ Type: 'volume', Source: 'data', Target: '/dst', VolumeOptions: { Subpath: '/b' } }, /must be a relative path within the volume/],
  [
    { Type: 'tmpfs', Target: '/dst', ReadOnly: true, TmpfsOptions: { SizeBytes: 65536, Mode: 0o1770, Options: [['uid', '5'], ['exec']] } },
    { type: 'tmpfs', readOnly: true, options: ['exec', 'nosuid', 'nodev', 'size=65536', 'mode=1770', 'uid=5'] },
  ],
  [{ Type: 'tmpfs', Target: '/dst', TmpfsOptions: { Options: [['lowerdir', '/']] } }, /invalid tmpfs option "lowerdir=\/"/],
  [{ Type: 'tmpfs', Source: 'x', Target: '/dst' }, /field Source must not be specified/],
  [
    { Type: 'image', Source: 'busybox', Target: '/dst', ImageOptions: { Subpath: 'etc' } },
    { type: 'image', readOnly: true, subPath: 'etc' },
  ],
  [{ Type: 'npipe', Source: 'x', Target: '/dst' }, /invalid mount config for type "npipe"/],
  [{ Type: 'wish', Source: 'x', Target: '/dst' }, /mount type unknown/],
  [7, /invalid mount config/],
];
for (const [mount, expected] of mounts)
  test(`--mount ${JSON.stringify(mount)}`, () => {
    if (expected instanceof RegExp) assert.throws(() => parseMount(mount), expected);
    else assert.partialDeepStrictEqual(parseMount(mount), expected);
  });

const tmpfs: [text: string, options: string[], readOnly: boolean][] = [
  ['', ['noexec', 'nosuid', 'nodev'], false],
  ['exec,size=64m,ro', ['exec', 'nosuid', 'nodev', 'size=64m'], true],
  ['ro,rw', ['noexec', 'nosuid', 'nodev'], false],
  ['size=1m,size=2m', ['noexec', 'nosuid', 'nodev', 'size=2m'], false],
];
for (const [text, options, readOnly] of tmpfs)
  test(`--tmpfs /x:${text}`, () => assert.deepEqual(parseTmpfsOptions(text), { options, readOnly }));

test('--volumes-from', () => {
  assert.deepEqual(parseVolumesFrom('db'), { container: 'db', mode: 'rw' });
  assert.deepEqual(parseVolumesFrom('db:ro,z'), { container: 'db', mode: 'ro,z' });
  assert.throws(() => parseVolumesFrom('db:nocopy'), /invalid mode for volumes-from: nocopy/);
  assert.throws(() => parseVolumesFrom(':ro'), /cannot be empty/);
});

test('all of a container’s mounts: each place once, others’ volumes where nothing else is, new ones where the image wants them', () => {
  const point = {
    Type: 'volume',
    Name: 'theirs',
    Source: '/v/theirs/_data',
    Driver: 'local',
    Mode: '',
    RW: true,
    Propagation: '',
  } as const;
  const planned = planMounts(
    {
      volumes: { '/image': {}, '/a/': {} },
      host: {
        Binds: ['/src:/a', 'named:/b'],
        Mounts: [{ Type: 'tmpfs', Target: '/c' }],
        Tmpfs: { '/d': 'size=1m' },
        VolumesFrom: ['other:ro'],
      },
    },
    () => [
      { point: { ...point, Destination: '/b' } },
      { point: { ...point, Destination: '/e' }, part: { path: 'sub', place: '/p' } },
      { point: { ...point, Type: 'tmpfs', Destination: '/f' } },
    ],
  );
  assert.deepEqual(
    planned.map(({ destination, type, source, readOnly, subPath }) => [destination, type, source, readOnly, subPath].join(' ').trim()),
    [
      '/a bind /src false',
      '/b volume named false',
      '/c tmpfs  false',
      '/d tmpfs  false',
      '/e volume theirs true sub',
      '/image volume  false',
    ],
  );
});

test('a place twice is refused, and what is no list', () => {
  const plan = (host: object) => planMounts({ volumes: null, host }, () => []);
  assert.throws(() => plan({ Binds: ['/a:/x', '/b:/x/'] }), /Duplicate mount point: \/x/);
  assert.throws(() => plan({ Binds: ['/a:/x'], Mounts: [{ Type: 'tmpfs', Target: '/x' }] }), /Duplicate mount point: \/x/);
  assert.throws(() => plan({ Binds: ['/a:/x'], Tmpfs: { '/x': '' } }), /Duplicate mount point: \/x/);
  assert.throws(() => plan({ Binds: 'x' }), /invalid Binds/);
  assert.throws(() => plan({ Tmpfs: { '/x': 5 } }), /invalid Tmpfs/);
});

test('in the engine’s words and in docker’s', () => {
  const spec = parseBind('/src:/dst:ro,slave');
  assert.deepEqual(toEngineMount(spec, { source: '/src', isReadOnlyBelow: true }), {
    source: '/src',
    destination: '/dst',
    propagation: 'rslave',
    readOnly: true,
  });
  assert.equal(toEngineMount(parseBind('/src:/dst:ro'), { source: '/src', isReadOnlyBelow: true }).recursiveReadOnly, true);
  const forced = parseMount({ Type: 'bind', Source: '/s', Target: '/d', ReadOnly: true, BindOptions: { ReadOnlyForceRecursive: true } });
  assert.equal(toEngineMount(forced, { source: '/s', isReadOnlyBelow: false }).recursiveReadOnly, true);
  assert.deepEqual(toContainerMount(spec, { source: '/src', place: undefined, isAnonymous: false }), {
    point: { Type: 'bind', Source: '/src', Destination: '/dst', Mode: 'ro,slave', RW: false, Propagation: 'slave' },
    makesSource: true,
  });
  assert.deepEqual(toContainerMount(parseBind('data:/dst'), { source: '/v', place: undefined, isAnonymous: true }), {
    point: { Type: 'volume', Name: 'data', Source: '/v', Destination: '/dst', Driver: 'local', Mode: '', RW: true, Propagation: '' },
    isAnonymous: true,
  });
});
