import assert from 'node:assert/strict';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  watch,
  writeFileSync,
} from 'node:fs';
import { chown } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { temporaryDirectory } from '#images/fixtures.ts';
import { makeNode } from '#linux/file-attributes.ts';
import { mountsBelow } from '#linux/mount-table.ts';
import { unmountBelow } from '#linux/unmount-below.ts';
import type { ContainerMount, VolumeUser } from './container-mounts.ts';
import { DockerVolumes } from './docker-volumes.ts';

let stack: AsyncDisposableStack;
let root: string;
let users: VolumeUser[];
let events: string[];
let volumes: DockerVolumes;
let layers: string[];

beforeEach(async () => {
  stack = new AsyncDisposableStack();
  root = stack.use(await temporaryDirectory()).path;
  stack.defer(() => unmountBelow(root));
  users = [];
  events = [];
  layers = ['upper', 'lower'].map(name => join(root, 'layers', name));
  for (const layer of layers) mkdirSync(layer, { recursive: true });
  volumes = await open();
});
afterEach(() => stack.disposeAsync());

function open(): Promise<DockerVolumes> {
  return DockerVolumes.open({
    directory: join(root, 'volumes'),
    partsDirectory: join(root, 'parts'),
    users: () => ({ users: () => users, mountsOf: reference => users.find(({ id }) => id === reference)?.mounts ?? [] }),
    images: {
      inspect: () => Promise.reject(new Error('no images here')),
      ensureUnpacked: () => Promise.reject(new Error('no images here')),
    },
    events: { emit: ({ action, id, attributes }) => void events.push(`${action} ${id} ${attributes.container ?? ''}`.trim()) },
    canReadOnlyBelow: async () => true,
    clock: systemClock,
    log: silentLog,
  });
}

async function prepare(host: object, { image = {} as Record<string, object> } = {}) {
  return await volumes.prepare({ volumes: image, host, lowerDirs: layers, apiMinor: 51 });
}

/** What the containers' room does. */
async function make(id: string, host: object, options = {}): Promise<readonly ContainerMount[]> {
  using prepared = await prepare(host, options);
  users.push({ id, isRunning: false, mounts: prepared.containerMounts });
  return prepared.containerMounts;
}

async function setRunning(id: string, isRunning: boolean): Promise<void> {
  const user = users.find(each => each.id === id);
  assert.ok(user);
  if (isRunning) await volumes.mount(id, user.mounts);
  users = users.map(each => (each.id === id ? { ...each, isRunning } : each));
  if (!isRunning) await volumes.unmount(id, user.mounts);
}

test('volumes are there again after a restart; half-made and half-removed ones are not', async () => {
  await volumes.create({ name: 'data', labels: { a: 'b' } });
  assert.equal((await volumes.create({ name: 'data', labels: { c: 'd' } })).labels.a, 'b');
  writeFileSync(join(volumes.mountpointOf('data'), 'file'), 'content');
  mkdirSync(join(root, 'volumes', 'half', '_data'), { recursive: true });
  mkdirSync(join(root, 'volumes', 'data', '.filling-abc', 'deep'), { recursive: true });
  mkdirSync(join(root, 'volumes', '.gone', 'old-1', '_data'), { recursive: true });
  await volumes[Symbol.asyncDispose]();
  volumes = await open();
  await volumes[Symbol.asyncDispose]();
  assert.deepEqual(
    volumes.list().map(({ name, labels }) => [name, labels]),
    [['data', { a: 'b' }]],
  );
  assert.deepEqual(readdirSync(join(root, 'volumes')).sort(), ['.gone', 'data']);
  assert.deepEqual(readdirSync(join(root, 'volumes', 'data')).sort(), ['_data', 'volume.json']);
  assert.deepEqual(readdirSync(join(root, 'volumes', '.gone')), []);
  await volumes.remove('data');
  assert.equal(existsSync(volumes.mountpointOf('data')), false);
  assert.throws(() => volumes.inspect('data'), /get data: no such volume/);
  await assert.rejects(volumes.remove('data'), /get data: no such volume/);
  await volumes.remove('data', { force: true });
  assert.deepEqual(events, ['create data', 'destroy data']);
  await assert.rejects(
    volumes.create({ name: 'x1', driver: 'rexray' }),
    /error looking up volume plugin rexray: plugin "rexray" not found/,
  );
});

