import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Container, ContainerState } from '#engine/engine.ts';
import type { Pod } from '#kinds/pod.ts';
import { chooseLogs, chooseRunning, readLogQuery } from './kubelet-logs.ts';

const NOW = Date.parse('2026-11-23T12:00:00Z');

describe('queries for logs', () => {
  const defaults = { follow: false, timestamps: false, stream: 'all' };
  const table: [query: string, expected: object | RegExp][] = [
    ['', defaults],
    ['follow=true&timestamps=true', { ...defaults, follow: true, timestamps: true }],
    ['follow&timestamps=0', { ...defaults, follow: true }],
    ['tailLines=0&limitBytes=1', { ...defaults, tailLines: 0, limitBytes: 1 }],
    ['sinceSeconds=60', { ...defaults, sinceMs: NOW - 60_000 }],
    ['sinceTime=2026-11-23T11:59:00Z', { ...defaults, sinceMs: NOW - 60_000 }],
    ['stream=Stderr', { ...defaults, stream: 'stderr' }],
    ['stream=All', defaults],
    ['tailLines=-1', /^tailLines: "-1" is no whole number of at least 0$/],
    ['tailLines=x', /^tailLines: "x"/],
    ['limitBytes=0', /^limitBytes: "0" is no whole number of at least 1$/],
    ['sinceSeconds=1e3', /^sinceSeconds: "1e3"/],
    ['sinceTime=yesterday', /^sinceTime: "yesterday" is no RFC 3339 time$/],
    ['stream=stdout', /^stream: "stdout" is none of/],
  ];
  for (const [query, expected] of table)
    test(query || 'none', () => {
      const read = () => readLogQuery(new URLSearchParams(query), NOW);
      if (expected instanceof RegExp) assert.throws(read, { reason: 'BadRequest', message: expected });
      else assert.deepEqual(read(), expected);
    });
});

/** `r` runs, `x` has exited, `c` was created only, `s` failed to start; oldest first. */
function instances(letters: string, name = 'main'): Container[] {
  const states: Record<string, ContainerState> = { r: 'running', x: 'exited', c: 'created', s: 'exited' };
  return [...letters].map((letter, attempt) => ({
    id: `${name}-${attempt}`,
    owner: 'node',
    config: { sandboxId: 's', metadata: { name, attempt }, image: '' },
    imageId: '',
    imageRef: '',
    state: states[letter]!,
    createdAtMs: attempt,
    ...(letter === 'r' || letter === 'x' ? { startedAtMs: attempt } : {}),
  }));
}

function pod(waiting?: string): Pod {
  const status = { containerStatuses: [{ name: 'main', state: waiting ? { waiting: { reason: waiting } } : {} }] };
  return {
    metadata: { name: 'web' },
    spec: { containers: [{ name: 'main' }], initContainers: [{ name: 'first' }] },
    status,
  } as unknown as Pod;
}

describe('whose log is meant', () => {
  const waits = (why: string) => `container "main" in pod "web" is waiting to start: ${why}`;
  const noPrevious = 'previous terminated container "main" in pod "web" not found';
  // Instances, why it waits, the newest asked for, the previous one asked for.
  const table: [string, string | undefined, string, string][] = [
    ['', undefined, waits('ContainerCreating'), noPrevious],
    ['', 'PodInitializing', waits('PodInitializing'), noPrevious],
    ['', 'ErrImagePull', waits("image can't be pulled"), noPrevious],
    ['', 'ImagePullBackOff', waits('trying and failing to pull image'), noPrevious],
    ['r', undefined, 'main-0', noPrevious],
    ['x', undefined, 'main-0', noPrevious],
    ['xr', undefined, 'main-1', 'main-0'],
    ['xxxr', undefined, 'main-3', 'main-2'],
    ['xx', undefined, 'main-1', 'main-0'],
    ['xx', 'CrashLoopBackOff', 'main-1', 'main-1'],
    ['x', 'CrashLoopBackOff', 'main-0', 'main-0'],
    ['xc', undefined, 'main-0', noPrevious],
    ['xs', 'CrashLoopBackOff', 'main-0', 'main-0'],
  ];
  for (const [letters, waiting, newest, previous] of table)
    test(`${letters || 'none'}${waiting ? `, ${waiting}` : ''}`, () => {
      for (const [isPrevious, expected] of [
        [false, newest],
        [true, previous],
      ] as const) {
        const choose = () => chooseLogs(pod(waiting), instances(letters), 'main', isPrevious).id;
        if (expected.includes(' ')) assert.throws(choose, { reason: 'BadRequest', message: expected });
        else assert.equal(choose(), expected);
      }
    });

  test('init containers too; a name that the pod does not have', () => {
    assert.equal(chooseLogs(pod(), instances('x', 'first'), 'first', false).id, 'first-0');
    assert.throws(() => chooseLogs(pod(), instances('r'), 'other', false), {
      reason: 'NotFound',
      message: 'container "other" not found in pod "web"',
    });
  });
});

test('entered is what runs', () => {
  assert.equal(chooseRunning(instances('xr'), 'main').id, 'main-1');
  for (const letters of ['', 'x', 'xc'])
    assert.throws(() => chooseRunning(instances(letters), 'main'), { reason: 'NotFound', message: 'container not found ("main")' });
});
