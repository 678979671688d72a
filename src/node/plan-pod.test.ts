import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BACKOFF_COUNT, nextBackoffCount, type PodAction, type PodPicture, planPod, restartDueAt, SPEC_IMAGE } from './plan-pod.ts';
import { instance, NOW_MS, pictureOf, podOf, sandboxOf, sidecar } from './testing.ts';

/** A plan in short words. */
function told(picture: PodPicture): string[] {
  const { actions, phase, backingOff, againInMs } = planPod(picture);
  const waits = [...backingOff].map(([name, dueAt]) => `${name} waits ${dueAt - NOW_MS}`);
  return [phase, ...actions.map(inWords), ...waits, ...(againInMs === undefined ? [] : [`again in ${againInMs}`])];
}

function inWords(action: PodAction): string {
  switch (action.do) {
    case 'create-sandbox':
      return `sandbox ${action.attempt}`;
    case 'start':
      return `start ${action.container.name}/${action.attempt} in ${action.sandboxId}${action.replaces ? ` for ${action.replaces}` : ''}`;
    case 'kill':
      return `${action.message}${action.graceSeconds === undefined ? '' : ` (${action.graceSeconds} s)`}`;
    case 'stop-containers':
      return action.do;
    case 'resize':
      return `resize ${action.containerId} ${JSON.stringify(action.resources)}`;
    case 'remove':
      return `remove ${action.containerId}`;
    default:
      return `${action.do} ${action.sandboxId}`;
  }
}

const two = { containers: ['a', 'b'].map(name => ({ name, image: 'i' })) };
const ended = (name: string, exitCode: number, more = {}) => instance(name, 'exited', { exitCode, ...more });
const restarts = (count: number) => ({ attempt: count, annotations: { [BACKOFF_COUNT]: String(count) } });

describe('a pod starts', () => {
  const inits = { initContainers: ['i1', 'i2'].map(name => ({ name, image: 'i' })) };
  const cases: [string, PodPicture, string[]][] = [
    ['with its sandbox', pictureOf(podOf(), [], { sandboxes: [] }), ['Pending', 'sandbox 0']],
    ['with all main containers together', pictureOf(podOf(two)), ['Pending', 'start a/0 in s0', 'start b/0 in s0']],
    ['with the first init container alone', pictureOf(podOf(inits)), ['Pending', 'start i1/0 in s0']],
    ['while one init container runs nothing else does', pictureOf(podOf(inits), [instance('i1', 'running')]), ['Pending']],
    ['with the next once the first is done', pictureOf(podOf(inits), [ended('i1', 0)]), ['Pending', 'start i2/0 in s0']],
    ['with the main ones after all', pictureOf(podOf(inits), [ended('i1', 0), ended('i2', 0)]), ['Pending', 'start main/0 in s0']],
    ['with a failed init container again at once', pictureOf(podOf(inits), [ended('i1', 1)]), ['Pending', 'start i1/1 in s0']],
    [
      'and waits for an init container that fails again',
      pictureOf(podOf(inits), [ended('i1', 1, restarts(1))]),
      ['Pending', 'i1 waits 10000', 'again in 10000'],
    ],
    [
      'not, if an init container fails and nothing may be tried again',
      pictureOf(podOf({ ...inits, restartPolicy: 'Never' }), [ended('i1', 1)]),
      ['Failed', 'stop-sandbox s0'],
    ],
    [
      'and what an earlier agent left half-made is made anew',
      pictureOf(podOf(), [instance('main', 'created')]),
      ['Pending', 'start main/0 in s0 for main-0'],
    ],
    [
      'and stays Pending while one of its containers never ran',
      pictureOf(podOf(two), [instance('a', 'running')]),
      ['Pending', 'start b/0 in s0'],
    ],
  ];
  for (const [name, picture, expected] of cases) test(name, () => assert.deepEqual(told(picture), expected));
});