test('a container holds its volumes; prune and rm -v take what nobody has', async () => {
  const mounts = await make('c1', { Binds: ['data:/data'] }, { image: { '/cache': {} } });
  const anonymous = mounts.find(({ point }) => point.Destination === '/cache')?.point.Name ?? '';
  assert.match(anonymous, /^[0-9a-f]{64}$/);
  await assert.rejects(volumes.remove('data'), /^UmiakError: remove data: volume is in use - \[c1\]$/);
  writeFileSync(join(volumes.mountpointOf(anonymous), 'file'), 'x'.repeat(8192));
  assert.deepEqual((await volumes.prune(() => true)).removed, []);
  users = [];
  await volumes.removed(mounts, { anonymous: true });
  assert.deepEqual(
    volumes.list().map(({ name }) => name),
    ['data'],
  );
  const { removed, freedBytes } = await volumes.prune(() => true);
  assert.deepEqual(removed, ['data']);
  assert.ok(freedBytes >= 0);
});

test('what a failed create made is gone again, what was there stays', async () => {
  await volumes.create({ name: 'old' });
  await assert.rejects(
    prepare({ Binds: ['old:/a', 'new:/b', `${root}/made:/c`], Mounts: [{ Type: 'bind', Source: '/nowhere/at/all', Target: '/d' }] }),
  );
  assert.deepEqual(
    volumes.list().map(({ name }) => name),
    ['old'],
  );
  const prepared = await prepare({ Binds: ['new:/b'] });
  await assert.rejects(volumes.remove('new'), /in use/);
  await prepared.undo();
  assert.equal(volumes.list().length, 1);
});

test('a volume’s file system is there from its first running container to its last, over restarts', async () => {
  await volumes.create({ name: 'mem', options: { type: 'tmpfs', device: 'tmpfs', o: 'size=1m,mode=0711,nodev' } });
  const path = volumes.mountpointOf('mem');
  const mounted = () => mountsBelow(path).length;
  await make('c1', { Binds: ['mem:/m'] });
  await make('c2', { Binds: ['mem:/m'] });
  assert.equal(mounted(), 0);
  await setRunning('c1', true);
  await setRunning('c2', true);
  assert.equal(mounted(), 1);
  assert.equal(lstatSync(path).mode & 0o777, 0o711);
  await setRunning('c1', false);
  assert.equal(mounted(), 1);
  volumes = await open();
  assert.equal(mounted(), 1);
  users = users.map(user => ({ ...user, isRunning: false }));
  volumes = await open();
  assert.equal(mounted(), 0);
  await setRunning('c1', true);
  await setRunning('c1', false);
  assert.equal(mounted(), 0);
  assert.deepEqual(events.slice(-2), ['mount mem c1', 'unmount mem c1']);
});

test('a bind, read-only, and what can’t be mounted', async () => {
  mkdirSync(join(root, 'served'));
  writeFileSync(join(root, 'served', 'file'), 'there');
  await volumes.create({ name: 'bound', options: { type: 'none', device: join(root, 'served'), o: 'bind,ro' } });
  await make('c1', { Binds: ['bound:/m'] });
  await setRunning('c1', true);
  assert.equal(readFileSync(join(volumes.mountpointOf('bound'), 'file'), 'utf8'), 'there');
  assert.throws(() => writeFileSync(join(volumes.mountpointOf('bound'), 'new'), ''), /EROFS/);
  await setRunning('c1', false);
  users = [];
  await volumes.remove('bound');
  assert.equal(readFileSync(join(root, 'served', 'file'), 'utf8'), 'there');
  for (const [name, options] of [
    ['gone', { type: 'none', device: join(root, 'nowhere'), o: 'bind' }],
    ['odd', { type: 'nosuchfs', device: '/dev/null' }],
    ['nfs', { type: 'nfs', device: ':/x', o: 'addr=host.invalid' }],
  ] as const) {
    await volumes.create({ name, options });
    await assert.rejects(prepare({ Binds: [`${name}:/m`] }), /error while mounting volume '.*': failed to mount local volume: /);
  }
});

test('a new volume gets what the image has there, with owners; one with content, or nocopy, does not', async () => {
  const [upper = '', lower = ''] = layers;
  mkdirSync(join(lower, 'srv/data/deep'), { recursive: true });
  mkdirSync(join(upper, 'srv/data'), { recursive: true, mode: 0o750 });
  writeFileSync(join(lower, 'srv/data/deep/file'), 'lower');
  writeFileSync(join(lower, 'srv/data/hidden'), 'lower');
  makeNode(Buffer.from(join(upper, 'srv/data/hidden')), 'char', 0o600, 0, 0);
  await chown(join(upper, 'srv/data'), 1000, 1001);
  symlinkSync('/srv/data', join(upper, 'link'));
  mkdirSync(join(upper, 'empty'), { mode: 0o700 });
  writeFileSync(join(upper, 'file'), '');
  await make('c1', { Binds: ['filled:/link', 'bare:/empty', 'none:/srv/data:nocopy', 'far:/not/there'] });
  const data = volumes.mountpointOf('filled');
  assert.deepEqual(readdirSync(data), ['deep']);
  assert.equal(readFileSync(join(data, 'deep/file'), 'utf8'), 'lower');
  const { uid, gid, mode } = lstatSync(data);
  assert.deepEqual([uid, gid, mode & 0o777], [1000, 1001, 0o750]);
  assert.equal(lstatSync(volumes.mountpointOf('bare')).mode & 0o777, 0o700);
  assert.deepEqual(readdirSync(volumes.mountpointOf('none')), []);
  assert.deepEqual(readdirSync(join(root, 'volumes/filled')).sort(), ['_data', 'volume.json']);
  rmSync(join(data, 'deep'), { recursive: true });
  writeFileSync(join(data, 'own'), '');
  await make('c2', { Binds: ['filled:/srv/data'] });
  assert.deepEqual(readdirSync(data), ['own']);
  await assert.rejects(prepare({ Binds: ['v2:/file'] }), /cannot mount volume over existing file, file exists \/file/);
});

