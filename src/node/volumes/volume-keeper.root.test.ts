import assert from 'node:assert/strict';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, afterEach, beforeEach, describe, test } from 'node:test';
import { ManualClock, silentLog, UmiakError } from '#base/index.ts';
import type { Client } from '#client/index.ts';
import { ConfigMap } from '#kinds/config-map.ts';
import { Pod } from '#kinds/pod.ts';
import { Secret } from '#kinds/secret.ts';
import { made } from '#kinds/testing.ts';
import { mount, umount } from '#linux/mount.ts';
import { readMountTable } from '#linux/mount-table.ts';
import { ClaimVolumes } from './claim-volumes.ts';
import type { ObjectUse } from './object-source.ts';
import { LocalVolumes } from './volume-keeper.ts';

const root = mkdtempSync(join(tmpdir(), 'umiak-volumes-'));
const mounted = () => readMountTable().filter(({ target }) => target.startsWith(`${root}/`));
after(() => {
  for (const { target } of mounted().reverse()) umount(target, { detach: true });
  rmSync(root, { recursive: true, force: true });
});

/** Objects as the API has them, whose changes are told to whoever uses them. */
class Objects {
  readonly configMaps = new Map<string, ConfigMap>();
  readonly secrets = new Map<string, Secret>();
  readonly uses = new Map<string, ObjectUse>();

  async configMap(_namespace: string, name: string, use: ObjectUse): Promise<ConfigMap | undefined> {
    this.uses.set(use.user, use);
    return this.configMaps.get(name);
  }

  async secret(_namespace: string, name: string, use: ObjectUse): Promise<Secret | undefined> {
    this.uses.set(use.user, use);
    return this.secrets.get(name);
  }

  async release(user: string): Promise<void> {
    this.uses.delete(user);
  }

  put(name: string, data: Record<string, string> | undefined): void {
    if (data) this.configMaps.set(name, made(ConfigMap, { metadata: { name }, data }));
    else this.configMaps.delete(name);
    for (const { changed } of this.uses.values()) changed();
  }
}

let directory = '';
let objects = new Objects();
let clock = new ManualClock();
let tokens: { expiresInMs: number; fails?: boolean; given: number };
let changes: { uid: string; resolve: () => void }[] = [];
let volumes: LocalVolumes;
const layers = new Map<string, string[]>();
let count = 0;

function keeper(): LocalVolumes {
  const client = {
    createSubresource: async () => {
      if (tokens.fails) throw new UmiakError('ServiceUnavailable', 'the API is away');
      tokens.given += 1;
      return { status: { token: `token-${tokens.given}`, expirationTimestamp: new Date(clock.now() + tokens.expiresInMs).toISOString() } };
    },
  } as unknown as Client;
  const facts = { nodeName: 'n', hostAddress: '192.0.2.1', allocatable: {} };
  return new LocalVolumes({
    directory,
    client,
    objects,
    images: { ensureUnpacked: async reference => layers.get(reference) ?? assert.fail(reference) },
    claims: new ClaimVolumes({ client, nodeName: 'n', directories: { make: async () => false } }),
    facts,
    clock,
    log: silentLog,
    onChange: uid => {
      for (const change of changes.splice(0)) if (change.uid === uid) change.resolve();
    },
  });
}

beforeEach(() => {
  directory = join(root, String(count++));
  objects = new Objects();
  clock = new ManualClock();
  tokens = { expiresInMs: 3_600_000, given: 0 };
  changes = [];
  volumes = keeper();
});
afterEach(() => volumes[Symbol.asyncDispose]());

const podWith = (all: object[], spec: object = {}, metadata: object = {}) =>
  made(Pod, {
    metadata: { name: 'p', namespace: 'default', uid: 'u', ...metadata },
    spec: { containers: [{ name: 'c', image: 'i' }], volumes: all, ...spec },
  });
const changed = (uid = 'u') => new Promise<void>(resolve => void changes.push({ uid, resolve }));
const pathOf = async (pod: Pod, name: string) => {
  const volume = (await volumes.prepare(pod)).get(name);
  assert.ok(volume);
  return volume.path;
};
const bits = (path: string) => statSync(path).mode & 0o7777;