describe('sidecars', () => {
  const pod = podOf({ initContainers: [sidecar('s'), { name: 'i1', image: 'i' }] });
  const up = instance('s', 'running');
  const cases: [string, PodPicture, string[]][] = [
    ['start first', pictureOf(pod), ['Pending', 'start s/0 in s0']],
    ['let the next one start once they have started up', pictureOf(pod, [up]), ['Pending', 'start i1/0 in s0']],
    ['hold the next one back until then', pictureOf(pod, [up], { startupPassed: () => undefined }), ['Pending']],
    ['come back while init containers run', pictureOf(pod, [ended('s', 1), instance('i1', 'running')]), ['Pending', 'start s/1 in s0']],
    [
      'come back beside the main ones, which go on',
      pictureOf(pod, [ended('s', 1, restarts(2)), ended('i1', 0), ended('main', 1)]),
      ['Running', 'start main/1 in s0', 's waits 20000', 'again in 20000'],
    ],
    [
      'do not keep a finished pod from ending',
      pictureOf({ ...pod, spec: { ...pod.spec, restartPolicy: 'Never' } }, [up, ended('i1', 0), ended('main', 0)]),
      ['Succeeded', 'stop-containers'],
    ],
    [
      'are restarted whatever the policy of the pod',
      pictureOf({ ...pod, spec: { ...pod.spec, restartPolicy: 'Never' } }, [ended('s', 0), ended('i1', 0), instance('main', 'running')]),
      ['Running', 'start s/1 in s0'],
    ],
  ];
  for (const [name, picture, expected] of cases) test(name, () => assert.deepEqual(told(picture), expected));
});

describe('containers that end', () => {
  const policy = (restartPolicy: string, ...containers: Parameters<typeof pictureOf>[1] & {}) =>
    pictureOf(podOf({ ...two, restartPolicy }), containers);
  const cases: [string, PodPicture, string[]][] = [
    ['Always: well', policy('Always', ended('a', 0), instance('b', 'running')), ['Running', 'start a/1 in s0']],
    ['Always: all of them', policy('Always', ended('a', 0), ended('b', 1)), ['Running', 'start a/1 in s0', 'start b/1 in s0']],
    ['OnFailure: well', policy('OnFailure', ended('a', 0), instance('b', 'running')), ['Running']],
    ['OnFailure: badly', policy('OnFailure', ended('a', 2), ended('b', 0)), ['Running', 'start a/1 in s0']],
    ['OnFailure: all well', policy('OnFailure', ended('a', 0), ended('b', 0)), ['Succeeded', 'stop-sandbox s0']],
    ['Never: one of them', policy('Never', ended('a', 1), instance('b', 'running')), ['Running']],
    ['Never: badly', policy('Never', ended('a', 1), ended('b', 0)), ['Failed', 'stop-sandbox s0']],
    ['Never: well', policy('Never', ended('a', 0), ended('b', 0)), ['Succeeded', 'stop-sandbox s0']],
  ];
  for (const [name, picture, expected] of cases) test(name, () => assert.deepEqual(told(picture), expected));

  test('only the last two instances are kept', () => {
    const all = [0, 1, 2, 3].map(attempt => instance('main', attempt === 3 ? 'running' : 'exited', { attempt }));
    assert.deepEqual(told(pictureOf(podOf(), all)), ['Running', 'remove main-1', 'remove main-0']);
  });
});

