import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MIRROR, MIRRORED_CONTAINER } from '#kinds/mirror-pod.ts';
import type { Pod } from '#kinds/pod.ts';
import type { PodDisruptionBudget } from '#kinds/policy.ts';
import { explain, place } from './place.ts';
import { createPlugins } from './plugins.ts';
import { planPreemption } from './preemption.ts';
import { type NodeDraft, node, type PodDraft, pod, put, world } from './testing.ts';
import { candidateOf } from './world.ts';

const startedAt = (second: number): Pod['status'] => ({ startTime: `2026-01-01T00:00:${String(second).padStart(2, '0')}Z` });
const budget = (app: string, disruptionsAllowed: number, more: Partial<PodDisruptionBudget['status']> = {}): PodDisruptionBudget => ({
  apiVersion: 'policy/v1',
  kind: 'PodDisruptionBudget',
  metadata: { name: app, namespace: 'n', uid: app, resourceVersion: '1', creationTimestamp: '' },
  spec: { selector: { matchLabels: { app } } },
  status: { disruptionsAllowed, ...more },
});

interface Case {
  name: string;
  nodes?: Record<string, NodeDraft>;
  /** By node: its pods; the key is the pod's name. */
  there: Record<string, Record<string, PodDraft>>;
  pod?: PodDraft;
  budgets?: PodDisruptionBudget[];
  nominated?: string;
  /** `node: victims`, or the whole message. */
  gives: string;
}

