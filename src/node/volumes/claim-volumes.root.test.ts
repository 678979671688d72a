import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, describe, test } from 'node:test';
import { silentLog, systemClock, UmiakError } from '#base/index.ts';
import type { Client } from '#client/index.ts';
import type { Kind, KubeObject } from '#kinds/kind.ts';
import { LOCAL_PATH_FINALIZER, LOCAL_PATH_NODE, LOCAL_PATH_PROVISIONER } from '#kinds/local-path.ts';
import { Node } from '#kinds/node.ts';
import { PersistentVolume } from '#kinds/persistent-volume.ts';
import { PersistentVolumeClaim } from '#kinds/persistent-volume-claim.ts';
import { Pod } from '#kinds/pod.ts';
import { made } from '#kinds/testing.ts';
import { ClaimVolumes } from './claim-volumes.ts';
import { giveToGroup } from './fs-group.ts';
import { LocalPathDirectories } from './local-path-directories.ts';

const root = mkdtempSync(join(tmpdir(), 'umiak-claims-'));
after(() => rmSync(root, { recursive: true, force: true }));

let storage = '';
let count = 0;
let objects: Map<string, KubeObject>;
let volumes: ClaimVolumes;

const put = (object: KubeObject) => objects.set(`${object.kind}/${object.metadata.name}`, object);
/** Has what was put, and of updates remembers the last. */
const client = (updated?: (object: KubeObject) => void) =>
  ({
    get: async (kind: Kind, { name }: { name: string }) => objects.get(`${kind.resource.kind}/${name}`),
    update: async (_kind: Kind, object: KubeObject) => updated?.(object),
    async *watch(_kind: Kind, _query: unknown, signal: AbortSignal) {
      for (const object of objects.values()) if (object.kind === 'PersistentVolume') yield { type: 'ADDED', object };
      yield { type: 'BOOKMARK', resourceVersion: '1' };
      await new Promise(resolve => signal.addEventListener('abort', resolve));
    },
  }) as unknown as Client;
const directories = (updated?: (object: KubeObject) => void) =>
  new LocalPathDirectories({ directory: storage, nodeName: 'n', client: client(updated), clock: systemClock, log: silentLog });

const affinity = (host: string) => ({
  required: { nodeSelectorTerms: [{ matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: [host] }] }] },
});
const persistent = (spec: object, metadata: object = {}) => {
  const claimRef = { namespace: 'default', name: 'c', uid: 'claim' };
  const ours = { annotations: { 'pv.kubernetes.io/provisioned-by': LOCAL_PATH_PROVISIONER }, labels: { [LOCAL_PATH_NODE]: 'n' } };
  return made(PersistentVolume, {
    metadata: { name: 'v', resourceVersion: '1', ...ours, ...metadata },
    spec: { accessModes: ['ReadWriteOnce'], capacity: { storage: '1Gi' }, claimRef, nodeAffinity: affinity('n'), ...spec },
  });
};
const claim = (metadata: object = {}, spec: object = {}, phase = 'Bound') => ({
  ...made(PersistentVolumeClaim, {
    metadata: { name: 'c', namespace: 'default', uid: 'claim', annotations: { 'pv.kubernetes.io/bind-completed': 'yes' }, ...metadata },
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } }, volumeName: 'v', ...spec },
  }),
  status: { phase },
});
const pod = (spec: object = {}, uid = 'p') =>
  made(Pod, { metadata: { name: 'p', namespace: 'default', uid }, spec: { containers: [{ name: 'c', image: 'i' }], ...spec } });
const DATA = { name: 'data', persistentVolumeClaim: { claimName: 'c' } };

beforeEach(() => {
  storage = join(root, String(count++));
  objects = new Map();
  put(made(Node, { metadata: { name: 'n', labels: { 'kubernetes.io/hostname': 'n' } } }));
  put(persistent({ local: { path: join(storage, 'mine') } }));
  put(claim());
  volumes = new ClaimVolumes({ client: client(), nodeName: 'n', directories: directories() });
});

