import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { toTime } from '#base/index.ts';
import type { Container } from '#engine/engine.ts';
import type { Pod } from '#kinds/pod.ts';
import { podStatus, type StatusPicture } from './pod-status.ts';
import { instance, NOW_MS, podOf, sandboxOf, sidecar } from './testing.ts';

const statusOf = (pod: Pod, containers: Container[] = [], more: Partial<StatusPicture> = {}) =>
  podStatus({
    pod,
    phase: 'Running',
    sandbox: sandboxOf(),
    containers,
    waiting: new Map(),
    backingOff: new Map(),
    started: () => true,
    ready: () => true,
    hostAddress: '192.0.2.1',
    nowMs: NOW_MS,
    terminationMessage: () => undefined,
    ...more,
  });
const condition = (status: ReturnType<typeof statusOf>, type: string) => status.conditions?.find(each => each.type === type);
const first = (status: ReturnType<typeof statusOf>) => status.containerStatuses?.[0];

describe('containers', () => {
  test('running, with how the one before ended', () => {
    const status = statusOf(podOf(), [
      instance('main', 'running', { attempt: 1 }),
      instance('main', 'exited', { exitCode: 3, reason: 'Error' }),
    ]);
    assert.deepEqual(first(status)?.state, { running: { startedAt: toTime(NOW_MS - 30_000) } });
    assert.equal(first(status)?.lastState?.terminated?.exitCode, 3);
    assert.deepEqual([first(status)?.restartCount, first(status)?.ready, first(status)?.containerID], [1, true, 'umiak://main-1']);
  });

  test('waiting: for its creation, for init containers, for an image, for its back-off', () => {
    const reason = (pod: Pod, containers: Container[] = [], more: Partial<StatusPicture> = {}) =>
      first(statusOf(pod, containers, more))?.state?.waiting?.reason;
    assert.equal(reason(podOf()), 'ContainerCreating');
    assert.equal(reason(podOf({ initContainers: [{ name: 'i', image: 'i' }] })), 'PodInitializing');
    assert.equal(reason(podOf(), [], { waiting: new Map([['main', { reason: 'ErrImagePull', message: 'm' }]]) }), 'ErrImagePull');
    const backingOff = new Map([['main', NOW_MS + 20_000]]);
    const status = statusOf(podOf(), [instance('main', 'exited', { exitCode: 1 })], { backingOff });
    assert.deepEqual(first(status)?.state?.waiting, {
      reason: 'CrashLoopBackOff',
      message: 'back-off 20s restarting failed container=main pod=p_default(uid-1)',
    });
    assert.equal(first(status)?.lastState?.terminated?.exitCode, 1);
  });

  test('who it runs as, how it is stopped, and what it mounts', () => {
    const volumeMounts = [
      { name: 'a', mountPath: '/a', readOnly: true, recursiveReadOnly: 'IfPossible' },
      { name: 'b', mountPath: '/b', readOnly: true },
      { name: 'c', mountPath: '/c' },
    ];
    const pod = podOf({
      containers: [{ name: 'main', image: 'i', volumeMounts }],
      volumes: volumeMounts.map(({ name }) => ({ name, emptyDir: {} })),
    });
    const user = { uid: 5, gid: 6, supplementalGroups: [6, 7] };
    const status = first(statusOf(pod, [instance('main', 'running', { user, stopSignal: 'SIGUSR1' })]));
    assert.deepEqual([status?.user, status?.stopSignal], [{ linux: user }, 'SIGUSR1']);
    assert.equal(first(statusOf(pod))?.stopSignal, undefined, 'of what is not there nothing is known');
    assert.deepEqual(status?.volumeMounts, [
      { name: 'a', mountPath: '/a', readOnly: true, recursiveReadOnly: 'Enabled' },
      { name: 'b', mountPath: '/b', readOnly: true, recursiveReadOnly: 'Disabled' },
      { name: 'c', mountPath: '/c' },
    ]);
  });

  test('terminated, with its last words', () => {
    const gone = instance('main', 'exited', { exitCode: 137, reason: 'OOMKilled' });
    const status = statusOf(podOf({ restartPolicy: 'Never' }), [gone], { phase: 'Failed', terminationMessage: () => 'bye' });
    const { exitCode, reason, message } = first(status)?.state?.terminated ?? {};
    assert.deepEqual({ exitCode, reason, message }, { exitCode: 137, reason: 'OOMKilled', message: 'bye' });
  });

  test('what was said stays when words or records are gone', () => {
    const gone = instance('main', 'exited', { exitCode: 2 });
    const before = statusOf(podOf({ restartPolicy: 'Never' }), [gone], { phase: 'Failed', terminationMessage: () => 'bye' });
    const pod = podOf({ restartPolicy: 'Never' }, { status: before });
    assert.deepEqual(first(statusOf(pod, [gone], { phase: 'Failed' })), first(before));
    assert.deepEqual(first(statusOf(pod, [], { phase: 'Failed', sandbox: undefined })), first(before));
  });
});

