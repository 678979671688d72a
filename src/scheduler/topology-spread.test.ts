import assert from 'node:assert/strict';
import { test } from 'node:test';
import { requirementsOf } from '#base/label-selector.ts';
import type { TopologySpreadConstraint } from '#kinds/types.gen.ts';
import { createPlugins } from './plugins.ts';
import { type NodeDraft, node, type PodDraft, pod, put, run, world } from './testing.ts';

const ZONE = 'zone';
const spread = (more: Partial<TopologySpreadConstraint> = {}): TopologySpreadConstraint => ({
  maxSkew: 1,
  topologyKey: ZONE,
  whenUnsatisfiable: 'DoNotSchedule',
  labelSelector: { matchLabels: { app: 'web' } },
  ...more,
});

interface Case {
  name: string;
  /** Pods of the app by node. */
  there: Record<string, number>;
  constraints: TopologySpreadConstraint[];
  pod?: PodDraft;
  nodes?: Record<string, NodeDraft>;
  gives: string | RegExp;
}

const zoned: Record<string, NodeDraft> = { a1: { labels: { zone: 'a' } }, a2: { labels: { zone: 'a' } }, b1: { labels: { zone: 'b' } } };
const SKEWED = "node(s) didn't match pod topology spread constraints";
const cases: Case[] = [
  { name: 'goes where fewer are', there: { a1: 1 }, constraints: [spread()], gives: 'b1' },
  {
    name: 'may go where more are, within the skew',
    there: { a1: 1 },
    constraints: [spread({ maxSkew: 2 })],
    pod: { nodeSelector: { zone: 'a' } },
    gives: /^a/,
  },
  {
    name: 'has no place beyond the skew, nor without the label',
    there: { a1: 1, b1: 2 },
    constraints: [spread()],
    nodes: { ...zoned, a1: { labels: { zone: 'a' }, unschedulable: true }, a2: { labels: { zone: 'a' }, unschedulable: true }, c: {} },
    gives: `0/4 nodes are available: 1 ${SKEWED}, 1 ${SKEWED} (missing required label), 2 node(s) were unschedulable.`,
  },
  {
    name: 'with too few domains keeps to the skew from zero',
    there: { a1: 1, b1: 1 },
    constraints: [spread({ minDomains: 3 })],
    gives: `0/3 nodes are available: 3 ${SKEWED}.`,
  },
  { name: 'with enough domains does not', there: { a1: 1, b1: 1 }, constraints: [spread({ minDomains: 2 })], gives: /^(a2|b1|a1)$/ },
  {
    name: 'counts no nodes that it can not go to',
    there: { a1: 1 },
    constraints: [spread()],
    pod: { nodeSelector: { zone: 'a' } },
    gives: /^a/,
  },
  {
    name: 'counts them too if told to',
    there: { a1: 1 },
    constraints: [spread({ nodeAffinityPolicy: 'Ignore' })],
    pod: { nodeSelector: { zone: 'a' } },
    gives: new RegExp(`1 node\\(s\\) didn't match Pod's node affinity/selector, 2 ${SKEWED.replace(/[()]/g, '\\$&')}`),
  },
  {
    name: 'counts no tainted nodes if told so',
    there: { a1: 1 },
    constraints: [spread({ nodeTaintsPolicy: 'Honor' })],
    nodes: { ...zoned, b1: { labels: { zone: 'b' }, taints: [{ key: 'x', effect: 'NoSchedule' }] } },
    gives: /^a/,
  },
  {
    name: 'counts its own revision alone with matchLabelKeys',
    there: { a1: 2 },
    constraints: [spread({ matchLabelKeys: ['hash'] })],
    pod: { labels: { app: 'web', hash: '2' }, nodeSelector: { zone: 'a' } },
    gives: /^a/,
  },
  {
    name: 'prefers where fewer are',
    there: { a1: 1, a2: 1, b1: 1 },
    constraints: [spread({ whenUnsatisfiable: 'ScheduleAnyway' })],
    gives: 'b1',
  },
];

for (const { name, there, constraints, pod: draft = {}, nodes = zoned, gives } of cases)
  test(`a pod ${name}`, () => {
    const on = world(Object.entries(nodes).map(([each, more]) => node(each, { pods: '20', ...more })));
    for (const [where, count] of Object.entries(there))
      for (let index = 0; index < count; index++) put(on, where, pod({ name: `${where}-${index}`, cpu: '0', labels: { app: 'web' } }));
    const given = run(pod({ labels: { app: 'web' }, cpu: '0', topologySpreadConstraints: constraints, ...draft }), on);
    if (typeof gives === 'string') assert.equal(given, gives);
    else assert.match(given, gives);
  });

test('pods on their way out and those of other namespaces do not count', () => {
  const on = world([node('a', { labels: { zone: 'a' } }), node('b', { labels: { zone: 'b' } })]);
  put(
    on,
    'a',
    pod({ name: '1', cpu: '0', labels: { app: 'web' }, deletionTimestamp: 'now' }),
    pod({ name: '2', cpu: '0', namespace: 'o', labels: { app: 'web' } }),
  );
  put(on, 'b', pod({ name: '3', cpu: '0', labels: { app: 'web' } }));
  assert.equal(run(pod({ labels: { app: 'web' }, topologySpreadConstraints: [spread()] }), on), 'a');
});

test('pods of one controller spread by default, over hosts and zones', () => {
  const plugins = createPlugins({
    ownSelector: ({ metadata }) => (metadata.labels ? requirementsOf({ matchLabels: metadata.labels }) : undefined),
  });
  const on = world([node('a', { pods: '90', cpu: '90' }), node('b', { pods: '90', cpu: '90' })]);
  // Another pod makes the node where none of the app is the fuller one.
  put(on, 'b', pod({ name: 'big', cpu: '40' }));
  put(on, 'a', pod({ name: 'own', cpu: '0', labels: { app: 'web' } }));
  assert.equal(run(pod({ labels: { app: 'web' }, cpu: '0' }), on, plugins), 'b');
  assert.equal(run(pod({ cpu: '0' }), on, plugins), 'a');
});