const two = { a: {}, b: {} };
const cases: Case[] = [
  { name: 'takes only as many as it needs, the least important', there: { a: { x: { priority: 5 }, y: { priority: 1 } } }, gives: 'a: y' },
  {
    name: 'finds nobody less important',
    there: { a: { x: { priority: 10, cpu: '2' } } },
    gives:
      '0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.',
  },
  {
    name: "leaves what only shows docker's containers alone",
    there: {
      a: {
        x: { priority: 5, cpu: '1' },
        y: { priority: 1, cpu: '1', namespace: 'docker', annotations: { [MIRROR]: 'c', [MIRRORED_CONTAINER]: 'c' } },
      },
    },
    gives: 'a: x',
  },
  {
    name: 'would not fit even alone',
    there: { a: { x: { priority: 1 } } },
    pod: { cpu: '3' },
    gives: '0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.',
  },
  {
    name: 'is still kept out by the more important',
    there: { a: { x: { priority: 20, cpu: '1500m' }, y: { priority: 1, cpu: '500m' } } },
    gives: '0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 Insufficient cpu.',
  },
  {
    name: 'may not by its policy',
    there: { a: { x: { priority: 1, cpu: '2' } } },
    pod: { preemptionPolicy: 'Never' },
    gives: '0/1 nodes are available: 1 Insufficient cpu. preemption: not eligible due to preemptionPolicy=Never.',
  },
  {
    name: 'does not help where a taint keeps it out',
    nodes: { a: {}, b: { taints: [{ key: 't', effect: 'NoSchedule' }] } },
    there: { a: { x: { priority: 10, cpu: '2' } } },
    gives:
      '0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s) {t: }. preemption: 0/2 nodes are available: 1 No preemption victims found for incoming pod, 1 Preemption is not helpful for scheduling.',
  },
  {
    name: 'chooses the node whose victims matter less',
    nodes: two,
    there: { a: { x: { priority: 5, cpu: '2' } }, b: { y: { priority: 4, cpu: '2' } } },
    gives: 'b: y',
  },
  {
    name: 'then the one with the smaller sum',
    nodes: two,
    there: { a: { x: { priority: 5 }, y: { priority: 4 } }, b: { z: { priority: 5 }, w: { priority: 2 } } },
    pod: { cpu: '2' },
    gives: 'b: z w',
  },
  {
    name: 'then the one with fewer victims, also of negative priority',
    nodes: two,
    there: { a: { x: { priority: -5 }, y: { priority: -5 } }, b: { z: { priority: -5, cpu: '2' } } },
    pod: { cpu: '2' },
    gives: 'b: z',
  },
  {
    name: 'then the one whose victims started last',
    nodes: two,
    there: { a: { x: { priority: 1, cpu: '2', status: startedAt(1) } }, b: { y: { priority: 1, cpu: '2', status: startedAt(2) } } },
    gives: 'b: y',
  },
  {
    name: 'among equals takes the younger',
    there: { a: { old: { priority: 1, status: startedAt(1) }, young: { priority: 1, status: startedAt(9) } } },
    gives: 'a: young',
  },
  {
    name: 'respects budgets where it can',
    there: { a: { kept: { priority: 1, labels: { app: 'db' } }, other: { priority: 5 } } },
    budgets: [budget('db', 0)],
    gives: 'a: other',
  },
  {
    name: 'goes to the node without a violated budget',
    nodes: two,
    there: { a: { x: { priority: 1, cpu: '2', labels: { app: 'db' } } }, b: { y: { priority: 9, cpu: '2' } } },
    budgets: [budget('db', 0)],
    gives: 'b: y',
  },
  {
    name: 'violates a budget if nothing else makes room',
    there: { a: { x: { priority: 1, cpu: '2', labels: { app: 'db' } } } },
    budgets: [budget('db', 0)],
    gives: 'a: x (1 violated)',
  },
  {
    name: 'counts a disruption once',
    there: { a: { x: { priority: 1, cpu: '2', labels: { app: 'db' } } } },
    budgets: [budget('db', 0, { disruptedPods: { x: '2026-01-01T00:00:00Z' } })],
    gives: 'a: x',
  },
  {
    name: 'waits for victims that are on their way out',
    there: {
      a: {
        x: {
          priority: 1,
          cpu: '2',
          deletionTimestamp: 'now',
          status: { conditions: [{ type: 'DisruptionTarget', status: 'True', reason: 'PreemptionByScheduler' }] },
        },
      },
    },
    nominated: 'a',
    gives: '0/1 nodes are available: 1 Insufficient cpu. preemption: not eligible due to a terminating pod on the nominated node.',
  },
  {
    name: 'gets a host port from the less important',
    there: { a: { x: { priority: 1, cpu: '0', hostPort: 80 }, y: { priority: 1, cpu: '0' } } },
    pod: { hostPort: 80, cpu: '0' },
    gives: 'a: x',
  },
  {
    name: 'breaks anti-affinity of the less important',
    there: {
      a: {
        x: {
          priority: 1,
          cpu: '0',
          affinity: {
            podAntiAffinity: {
              requiredDuringSchedulingIgnoredDuringExecution: [{ labelSelector: {}, topologyKey: 'kubernetes.io/hostname' }],
            },
          },
        },
        y: { priority: 0, cpu: '0' },
      },
    },
    gives: 'a: x',
  },
  {
    name: 'evens a spread',
    nodes: { a: { labels: { zone: 'a' } }, b: { labels: { zone: 'b' }, unschedulable: true } },
    there: { a: { x: { priority: 1, cpu: '0', labels: { app: 'web' } }, y: { priority: 0, cpu: '0' } } },
    pod: {
      labels: { app: 'web' },
      topologySpreadConstraints: [
        { maxSkew: 1, topologyKey: 'zone', whenUnsatisfiable: 'DoNotSchedule', labelSelector: { matchLabels: { app: 'web' } } },
      ],
    },
    gives: 'a: x',
  },
];

for (const { name, nodes = { a: {} }, there, pod: draft = {}, budgets = [], nominated, gives } of cases)
  test(`a pod that preempts ${name}`, () => {
    const on = world(Object.entries(nodes).map(([each, more]) => node(each, { pods: '9', ...more })));
    for (const [where, pods] of Object.entries(there))
      for (const [each, more] of Object.entries(pods)) put(on, where, pod({ name: each, ...more }));
    const candidate = candidateOf('n/p', pod({ priority: 10, ...draft }));
    if (nominated) on.nominate(candidate, nominated);
    const used = [...on.table.cpuUsed];
    const misfit = place(candidate, on, createPlugins(), { next: 0 });
    if (misfit.row !== undefined) assert.fail(`it fits on ${misfit.node}`);
    const plan = planPreemption({ candidate, world: on, misfit, budgets, nowMs: Date.parse('2026-01-02T00:00:00Z') });
    const { sacrifice } = plan;
    const given = sacrifice
      ? `${sacrifice.node}: ${sacrifice.victims.map(({ pod: { metadata } }) => metadata.name).join(' ')}${sacrifice.violations ? ` (${sacrifice.violations} violated)` : ''}`
      : explain(misfit, on.table.size, plan.message);
    assert.equal(given, gives);
    assert.deepEqual([...on.table.cpuUsed], used, 'trying leaves no trace');
  });