describe('resize', () => {
  const resources = { requests: { memory: '2' }, limits: { memory: '2' } };
  const pod = podOf({ containers: [{ name: 'main', image: 'i', resources }] });
  const running = (memoryLimitBytes: number) => {
    const main = instance('main', 'running');
    return [{ ...main, config: { ...main.config, resources: { memoryLimitBytes } } }];
  };
  const wanted = () => ({ memoryLimitBytes: 2 });

  test('what was granted, and what the container has of it', () => {
    const done = statusOf(pod, running(2), { resources: wanted });
    assert.deepEqual([first(done)?.allocatedResources, first(done)?.resources], [resources.requests, resources]);
    assert.equal(condition(done, 'PodResizeInProgress'), undefined);
    const told = { ...done, containerStatuses: [{ ...first(done), resources: { limits: { memory: '1' } } }] } as Pod['status'];
    const under = statusOf({ ...pod, status: told } as Pod, running(1), { resources: wanted, resize: { error: 'in use' } });
    assert.deepEqual([first(under)?.allocatedResources, first(under)?.resources], [resources.requests, { limits: { memory: '1' } }]);
    const { status, reason, message } = condition(under, 'PodResizeInProgress') ?? {};
    assert.deepEqual([status, reason, message], ['True', 'Error', 'in use']);
  });

  test('what waits says why, until the pod has ended', () => {
    const resize = { pending: { reason: 'Deferred', message: 'no room' } as const };
    const { status, reason, message } = condition(statusOf(pod, running(2), { resize }), 'PodResizePending') ?? {};
    assert.deepEqual([status, reason, message], ['True', 'Deferred', 'no room']);
    assert.equal(condition(statusOf(pod, [], { resize, phase: 'Failed' }), 'PodResizePending'), undefined);
  });
});

describe('phase', () => {
  test('a pod that was turned away has none, also for the next agent', () => {
    const failure = { reason: 'OutOfcpu', message: 'Pod was rejected' };
    const away = statusOf(podOf(), [], { phase: 'Failed', failure, sandbox: undefined });
    assert.deepEqual([away.phase, away.reason, away.containerStatuses], ['Failed', 'OutOfcpu', undefined]);
    const later = statusOf(podOf({}, { status: away }), [], { phase: 'Failed', sandbox: undefined });
    assert.equal(later.containerStatuses, undefined);
  });

  test('an end is held back while something runs, its reason too', () => {
    const failure = { reason: 'DeadlineExceeded', message: 'm' };
    const up = statusOf(podOf(), [instance('main', 'running')], { failure });
    assert.deepEqual([up.phase, up.reason], ['Running', undefined]);
    const down = statusOf(podOf(), [instance('main', 'exited')], { failure });
    assert.deepEqual([down.phase, down.reason, down.message], ['Failed', 'DeadlineExceeded', 'm']);
  });
});