describe('back-off', () => {
  const after = (count: number, ranMs = 1_000) => [ended('main', 1, { ...restarts(count), startedAtMs: NOW_MS - ranMs })];
  const delays: [number, number, number][] = [
    [0, 1_000, 0],
    [1, 1_000, 10_000],
    [2, 1_000, 20_000],
    [3, 1_000, 40_000],
    [5, 1_000, 160_000],
    [6, 1_000, 300_000],
    [60, 1_000, 300_000],
    [6, 599_999, 300_000],
    [6, 600_000, 0],
  ];
  for (const [count, ranMs, expected] of delays)
    test(`after ${count} restarts in a row and a run of ${ranMs} ms: ${expected} ms`, () => {
      assert.equal(restartDueAt({ containers: after(count, ranMs), nowMs: NOW_MS }, 'main') - NOW_MS, expected);
      assert.equal(nextBackoffCount(after(count, ranMs), 'main'), ranMs >= 600_000 ? 1 : count + 1);
    });

  test('is over at its end, and not a moment earlier', () => {
    const at = (nowMs: number) => told(pictureOf(podOf(), after(1), { nowMs }));
    assert.deepEqual(at(NOW_MS + 9_999), ['Running', 'main waits 10000', 'again in 1']);
    assert.deepEqual(at(NOW_MS + 10_000), ['Running', 'start main/2 in s0']);
  });

  test('does not last until a time is reached again that was set back', () => {
    assert.deepEqual(told(pictureOf(podOf(), after(5), { nowMs: NOW_MS - 86_400_000 })), ['Running', 'start main/6 in s0']);
  });

  test('the shortest one says when to look again', () => {
    const picture = pictureOf(podOf(two), [ended('a', 1, restarts(3)), ended('b', 1, restarts(2))]);
    assert.deepEqual(told(picture), ['Running', 'a waits 40000', 'b waits 20000', 'again in 20000']);
  });
});

describe('after a reboot', () => {
  const sandboxes = [sandboxOf(0, 'notready')];
  const fresh = [sandboxOf(1), sandboxOf(0, 'notready')];
  const lost = (name: string, more = {}) => ended(name, 137, { ...restarts(4), ...more });
  const cases: [string, PodPicture, string[]][] = [
    ['a new sandbox', pictureOf(podOf(), [lost('main')], { sandboxes }), ['Running', 'sandbox 1']],
    ['its containers at once', pictureOf(podOf(), [lost('main')], { sandboxes: fresh }), ['Running', 'start main/5 in s1']],
    [
      'init containers once more',
      pictureOf(podOf({ initContainers: [{ name: 'i', image: 'i' }] }), [ended('i', 0), lost('main')], { sandboxes: fresh }),
      ['Running', 'start i/1 in s1'],
    ],
    [
      'OnFailure: what had succeeded is left',
      pictureOf(podOf({ ...two, restartPolicy: 'OnFailure' }), [ended('a', 0), lost('b')], { sandboxes: fresh }),
      ['Running', 'start b/5 in s1'],
    ],
    ['Never: it has failed', pictureOf(podOf({ restartPolicy: 'Never' }), [lost('main')], { sandboxes }), ['Failed']],
    [
      'Never: what had ended is left, what never ran starts',
      pictureOf(podOf({ ...two, restartPolicy: 'Never' }), [ended('a', 0)], { sandboxes: fresh }),
      ['Pending', 'start b/0 in s1'],
    ],
    [
      'the old sandbox goes with its last container',
      pictureOf(podOf(), [instance('main', 'running', { sandbox: 's1', attempt: 1 })], { sandboxes: fresh }),
      ['Running', 'remove-sandbox s0'],
    ],
    [
      'what runs without its sandbox ends before a new one is made',
      pictureOf(podOf(), [instance('main', 'running')], { sandboxes }),
      ['Running', 'stop-containers'],
    ],
  ];
  for (const [name, picture, expected] of cases) test(name, () => assert.deepEqual(told(picture), expected));
});

