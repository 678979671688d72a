import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { toTime } from '#base/index.ts';
import type { Container } from '#engine/engine.ts';
import { Pod } from '#kinds/pod.ts';
import { type Mirrored, type MirrorFacts, mirrorName, planMirror, planMirrorPod, planMirrorStatus } from './plan-mirror.ts';

const config = { sandboxId: 's', metadata: { name: 'web', attempt: 0 }, image: 'i' };
const running: Container = {
  id: 'c'.repeat(64),
  owner: 'docker',
  config,
  imageId: 'sha256:1',
  imageRef: 'i',
  state: 'running',
  createdAtMs: 1_000,
  startedAtMs: 5_000,
};
const ended: Container = { ...running, state: 'exited', finishedAtMs: 9_000, exitCode: 3, reason: 'Error' };
const again: Container = { ...running, startedAtMs: 60_000 };
const mirrored: Mirrored = {
  name: 'web',
  image: 'busybox',
  command: ['sh'],
  labels: {},
  ports: [],
  hostNetwork: false,
  addresses: ['10.0.0.2'],
  restartPolicy: 'Never',
  graceSeconds: 10,
  restartCount: 0,
  isRestarting: false,
  isHealthy: true,
  wasStopped: false,
  isTransient: false,
};
const facts = { hostAddress: '10.0.0.1', nowMs: 100_000 };

/** The Pod as the API has it once its status was told. */
function shown(container: Container, what: Partial<Mirrored> = {}, metadata: Partial<Pod['metadata']> = {}): Pod {
  const all = { ...mirrored, ...what };
  const draft = planMirrorPod(container, all, 'node') as unknown as Pod;
  const pod = { ...draft, metadata: { ...draft.metadata, uid: 'u', resourceVersion: '1', creationTimestamp: '', ...metadata } };
  return { ...pod, status: planMirrorStatus(pod, container, all, facts) };
}

describe('mirrorName', () => {
  const rows: [name: string, pod: RegExp][] = [
    ['web', /^web-node$/],
    ['web-1', /^web-1-node$/],
    ['Web', /^web-[0-9a-f]{6}-node$/],
    ['web_1', /^web-1-[0-9a-f]{6}-node$/],
    ['a.b', /^a-b-[0-9a-f]{6}-node$/],
    ['x'.repeat(200), /^x{56}-[0-9a-f]{6}-node$/],
    ['_.', /^container-[0-9a-f]{6}-node$/],
  ];
  for (const [name, pod] of rows) it(name.slice(0, 20), () => assert.match(mirrorName(name, 'node'), pod));
  it('is another for another name', () => assert.notEqual(mirrorName('a_b', 'n'), mirrorName('a.b', 'n')));
});

describe('planMirror', () => {
  const dying = { deletionTimestamp: toTime(0) };
  const rows: [what: string, facts: Partial<MirrorFacts>, expected: string][] = [
    ['runs, is not shown', {}, 'create'],
    ['runs, is shown', { pods: [shown(running)] }, 'keep'],
    ['not docker’s', { mirrored: undefined }, ''],
    ['is gone', { container: undefined, pods: [shown(running)] }, 'remove1'],
    ['is gone, was never shown', { container: undefined }, ''],
    ['never ran', { container: { ...running, state: 'created', startedAtMs: undefined } as unknown as Container }, ''],
    ['has ended, is shown', { container: ended, pods: [shown(running)] }, 'keep'],
    ['has ended, is shown so', { container: ended, pods: [shown(ended)] }, 'keep'],
    ['has ended, is not shown', { container: ended }, 'create'],
    ['has ended and goes', { container: ended, mirrored: { ...mirrored, isTransient: true } }, ''],
    ['was stopped, is not shown', { container: ended, mirrored: { ...mirrored, wasStopped: true } }, ''],
    ['was stopped, is shown', { container: ended, mirrored: { ...mirrored, wasStopped: true }, pods: [shown(running)] }, 'keep'],
    ['somebody deletes its Pod', { pods: [shown(running, {}, dying)] }, 'stop'],
    ['somebody deleted its Pod and it ended', { container: ended, pods: [shown(running, {}, dying)] }, 'remove1'],
    ['its end was dismissed', { container: ended, isDismissed: true }, ''],
    ['started anew by a person', { container: again, pods: [shown(ended)] }, 'remove1 create'],
    ['started anew, unseen between', { container: again, pods: [shown(running)] }, 'remove1 create'],
    ['started anew by its policy', { container: again, mirrored: { ...mirrored, restartCount: 1 }, pods: [shown(running)] }, 'keep'],
    [
      'started anew by its policy, having waited',
      { container: again, mirrored: { ...mirrored, restartCount: 1 }, pods: [shown(ended, { isRestarting: true, restartCount: 1 })] },
      'keep',
    ],
    ['waits for its restart', { container: ended, mirrored: { ...mirrored, isRestarting: true }, pods: [shown(running)] }, 'keep'],
    ['has another name', { mirrored: { ...mirrored, name: 'shop' }, pods: [shown(running)] }, 'remove1 create'],
    ['is shown twice', { pods: [shown(running), shown(running, { name: 'old' }, { uid: 'v' })] }, 'remove1 keep'],
  ];
  for (const [what, more, expected] of rows)
    it(what, () => {
      const plan = planMirror({ container: running, mirrored, pods: [], nodeName: 'node', isDismissed: false, ...more });
      const words = [
        plan.remove.length > 0 && `remove${plan.remove.length}`,
        plan.keep && 'keep',
        plan.create && 'create',
        plan.stop && 'stop',
      ];
      assert.equal(words.filter(Boolean).join(' '), expected);
    });
});

describe('planMirrorPod', () => {
  it('is a Pod that the API takes, with the labels that Kubernetes has words for', () => {
    const labels = { 'com.docker.compose.project': 'shop', 'a b': 'c', path: '/srv', '': '' };
    const pod = planMirrorPod(
      running,
      { ...mirrored, name: 'Web_1', labels, ports: [{ containerPort: 80, protocol: 'TCP' }] },
      'node',
    ) as unknown as Pod;
    Pod.defaults?.(pod);
    assert.deepEqual(Pod.validate?.(pod) ?? [], []);
    assert.deepEqual(pod.metadata.labels, { 'com.docker.compose.project': 'shop' });
    assert.equal(pod.spec.containers[0]?.name, 'web-1');
  });
});

describe('planMirrorStatus', () => {
  const told = (container: Container, what: Partial<Mirrored> = {}) => {
    const { phase, podIP, conditions, containerStatuses } = shown(container, what).status ?? {};
    const [status] = containerStatuses ?? [];
    return [phase, podIP, conditions?.find(({ type }) => type === 'Ready')?.status, Object.keys(status?.state ?? {})[0]];
  };
  const rows: [what: string, container: Container, mirrored: Partial<Mirrored>, expected: unknown[]][] = [
    ['runs', running, {}, ['Running', '10.0.0.2', 'True', 'running']],
    ['is not well', running, { isHealthy: false }, ['Running', '10.0.0.2', 'False', 'running']],
    ["on the machine's network", running, { hostNetwork: true }, ['Running', '10.0.0.1', 'True', 'running']],
    ['failed', ended, {}, ['Failed', undefined, 'False', 'terminated']],
    ['did its work', { ...ended, exitCode: 0 }, {}, ['Succeeded', undefined, 'False', 'terminated']],
    ['waits for its restart', ended, { isRestarting: true }, ['Running', undefined, 'False', 'waiting']],
  ];
  for (const [what, container, more, expected] of rows) it(what, () => assert.deepEqual(told(container, more), expected));
});