describe('conditions', () => {
  const shape = (status: ReturnType<typeof statusOf>) =>
    Object.fromEntries((status.conditions ?? []).map(({ type, status: is, reason }) => [type, reason ? `${is} ${reason}` : is]));
  const main = instance('main', 'running');
  const withInit = podOf({ initContainers: [{ name: 'i', image: 'i' }] });
  const withSidecar = podOf({ initContainers: [sidecar('s')] });
  const NOT_READY = { ContainersReady: 'False ContainersNotReady', Ready: 'False ContainersNotReady' };
  const READY = { PodReadyToStartContainers: 'True', Initialized: 'True', ContainersReady: 'True', Ready: 'True' };
  const cases: [string, Pod, Container[], Partial<StatusPicture>, Record<string, string>][] = [
    [
      'nothing yet',
      podOf(),
      [],
      { sandbox: undefined, phase: 'Pending' },
      { PodReadyToStartContainers: 'False', Initialized: 'True', ...NOT_READY },
    ],
    ['all well', podOf(), [main], {}, READY],
    ['not ready', podOf(), [main], { ready: () => false }, { ...READY, ...NOT_READY }],
    [
      'init to come',
      withInit,
      [],
      { phase: 'Pending' },
      { PodReadyToStartContainers: 'True', Initialized: 'False ContainersNotInitialized', ...NOT_READY },
    ],
    ['init done', withInit, [instance('i', 'exited'), main], {}, READY],
    ['sidecar up', withSidecar, [instance('s', 'running'), main], {}, READY],
    [
      'sidecar fell: still initialized, not ready',
      withSidecar,
      [instance('s', 'exited', { exitCode: 1 }), main],
      {},
      { ...READY, ...NOT_READY },
    ],
    [
      'completed',
      podOf({ restartPolicy: 'Never' }),
      [instance('main', 'exited')],
      { phase: 'Succeeded', sandbox: sandboxOf(0, 'notready') },
      {
        PodReadyToStartContainers: 'False',
        Initialized: 'True PodCompleted',
        ContainersReady: 'False PodCompleted',
        Ready: 'False PodCompleted',
      },
    ],
    [
      'failed',
      podOf({ restartPolicy: 'Never' }),
      [instance('main', 'exited', { exitCode: 1 })],
      { phase: 'Failed' },
      { PodReadyToStartContainers: 'True', Initialized: 'True', ContainersReady: 'False PodFailed', Ready: 'False PodFailed' },
    ],
    [
      'a gate is shut',
      podOf({ readinessGates: [{ conditionType: 'lb' }] }),
      [main],
      {},
      { ...READY, Ready: 'False ReadinessGatesNotReady' },
    ],
  ];
  for (const [what, pod, containers, more, expected] of cases)
    test(what, () => assert.deepEqual(shape(statusOf(pod, containers, more)), { PodScheduled: 'True', ...expected }));

  test('times of transition stay while nothing changes, by what was said last', () => {
    const early = statusOf(podOf(), [main], { nowMs: NOW_MS - 60_000 });
    const same = statusOf(podOf({}, { status: early }), [main]);
    assert.equal(condition(same, 'Ready')?.lastTransitionTime, toTime(NOW_MS - 60_000));
    const unready = statusOf(podOf({}, { status: early }), [main], { ready: () => false });
    assert.equal(condition(unready, 'Ready')?.lastTransitionTime, toTime(NOW_MS));
    assert.equal(condition(unready, 'Initialized')?.lastTransitionTime, toTime(NOW_MS - 60_000));
    assert.equal(condition(statusOf(podOf(), [main], { said: early }), 'Ready')?.lastTransitionTime, toTime(NOW_MS - 60_000));
  });
});

test('addresses: the sandbox’s, or the node’s for pods of its network', () => {
  assert.deepEqual([statusOf(podOf()).podIP, statusOf(podOf()).hostIP], ['10.42.0.2', '192.0.2.1']);
  assert.deepEqual(statusOf(podOf({ hostNetwork: true })).podIPs, [{ ip: '192.0.2.1' }]);
});