describe('emptyDir', () => {
  test('is everybody’s when made, and its containers’ own afterwards', async () => {
    const pod = podWith([{ name: 'data', emptyDir: {} }]);
    const path = await pathOf(pod, 'data');
    assert.equal(bits(path), 0o777);
    assert.equal(bits(join(directory, 'u')), 0o750, 'nobody else looks into a pod’s volumes');
    chmodSync(path, 0o700);
    writeFileSync(join(path, 'db'), '1');
    await keeper().prepare(pod);
    assert.equal(bits(path), 0o700, 'an agent that starts again leaves it alone');
  });

  test('fsGroup owns it', async () => {
    const path = await pathOf(podWith([{ name: 'data', emptyDir: {} }], { securityContext: { fsGroup: 1234 } }), 'data');
    assert.equal(statSync(path).gid, 1234);
    assert.equal(bits(path), 0o2777);
  });

  test('in memory: of its size, mounted once, gone with the pod', async () => {
    const pod = podWith([{ name: 'm', emptyDir: { medium: 'Memory', sizeLimit: '1Mi' } }], { securityContext: { fsGroup: 1234 } });
    const path = await pathOf(pod, 'm');
    await keeper().prepare(pod);
    assert.equal(mounted().filter(({ target }) => target === path).length, 1);
    assert.deepEqual([statSync(path).gid, bits(path)], [1234, 0o2777]);
    assert.throws(() => writeFileSync(join(path, 'big'), Buffer.alloc(2 << 20)), { code: 'ENOSPC' });
    await volumes.release('u');
    assert.deepEqual([mounted().length, existsSync(join(directory, 'u'))], [0, false]);
  });

  const hasHugepages = existsSync('/sys/kernel/mm/hugepages/hugepages-2048kB');
  test('of huge pages; of a size that the node does not have it is refused', { skip: !hasHugepages }, async () => {
    const of = (medium: string) => podWith([{ name: 'h', emptyDir: { medium } }], { securityContext: { fsGroup: 1234 } });
    const path = await pathOf(of('HugePages-2Mi'), 'h');
    const here = mounted().find(({ target }) => target === path);
    assert.deepEqual([here?.type, here?.options.includes('pagesize=2M')], ['hugetlbfs', true]);
    assert.deepEqual([statSync(path).gid, bits(path)], [1234, 0o2777]);
    await volumes.release('u');
    await assert.rejects(keeper().prepare(of('HugePages-16Mi')), /"h" : medium HugePages-16Mi: this node has no huge pages of 16Mi/);
    await volumes.release('u');
    assert.equal(mounted().length, 0);
  });
});

test('what the API fills lies in memory, in one mount for all pods, and goes with its pod', async () => {
  objects.put('c', { key: 'value' });
  const volume = [{ name: 'v', configMap: { name: 'c' } }];
  const [one, two] = await Promise.all(['one', 'two'].map(uid => pathOf(podWith(volume, {}, { uid }), 'v')));
  assert.deepEqual([statfsSync(one ?? '').type, readFileSync(join(two ?? '', 'key'), 'utf8')], [0x0102_1994, 'value']);
  assert.equal(mounted().length, 1);
  await volumes.release('one');
  assert.deepEqual([existsSync(one ?? ''), existsSync(two ?? '')], [false, true]);
  await keeper().sweep(new Set());
  assert.equal(existsSync(two ?? ''), false, 'nor does anything stay of a pod that went while no agent ran');
});

describe('hostPath', () => {
  test('directories and files are made where asked, and types are checked', async () => {
    const at = (name: string) => join(directory, 'host', name);
    const of = (path: string, type?: string) =>
      pathOf(
        podWith([{ name: 'h', hostPath: { path, ...(type ? { type } : {}) } }], {}, { uid: `${path}${type}`.replaceAll('/', '-') }),
        'h',
      );
    assert.equal(await of(at('a'), 'DirectoryOrCreate'), at('a'));
    assert.equal(bits(at('a')), 0o755);
    await of(at('a/file'), 'FileOrCreate');
    await of(at('a/file'), 'File');
    await of(at('b'));
    assert.ok(statSync(at('b')).isDirectory());
    await of('/dev/null', 'CharDevice');
    await assert.rejects(
      of(at('a/file'), 'Directory'),
      /MountVolume.SetUp failed for volume "h" : hostPath type check failed: .* is not a directory/,
    );
    await assert.rejects(of(at('none'), 'Socket'), /is not a socket file/);
    assert.equal(existsSync(at('none')), false);
  });

  test('release never touches what is there', async () => {
    const path = join(root, 'precious');
    mkdirSync(path, { recursive: true });
    writeFileSync(join(path, 'file'), '1');
    await pathOf(podWith([{ name: 'h', hostPath: { path } }]), 'h');
    await volumes.release('u');
    assert.deepEqual(readdirSync(path), ['file']);
  });
});