test('a volume that a running container has is filled in its place', async () => {
  mkdirSync(join(layers[0] ?? '', 'etc'));
  writeFileSync(join(layers[0] ?? '', 'etc/conf'), 'image');
  await make('c1', { Binds: ['shared:/elsewhere'] });
  await setRunning('c1', true);
  const inode = lstatSync(volumes.mountpointOf('shared')).ino;
  await make('c2', { Binds: ['shared:/etc'] });
  assert.equal(lstatSync(volumes.mountpointOf('shared')).ino, inode);
  assert.equal(readFileSync(join(volumes.mountpointOf('shared'), 'conf'), 'utf8'), 'image');
});

test('a kill between a nameless volume and its container’s record leaves neither; one that a record names stays', async () => {
  const image = { '/cache': {} };
  await prepare({ Binds: ['named:/named'] }, { image }); // killed before the record
  const [mount] = await make('c1', {}, { image });
  const kept = mount?.point.Name ?? '';
  const half = await prepare({}, { image }); // killed after the record, before it is told
  users.push({ id: 'c2', isRunning: false, mounts: half.containerMounts });
  assert.equal(volumes.list().length, 4);
  volumes = await open();
  const names = () => volumes.list().map(({ name }) => name);
  assert.deepEqual(names().sort(), ['named', kept, half.containerMounts[0]?.point.Name].sort());
  users = [];
  volumes = await open();
  assert.equal(names().length, 3, 'what containers had is left as docker leaves it');
});

test('a volume with a file system of its own is filled, whatever who sees it puts in the way; a kill leaves nothing', async () => {
  const [device, outside] = ['device', 'outside'].map(name => join(root, name)) as [string, string];
  for (const each of [device, outside]) mkdirSync(each);
  writeFileSync(join(outside, 'host'), 'the machine’s');
  const content = join(layers[0] ?? '', 'etc');
  for (let i = 0; i < 300; i++) mkdirSync(join(content, `d${i}`), { recursive: true });
  for (let i = 0; i < 300; i++) writeFileSync(join(content, `d${i}`, 'conf'), 'image');
  await volumes.create({ name: 'bound', options: { type: 'none', o: 'bind', device } });
  await make('c1', { Binds: ['bound:/elsewhere'] });
  await setRunning('c1', true);
  let swaps = 0;
  const watcher = watch(device, (_, name) => {
    if (!name?.startsWith('.umiak-') || swaps > 0) return;
    try {
      renameSync(join(device, name), join(device, 'moved'));
    } catch {
      return; // too late
    }
    symlinkSync(outside, join(device, name));
    swaps++;
  });
  for (let round = 0; swaps === 0 && round < 100; round++) {
    await prepare({ Binds: ['bound:/etc'] }).catch(() => {});
    for (const name of readdirSync(device)) rmSync(join(device, name), { recursive: true });
  }
  watcher.close();
  assert.equal(swaps, 1);
  assert.deepEqual(readdirSync(outside), ['host']);
  const beside = join(root, 'volumes/bound');
  mkdirSync(join(device, '.umiak-0badcafe/half'), { recursive: true });
  writeFileSync(join(beside, '.copying-0badcafe'), '');
  await make('c3', { Binds: ['bound:/etc'] });
  assert.equal(readdirSync(device).length, 300);
  assert.equal(readFileSync(join(device, 'd299/conf'), 'utf8'), 'image');
  assert.deepEqual(readdirSync(beside).sort(), ['_data', 'volume.json']);
  await setRunning('c1', false);
  assert.deepEqual(mountsBelow(root), []);
});