describe('volumes of claims', () => {
  test('a local-path volume’s directory is made once, for everybody', async () => {
    const { path } = await volumes.prepare(pod(), DATA);
    assert.equal(path, join(storage, 'mine'));
    assert.equal(statSync(path).mode & 0o7777, 0o777);
    writeFileSync(join(path, 'a'), 'a');
    assert.deepEqual(await volumes.prepare(pod(), { ...DATA, persistentVolumeClaim: { claimName: 'c', readOnly: true } }), {
      path,
      readOnly: true,
    });
    assert.ok(existsSync(join(path, 'a')));
  });

  const refused: [what: string, change: () => unknown, why: RegExp, volume?: object, spec?: object][] = [
    ['no claim', () => objects.delete('PersistentVolumeClaim/c'), /persistentvolumeclaim "c" not found/],
    ['an unbound claim', () => put(claim({}, {}, 'Pending')), /PVC is not bound/],
    ['a claim that goes', () => put(claim({ deletionTimestamp: '2026-01-01T00:00:00Z' })), /PVC is being deleted/],
    ['another claim’s volume', () => put(claim({ uid: 'other' })), /is not bound to default\/c/],
    ['another node’s', () => put(persistent({ local: { path: '/x' }, nodeAffinity: affinity('m') })), /NodeAffinity check failed/],
    ['a block device', () => put(persistent({ local: { path: '/x' }, volumeMode: 'Block' })), /mode Block are not there yet/],
    [
      'a file system as device',
      () => {},
      /is specified in volumeDevices/,
      DATA,
      { containers: [{ name: 'c', image: 'i', volumeDevices: [{ name: 'data', devicePath: '/dev/x' }] }] },
    ],
    ['nfs', () => put(persistent({ nfs: { server: 's', path: '/' } })), /volumes of nfs type are not there yet/],
    ['a local one that is missing', () => put(persistent({ local: { path: join(root, 'nowhere') } })), /path ".*nowhere" does not exist/],
    ['a path beside the directory', () => put(persistent({ local: { path: join(storage, '../elsewhere') } })), /does not exist/],
    ['an ephemeral one of another pod', () => put(claim({ name: 'p-data' })), /pod is not owner/, { name: 'data', ephemeral: {} }],
  ];
  for (const [what, change, why, volume = DATA, spec = {}] of refused)
    test(`says why not: ${what}`, async () => {
      change();
      await assert.rejects(
        volumes.prepare(pod(spec), volume as typeof DATA),
        (error: unknown) => error instanceof UmiakError && why.test(error.message),
      );
    });

  test('ReadWriteOncePod serves one pod at a time', async () => {
    put(claim({}, { accessModes: ['ReadWriteOncePod'] }));
    await volumes.prepare(pod(), DATA);
    await volumes.prepare(pod(), DATA);
    await assert.rejects(volumes.prepare(pod({}, 'q'), DATA), /already in use by another pod/);
    volumes.release('p');
    await volumes.prepare(pod({}, 'q'), DATA);
  });

  test('fsGroup: files and directories, links are left alone, on a mismatch only if so wished', async () => {
    const path = join(storage, 'tree');
    mkdirSync(join(path, 'below'), { recursive: true });
    const outside = join(root, 'outside');
    writeFileSync(outside, '', { mode: 0o600 });
    writeFileSync(join(path, 'below/file'), '', { mode: 0o600 });
    symlinkSync(outside, join(path, 'link'));
    await giveToGroup(path, 4242);
    assert.deepEqual([statSync(path).gid, statSync(join(path, 'below')).mode & 0o7777], [4242, 0o2775]);
    assert.deepEqual([statSync(join(path, 'below/file')).gid, statSync(join(path, 'below/file')).mode & 0o777], [4242, 0o660]);
    assert.deepEqual([statSync(outside).gid, statSync(outside).mode & 0o777], [0, 0o600]);
    writeFileSync(join(path, 'later'), '', { mode: 0o600 });
    await giveToGroup(path, 4242, 'OnRootMismatch');
    assert.equal(statSync(join(path, 'later')).mode & 0o777, 0o600);
  });
});

describe('volumes that are deleted', () => {
  const GOING = { deletionTimestamp: '2026-01-01T00:00:00Z', finalizers: ['a/b', LOCAL_PATH_FINALIZER] };
  for (const [policy, path, isGone] of [
    ['Delete', 'mine', true],
    ['Retain', 'mine', false],
    ['Delete', '../beside', false],
  ] as const)
    test(`${policy} of ${path}: the directory ${isGone ? 'goes' : 'stays'}, the volume is let go`, async () => {
      const local = { path: `${storage}/${path}` };
      mkdirSync(join(storage, path, 'x'), { recursive: true });
      put(persistent({ local, persistentVolumeReclaimPolicy: policy }, GOING));
      const { promise, resolve } = Promise.withResolvers<KubeObject>();
      await using running = directories(resolve);
      running.start();
      assert.deepEqual((await promise).metadata.finalizers, ['a/b']);
      assert.equal(existsSync(join(storage, path)), !isGone);
    });
});