describe('volumes that objects fill', () => {
  const pod = () => podWith([{ name: 'v', configMap: { name: 'settings' } }]);

  test('follow their source, key by key', async () => {
    objects.put('settings', { a: '1', b: '1' });
    const path = await pathOf(pod(), 'v');
    const told = changed();
    objects.put('settings', { b: '2', c: '2' });
    await told;
    assert.deepEqual(
      readdirSync(path).filter(name => !name.startsWith('..')),
      ['b', 'c'],
    );
    assert.equal(readFileSync(join(path, 'b'), 'utf8'), '2');
  });

  test('that lack it say so, and are there once it is', async () => {
    await assert.rejects(volumes.prepare(pod()), {
      reason: 'NotFound',
      message: 'MountVolume.SetUp failed for volume "v" : configmap "settings" not found',
    });
    const told = changed();
    objects.put('settings', { a: '1' });
    await told;
    assert.equal(readFileSync(join(await pathOf(pod(), 'v'), 'a'), 'utf8'), '1');
  });

  test('keep what they had while it is away', async () => {
    objects.put('settings', { a: '1' });
    const path = await pathOf(pod(), 'v');
    const told = changed();
    objects.put('settings', undefined);
    await told;
    assert.equal(readFileSync(join(path, 'a'), 'utf8'), '1');
    assert.equal(await pathOf(pod(), 'v'), path);
  });

  test('many changes at once end with the last one', async () => {
    objects.put('settings', { a: '0' });
    const path = await pathOf(pod(), 'v');
    for (let i = 1; i <= 20; i++) objects.put('settings', { a: String(i), [`k${i}`]: '' });
    await volumes.prepare(pod());
    assert.equal(readFileSync(join(path, 'a'), 'utf8'), '20');
    assert.deepEqual(
      readdirSync(path).filter(name => !name.startsWith('..')),
      ['a', 'k20'],
    );
  });

  test('items: chosen keys at chosen paths with modes; a key that is missing is named, unless optional', async () => {
    objects.put('settings', { a: '1', b: '2' });
    const items = [{ key: 'a', path: 'deep/x', mode: 0o400 }];
    const path = await pathOf(podWith([{ name: 'v', configMap: { name: 'settings', items } }]), 'v');
    assert.equal(bits(join(path, 'deep/x')), 0o400);
    const missing = (optional: boolean) =>
      podWith([{ name: 'v', configMap: { name: 'settings', optional, items: [{ key: 'z', path: 'z' }] } }], {}, { uid: `z${optional}` });
    await assert.rejects(volumes.prepare(missing(false)), /references non-existent config key: z/);
    assert.deepEqual(
      readdirSync(await pathOf(missing(true), 'v')).filter(name => !name.startsWith('..')),
      [],
    );
  });

  test('fsGroup may read Secrets of a narrow mode', async () => {
    objects.secrets.set('s', made(Secret, { metadata: { name: 's' }, data: { k: Buffer.from('v').toString('base64') } }));
    const items = [{ key: 'k', path: 'deep/er/k', mode: 0o200 }];
    const secret = podWith([{ name: 'v', secret: { secretName: 's', items, defaultMode: 0o400 } }], { securityContext: { fsGroup: 77 } });
    const path = join(await pathOf(secret, 'v'), 'deep/er/k');
    assert.deepEqual([statSync(path).gid, bits(path)], [77, 0o640]);
    for (const above of [dirname(path), dirname(dirname(path)), dirname(dirname(dirname(path)))])
      assert.deepEqual([statSync(above).gid, bits(above)], [77, 0o2755], above);
  });

  test('downward: labels follow the pod, other changes of it cost nothing', async () => {
    const items = [{ path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } }];
    const labelled = (labels: object) => podWith([{ name: 'v', downwardAPI: { items } }], {}, { labels });
    const path = await pathOf(labelled({ a: '1' }), 'v');
    assert.equal(volumes.prepare(labelled({ a: '1' })), volumes.prepare(labelled({ a: '1' })));
    await volumes.prepare(labelled({ a: '1', b: '"2"' }));
    assert.equal(readFileSync(join(path, 'labels'), 'utf8'), 'a="1"\nb="\\"2\\""');
  });
});

