import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { ManualClock, silentLog, UmiakError } from '#base/index.ts';
import type { Client } from '#client/index.ts';
import type { Pod } from '#kinds/pod.ts';
import { StatusWriter } from './status-writer.ts';
import { podOf } from './testing.ts';

type Status = NonNullable<Pod['status']>;

let clock = new ManualClock();
let patches: { name: string; status: Record<string, unknown> }[] = [];
let revision = 0;
let answer: (() => Promise<void>) | undefined;
let writer: StatusWriter;

beforeEach(() => {
  clock = new ManualClock();
  patches = [];
  revision = 10;
  answer = undefined;
  const patch = async (_kind: unknown, { name }: { name: string }, body: { status: Record<string, unknown> }) => {
    patches.push({ name, status: body.status });
    await answer?.();
    return { metadata: { resourceVersion: String(++revision) } };
  };
  writer = new StatusWriter({ client: { patch } as unknown as Pick<Client, 'patch'>, clock, log: silentLog });
});
afterEach(() => writer[Symbol.asyncDispose]());

const running: Status = { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] } as Status;
const pending: Status = { phase: 'Pending', conditions: [{ type: 'Ready', status: 'False', reason: 'ContainersNotReady' }] } as Status;
const pod = (status?: Status, resourceVersion = '1', uid = 'uid-1') => {
  const made = podOf({}, { ...(status ? { status } : {}), metadata: { uid } });
  return { ...made, metadata: { ...made.metadata, resourceVersion } };
};
const turn = () => new Promise(setImmediate).then(() => new Promise(setImmediate));

describe('StatusWriter', () => {
  test('only the newest goes out, and is waited for', async () => {
    writer.put(pod(), pending);
    writer.put(pod(), running);
    await writer.settled(pod());
    assert.deepEqual(
      patches.map(({ status }) => status.phase),
      ['Running'],
    );
  });

  test('what comes while one is on its way follows it', async () => {
    const first = Promise.withResolvers<void>();
    answer = () => first.promise;
    writer.put(pod(), pending);
    await turn();
    writer.put(pod(), running);
    first.resolve();
    await writer.settled(pod());
    assert.deepEqual(
      patches.map(({ status }) => status.phase),
      ['Pending', 'Running'],
    );
  });

  test('that containers are being made is said only if it lasts; why they are not, at once', async () => {
    const waiting = (reason: string) =>
      ({ ...pending, containerStatuses: [{ name: 'main', image: 'i', state: { waiting: { reason } } }] }) as unknown as Status;
    writer.put(pod(), waiting('ContainerCreating'));
    await turn();
    assert.equal(patches.length, 0);
    clock.advance(1_000);
    await writer.settled(pod());
    assert.equal(patches.length, 1);
    writer.put(pod(), waiting('PodInitializing'));
    writer.put(pod(), waiting('ErrImagePull'));
    await writer.settled(pod());
    clock.advance(1_000);
    await turn();
    assert.equal(patches.length, 2, 'and nothing is said for the one that was overtaken');
  });

  test('nothing is said twice, nor what the API shows already', async () => {
    writer.put(pod(running), running);
    await turn();
    assert.equal(patches.length, 0, 'an agent that starts again finds it said');
    writer.put(pod(running), pending);
    await writer.settled(pod());
    writer.put(pod(running, '5'), pending); // an older state of the object
    writer.put(pod(pending, '11'), pending);
    await turn();
    assert.equal(patches.length, 1);
  });

  test('what somebody else changed is set right again', async () => {
    writer.put(pod(), running);
    await writer.settled(pod());
    writer.put(pod(pending, '12'), running);
    await writer.settled(pod());
    assert.equal(patches.length, 2);
  });

  test('lists that are ours are replaced, conditions merged without old reasons', async () => {
    writer.put(pod(), { ...running, podIPs: [{ ip: '10.42.0.2' }] });
    await writer.settled(pod());
    assert.deepEqual(patches[0]?.status.podIPs, [{ ip: '10.42.0.2' }, { $patch: 'replace' }]);
    assert.deepEqual(patches[0]?.status.conditions, [{ type: 'Ready', status: 'True', reason: null, message: null }]);
  });

  test('again until it is taken; not when the pod is gone', async () => {
    answer = () => Promise.reject(new UmiakError('ServiceUnavailable', 'away'));
    writer.put(pod(), running);
    await turn();
    answer = undefined;
    clock.advance(5_000);
    await writer.settled(pod());
    assert.equal(patches.length, 2);
    answer = () => Promise.reject(new UmiakError('NotFound', 'gone'));
    writer.put(pod(), pending);
    await writer.settled(pod());
    clock.advance(60_000);
    await turn();
    assert.equal(patches.length, 3);
  });

  test('a pod that is forgotten does not take its namesake’s status with it', async () => {
    const first = Promise.withResolvers<void>();
    answer = () => first.promise;
    writer.put(pod(undefined, '1', 'old'), running);
    const settled = writer.settled(pod(undefined, '1', 'old'));
    await turn();
    writer.put(pod(undefined, '2', 'new'), pending);
    writer.forget(pod(undefined, '1', 'old'));
    await settled;
    first.resolve();
    await writer.settled(pod(undefined, '2', 'new'));
    assert.deepEqual(
      patches.map(({ status }) => status.phase),
      ['Running', 'Pending'],
    );
    assert.equal(writer.said(pod(undefined, '1', 'old')), undefined);
  });

  test('a condition that no longer stands is taken away, whoever said it last', async () => {
    const waiting = { ...running, conditions: [...(running.conditions ?? []), { type: 'PodResizePending', status: 'True' }] } as Status;
    const deleted = () => ((patches.at(-1)?.status.conditions ?? []) as { type: string; $patch?: string }[]).filter(each => each.$patch);
    writer.put(pod(waiting), running);
    await writer.settled(pod());
    assert.deepEqual(deleted(), [{ type: 'PodResizePending', $patch: 'delete' }]);
    writer.put(pod(running, '12'), waiting);
    await writer.settled(pod());
    assert.deepEqual(deleted(), []);
    writer.put(pod(waiting, '13'), running);
    await writer.settled(pod());
    assert.deepEqual(deleted(), [{ type: 'PodResizePending', $patch: 'delete' }]);
    writer.put(pod(running, '14'), running);
    await writer.settled(pod());
    assert.equal(patches.length, 3);
  });
});
