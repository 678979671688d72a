import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigMap } from '#kinds/config-map.ts';
import { Job } from '#kinds/job.ts';
import type { Kind, KubeObject } from '#kinds/kind.ts';
import { Namespace } from '#kinds/namespace.ts';
import { Pod } from '#kinds/pod.ts';
import { type DeleteOptions, planDeletion } from './deletion.ts';

const NOW = Date.parse('2026-01-01T00:01:00Z');
const running = { spec: { nodeName: 'n', terminationGracePeriodSeconds: 30 }, status: { phase: 'Running' } };
const marked = (seconds: number) => ({ deletionTimestamp: '2026-01-01T00:01:20Z', deletionGracePeriodSeconds: seconds });

interface Case {
  name: string;
  kind: Kind;
  metadata?: object;
  rest?: object;
  options?: DeleteOptions;
  action: string;
  becomes?: object;
}

const cases: Case[] = [
  { name: 'what nothing holds goes', kind: ConfigMap as Kind, action: 'remove' },
  {
    name: 'finalizers hold',
    kind: ConfigMap as Kind,
    metadata: { finalizers: ['a/b'] },
    action: 'mark',
    becomes: { deletionTimestamp: '2026-01-01T00:01:00Z', deletionGracePeriodSeconds: 0 },
  },
  { name: 'what is held is marked once', kind: ConfigMap as Kind, metadata: { finalizers: ['a/b'], ...marked(0) }, action: 'nothing' },
  {
    name: 'a Job leaves its pods unless it is said otherwise',
    kind: Job as Kind,
    action: 'mark',
    becomes: { finalizers: ['orphan'] },
  },
  { name: 'a Job takes its pods along when it is said', kind: Job as Kind, options: { propagationPolicy: 'Background' }, action: 'remove' },
  {
    name: 'a finalizer that says otherwise counts',
    kind: Job as Kind,
    metadata: { finalizers: ['foregroundDeletion'] },
    action: 'mark',
    becomes: { finalizers: ['foregroundDeletion'] },
  },
  {
    name: 'foreground is a finalizer',
    kind: ConfigMap as Kind,
    options: { propagationPolicy: 'Foreground' },
    action: 'mark',
    becomes: { finalizers: ['foregroundDeletion'] },
  },
  {
    name: 'orphan is a finalizer',
    kind: ConfigMap as Kind,
    options: { propagationPolicy: 'Orphan' },
    action: 'mark',
    becomes: { finalizers: ['orphan'] },
  },
  {
    name: 'background takes them away',
    kind: ConfigMap as Kind,
    metadata: { finalizers: ['orphan'] },
    options: { propagationPolicy: 'Background' },
    action: 'remove',
  },
  { name: 'a namespace waits for its contents', kind: Namespace as Kind, rest: { spec: { finalizers: ['kubernetes'] } }, action: 'mark' },
  {
    name: 'a running pod gets its time',
    kind: Pod as Kind,
    rest: running,
    action: 'mark',
    becomes: { deletionTimestamp: '2026-01-01T00:01:30Z', deletionGracePeriodSeconds: 30 },
  },
  {
    name: 'or what is asked',
    kind: Pod as Kind,
    rest: running,
    options: { gracePeriodSeconds: 5 },
    action: 'mark',
    becomes: { deletionGracePeriodSeconds: 5 },
  },
  { name: 'or none', kind: Pod as Kind, rest: running, options: { gracePeriodSeconds: 0 }, action: 'remove' },
  { name: 'a pod without a node goes at once', kind: Pod as Kind, rest: { spec: {} }, action: 'remove' },
  { name: 'a pod that has ended goes at once', kind: Pod as Kind, rest: { ...running, status: { phase: 'Succeeded' } }, action: 'remove' },
  { name: 'again is nothing new', kind: Pod as Kind, metadata: marked(30), rest: running, action: 'nothing' },
  {
    name: 'longer is not given',
    kind: Pod as Kind,
    metadata: marked(30),
    rest: running,
    options: { gracePeriodSeconds: 60 },
    action: 'nothing',
  },
  {
    name: 'shorter counts from the beginning',
    kind: Pod as Kind,
    metadata: marked(30),
    rest: running,
    options: { gracePeriodSeconds: 10 },
    action: 'mark',
    becomes: { deletionTimestamp: '2026-01-01T00:01:00Z', deletionGracePeriodSeconds: 10 },
  },
  {
    name: 'the node says it is over',
    kind: Pod as Kind,
    metadata: marked(30),
    rest: running,
    options: { gracePeriodSeconds: 0 },
    action: 'remove',
  },
];
for (const { name, kind, metadata, rest, options, action, becomes } of cases)
  test(name, () => {
    const object = { metadata: { name: 'x', ...metadata }, ...rest } as unknown as KubeObject;
    const plan = planDeletion(kind, object, options ?? {}, NOW);
    assert.equal(plan.action, action);
    if (becomes) assert.partialDeepStrictEqual(plan.object.metadata as object, becomes);
  });