describe('a running container is ended', () => {
  const probe = { exec: { command: ['true'] } };
  const of = (container: object, restartPolicy = 'Always', more: Partial<PodPicture> = {}, annotations = {}) =>
    pictureOf(
      podOf({ containers: [{ name: 'main', image: 'i', ...container }], restartPolicy }),
      [instance('main', 'running', { annotations })],
      more,
    );
  const dead = { livenessFailed: () => true };
  const cases: [string, PodPicture, string[]][] = [
    ['when it is not alive', of({}, 'Always', dead), ['Running', 'Container main failed liveness probe, will be restarted']],
    ['for good if nothing is restarted', of({}, 'Never', dead), ['Running', 'Container main failed liveness probe']],
    [
      'within the grace of its probe',
      of({ livenessProbe: { ...probe, terminationGracePeriodSeconds: 3 } }, 'Always', dead),
      ['Running', 'Container main failed liveness probe, will be restarted (3 s)'],
    ],
    [
      'when it does not start up',
      of({ startupProbe: { ...probe, terminationGracePeriodSeconds: 4 } }, 'OnFailure', { startupPassed: () => false }),
      ['Running', 'Container main failed startup probe, will be restarted (4 s)'],
    ],
    ['not while its startup is undecided', of({}, 'Always', { startupPassed: () => undefined }), ['Running']],
    [
      'when the spec has another image',
      of({}, 'Always', {}, { [SPEC_IMAGE]: 'old' }),
      ['Running', 'Container main definition changed, will be restarted'],
    ],
    ['not when the image is as it was', of({}, 'Always', {}, { [SPEC_IMAGE]: 'i' }), ['Running']],
  ];
  for (const [name, picture, expected] of cases) test(name, () => assert.deepEqual(told(picture), expected));
});

describe('a pod that was given up', () => {
  test('has failed: what runs is ended, then its sandbox', () => {
    const isGivenUp = true;
    assert.deepEqual(told(pictureOf(podOf(), [instance('main', 'running')], { isGivenUp })), ['Failed', 'stop-containers']);
    assert.deepEqual(told(pictureOf(podOf(), [ended('main', 137)], { isGivenUp })), ['Failed', 'stop-sandbox s0']);
    assert.deepEqual(told(pictureOf(podOf(), [], { isGivenUp, sandboxes: [] })), ['Failed']);
  });

  test('or was said to have ended stays so, whatever an agent that was started anew finds', () => {
    for (const phase of ['Failed', 'Succeeded'] as const)
      assert.deepEqual(told(pictureOf(podOf({}, { status: { phase } }), [], { sandboxes: [] })), [phase]);
  });
});

describe('a living pod is changed', () => {
  const up = instance('main', 'running');
  const ephemeral = { containers: [{ name: 'main', image: 'i' }], ephemeralContainers: [{ name: 'look', image: 'e' }] };
  const sized = { ...up, config: { ...up.config, resources: { cpuShares: 2, memoryLimitBytes: 100 } } };
  const policy = (restartPolicy: string) =>
    podOf({ containers: [{ name: 'main', image: 'i', resizePolicy: [{ resourceName: 'memory', restartPolicy }] }] });
  const wanting = (pod: PodPicture['pod'], memoryLimitBytes: number) =>
    pictureOf(pod, [sized], { resources: () => ({ cpuShares: 2, memoryLimitBytes }) });
  const cases: [string, PodPicture, string[]][] = [
    ['an ephemeral container waits for the pod to have begun', pictureOf(podOf(ephemeral)), ['Pending', 'start main/0 in s0']],
    ['and starts beside what runs', pictureOf(podOf(ephemeral), [up]), ['Running', 'start look/0 in s0']],
    ['once', pictureOf(podOf(ephemeral), [up, ended('look', 1)]), ['Running']],
    ['nothing to resize', wanting(policy('NotRequired'), 100), ['Running']],
    ['a limit of what runs', wanting(policy('NotRequired'), 200), [`Running`, 'resize main-0 {"cpuShares":2,"memoryLimitBytes":200}']],
    [
      'a limit that asks for a restart',
      wanting(policy('RestartContainer'), 200),
      ['Running', 'Container main resize requires restart, will be restarted'],
    ],
  ];
  for (const [name, picture, expected] of cases) test(name, () => assert.deepEqual(told(picture), expected));
});