test('a look at a container’s files and its run take nothing from each other, whichever begins or ends first', async () => {
  await volumes.create({ name: 'memory', options: { type: 'tmpfs', device: 'tmpfs' } });
  await volumes.create({ name: 'data' });
  mkdirSync(join(volumes.mountpointOf('data'), 'part'));
  writeFileSync(join(volumes.mountpointOf('data'), 'part/file'), 'part');
  const part = { Type: 'volume', Source: 'data', Target: '/part', VolumeOptions: { Subpath: 'part' } };
  const mounts = await make('c1', { Binds: ['memory:/memory'], Mounts: [part] });
  const place = mounts.find(mount => mount.part)?.part?.place ?? '';
  const isWhole = () => readdirSync(place).join() === 'file' && mountsBelow(volumes.mountpointOf('memory')).length === 1;
  const [begin, end] = [() => setRunning('c1', true), () => setRunning('c1', false)];
  const look = () => volumes.mount('c1', mounts, { isVisit: true });
  const leave = () => volumes.unmount('c1', mounts, { isVisit: true });
  for (const [first, second, third, last] of [
    [look, begin, leave, end],
    [look, begin, end, leave],
    [begin, look, leave, end],
    [begin, look, end, leave],
  ] as const) {
    await first();
    await second();
    assert.ok(isWhole());
    await third();
    assert.ok(isWhole());
    await last();
    assert.deepEqual(mountsBelow(root), []);
  }
  await Promise.all([look(), volumes.mount('c1', mounts)]);
  await leave(); // the run has not begun yet
  assert.ok(isWhole());
  await end();
  assert.deepEqual(mountsBelow(root), []);
});

test('a part of a volume is what is there at the start; links never leave the volume', async () => {
  await volumes.create({ name: 'data' });
  const data = volumes.mountpointOf('data');
  mkdirSync(join(data, 'a/b'), { recursive: true });
  writeFileSync(join(data, 'a/b/file'), 'part');
  writeFileSync(join(root, 'secret'), 'secret');
  symlinkSync(root, join(data, 'out'));
  const mountsOf = (Subpath: string) => ({ Mounts: [{ Type: 'volume', Source: 'data', Target: '/x', VolumeOptions: { Subpath } }] });
  const mounts = await make('c1', mountsOf('a/b'));
  const place = mounts[0]?.part?.place ?? '';
  await setRunning('c1', true);
  assert.equal(readFileSync(join(place, 'file'), 'utf8'), 'part');
  users = users.map(user => ({ ...user, isRunning: false }));
  volumes = await open();
  assert.deepEqual(readdirSync(place), []);
  await make('c2', mountsOf('a/b/file'));
  await setRunning('c2', true);
  assert.equal(readFileSync(users[1]?.mounts[0]?.part?.place ?? '', 'utf8'), 'part');
  await setRunning('c2', false);
  await make('c3', mountsOf('out/secret'));
  await assert.rejects(setRunning('c3', true), /path concatenation escapes the base directory/);
  await make('c4', mountsOf('a/none'));
  await assert.rejects(setRunning('c4', true), /cannot access path a\/none/);
  const left = users.flatMap(user => user.mounts);
  users = [];
  await volumes.removed(left, { anonymous: false });
  assert.deepEqual(readdirSync(join(root, 'parts')), []);
});

test('a source of -v is made at create and again at a start, one of --mount never', async () => {
  const made = join(root, 'made/here');
  await make('c1', { Binds: [`${made}:/x`] });
  assert.ok(existsSync(made));
  rmSync(made, { recursive: true });
  await setRunning('c1', true);
  assert.ok(existsSync(made));
  const bind = { Mounts: [{ Type: 'bind', Source: join(root, 'none'), Target: '/x' }] };
  await assert.rejects(prepare(bind), new RegExp(`bind source path does not exist: ${root}/none`));
});

test('fifty clients that make, mount and remove the same volumes leave records and disk agreeing', async () => {
  const names = ['one', 'two', 'three'];
  const refusals: string[] = [];
  const note = (error: Error) => void refusals.push(error.message);
  const work = async (client: number) => {
    for (let round = 0; round < 6; round++) {
      const name = names[(client + round) % names.length] ?? '';
      const id = `c${client}-${round}`;
      const mounts = await make(id, { Binds: [`${name}:/m`] }).catch(note);
      if (mounts) {
        await volumes.mount(id, mounts).catch(note);
        await volumes.unmount(id, mounts);
        users = users.filter(user => user.id !== id);
        await volumes.removed(mounts, { anonymous: true });
      }
      await volumes.remove(name, { force: true }).catch(note);
    }
  };
  await Promise.all(Array.from({ length: 50 }, (_, client) => work(client)));
  const odd = refusals.filter(message => !/volume is in use - \[|no such volume/.test(message));
  assert.deepEqual(odd, []);
  await volumes[Symbol.asyncDispose]();
  const onDisk = readdirSync(join(root, 'volumes')).filter(name => name !== '.gone');
  assert.deepEqual(
    volumes
      .list()
      .map(({ name }) => name)
      .sort(),
    onDisk.sort(),
  );
  assert.deepEqual(readdirSync(join(root, 'volumes', '.gone')), []);
});