describe('images', () => {
  const layer = (name: string) => {
    const path = join(root, 'layers', name);
    mkdirSync(path, { recursive: true });
    writeFileSync(join(path, name), name);
    return path;
  };

  test('are mounted once, to be read, with the first container that wants them; their layers stay as long', async () => {
    layers.set('sha256:a', [layer('upper'), layer('lower')]).set('sha256:b', [layer('other')]);
    assert.equal(volumes.usesImage('sha256:x'), true, 'an agent that just began does not know');
    await volumes.sweep(new Set());
    assert.equal(volumes.usesImage('sha256:a'), false);
    const pod = podWith([{ name: 'v', image: { reference: 'a' } }]);
    assert.equal((await volumes.prepare(pod)).size, 0);
    const [one, same] = await Promise.all([volumes.mountImage('u', 'v', 'sha256:a'), volumes.mountImage('u', 'v', 'sha256:a')]);
    const { lowerDirs = [], ...shown } = one;
    assert.deepEqual([shown, same], [{ path: join(directory, 'u', 'v'), readOnly: true, noExec: true }, one]);
    assert.deepEqual(
      lowerDirs.flatMap(each => readdirSync(each)),
      ['upper', 'lower'],
      'its layers, for users of a pod’s own',
    );
    assert.deepEqual(readdirSync(one.path).sort(), ['lower', 'upper']);
    assert.throws(() => writeFileSync(join(one.path, 'new'), ''), { code: 'EROFS' });
    assert.deepEqual(await volumes.mountImage('u', 'v', 'sha256:b'), one, 'the first stays');
    await volumes.mountImage('u', 'w', 'sha256:b');
    assert.deepEqual(readdirSync(join(directory, 'u', 'w')), ['other'], 'a single layer');

    const next = keeper();
    await next.sweep(new Set(['u']));
    assert.deepEqual(
      ['sha256:a', 'sha256:b', 'sha256:x'].map(id => next.usesImage(id)),
      [true, true, false],
    );
    assert.deepEqual(await next.mountImage('u', 'v', 'sha256:a'), one);
    await next.release('u');
    assert.equal(next.usesImage('sha256:a'), false);
    assert.equal(existsSync(join(directory, 'u')), false);
    assert.deepEqual(readdirSync(join(root, 'layers', 'upper')), ['upper'], 'nothing is removed through the mount');
  });
});

describe('tokens', () => {
  const projected = (spec: object = {}) =>
    podWith([{ name: 't', projected: { sources: [{ serviceAccountToken: { path: 'token', expirationSeconds: 3600 } }] } }], spec);

  test('are replaced at 80 % of their life, and again when that failed', async () => {
    const file = join(await pathOf(projected(), 't'), 'token');
    assert.equal(readFileSync(file, 'utf8'), 'token-1');
    tokens.fails = true;
    let told = changed();
    clock.advance(0.8 * 3_600_000);
    await told;
    assert.equal(readFileSync(file, 'utf8'), 'token-1');
    tokens.fails = false;
    told = changed();
    clock.advance(10_000);
    await told;
    assert.equal(readFileSync(file, 'utf8'), 'token-2');
  });

  test('belong to the pod’s user alone where there is one', async () => {
    const file = join(await pathOf(projected({ securityContext: { runAsUser: 1000 } }), 't'), 'token');
    assert.deepEqual([statSync(file).uid, bits(file)], [1000, 0o600]);
  });

  test('may be read by fsGroup, and then by nobody else', async () => {
    const file = join(await pathOf(projected({ securityContext: { fsGroup: 2000 } }), 't'), 'token');
    assert.deepEqual([statSync(file).uid, statSync(file).gid, bits(file)], [0, 2000, 0o640]);
  });
});

describe('release and sweep', () => {
  test('nothing is removed through a mount', async () => {
    const path = await pathOf(podWith([{ name: 'data', emptyDir: {} }]), 'data');
    const outside = join(root, 'outside');
    mkdirSync(outside, { recursive: true });
    writeFileSync(join(outside, 'file'), '1');
    mkdirSync(join(path, 'inner'));
    mount(outside, join(path, 'inner'), null, 4096);
    await volumes.release('u');
    assert.equal(existsSync(join(directory, 'u')), false);
    assert.deepEqual(readdirSync(outside), ['file']);
  });

  test('sweep removes those of pods that are gone, and not those that come meanwhile', async () => {
    await pathOf(podWith([{ name: 'm', emptyDir: { medium: 'Memory' } }], {}, { uid: 'old' }), 'm');
    await pathOf(podWith([{ name: 'd', emptyDir: {} }], {}, { uid: 'living' }), 'd');
    const next = keeper();
    const preparing = next.prepare(podWith([{ name: 'd', emptyDir: {} }], {}, { uid: 'new' }));
    await next.sweep(new Set(['living']));
    await preparing;
    assert.deepEqual(readdirSync(directory).sort(), ['living', 'new']);
  });

  test('releasing twice, or what was never prepared, is well', async () => {
    await volumes.release('nobody');
    await volumes.release('nobody');
  });
});
