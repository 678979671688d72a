import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PodAffinityTerm } from '#kinds/types.gen.ts';
import { node, type PodDraft, pod, put, run, world } from './testing.ts';

const ZONE = 'zone';
const three = () =>
  world(
    [
      node('a1', { labels: { zone: 'a' }, pods: '9' }),
      node('a2', { labels: { zone: 'a' }, pods: '9' }),
      node('b1', { labels: { zone: 'b' }, pods: '9' }),
    ],
    { namespaceLabels: name => ({ team: name === 'other' ? 'x' : 'y' }) },
  );

const near = (app: string, more: Partial<PodAffinityTerm> = {}): PodAffinityTerm => ({
  labelSelector: { matchLabels: { app } },
  topologyKey: ZONE,
  ...more,
});
const must = (...terms: PodAffinityTerm[]) => ({ podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: terms } });
const mustNot = (...terms: PodAffinityTerm[]) => ({ podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: terms } });
const like = (weight: number, podAffinityTerm: PodAffinityTerm) => ({
  podAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [{ weight, podAffinityTerm }] },
});
const dislike = (weight: number, podAffinityTerm: PodAffinityTerm) => ({
  podAntiAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [{ weight, podAffinityTerm }] },
});

interface Case {
  name: string;
  /** Pods that are there, by node. */
  there: Record<string, PodDraft>;
  pod: PodDraft;
  /** Nodes that are fine, or the reasons. */
  gives: string | RegExp;
}

const web = { labels: { app: 'web' }, cpu: '0' };
const cases: Case[] = [
  { name: 'goes to the zone of what it needs', there: { b1: web }, pod: { affinity: must(near('web')) }, gives: 'b1' },
  {
    name: 'has no place where nothing is that it needs',
    there: { b1: { ...web, labels: { app: 'db' } } },
    pod: { affinity: must(near('web')) },
    gives: "0/3 nodes are available: 3 node(s) didn't match pod affinity rules.",
  },
  { name: 'that needs its like may be the first', there: {}, pod: { ...web, affinity: must(near('web')) }, gives: /^a1$/ },
  {
    name: 'that needs its like goes to it',
    there: { b1: { ...web, affinity: must(near('web')) } },
    pod: { ...web, affinity: must(near('web')) },
    gives: 'b1',
  },
  { name: 'stays away from what it hates', there: { a1: web }, pod: { affinity: mustNot(near('web')) }, gives: 'b1' },
  {
    name: 'stays away from what hates it',
    there: { a2: { cpu: '0', affinity: mustNot(near('web')) } },
    pod: web,
    gives: 'b1',
  },
  {
    name: 'is told of both sorts of hate',
    there: { a1: web, b1: { cpu: '0', affinity: mustNot(near('web')) } },
    pod: { ...web, affinity: mustNot(near('web')) },
    gives:
      "0/3 nodes are available: 1 node(s) didn't satisfy existing pods anti-affinity rules, 2 node(s) didn't match pod anti-affinity rules.",
  },
  {
    name: 'needs nodes to have the label of the topology',
    there: { a1: web },
    pod: { affinity: must(near('web', { topologyKey: 'rack' })) },
    gives: /3 node\(s\) didn't match pod affinity rules/,
  },
  {
    name: 'looks only at its own namespace',
    there: { b1: { ...web, namespace: 'other' } },
    pod: { affinity: must(near('web')) },
    gives: /didn't match pod affinity rules/,
  },
  {
    name: 'looks at namespaces that it names',
    there: { b1: { ...web, namespace: 'other' } },
    pod: { affinity: must(near('web', { namespaces: ['other'] })) },
    gives: 'b1',
  },
  {
    name: 'looks at namespaces by their labels',
    there: { b1: { ...web, namespace: 'other' } },
    pod: { affinity: must(near('web', { namespaceSelector: { matchLabels: { team: 'x' } } })) },
    gives: 'b1',
  },
  {
    name: 'an empty namespace selector means all',
    there: { b1: { ...web, namespace: 'any' } },
    pod: { affinity: must(near('web', { namespaceSelector: {} })) },
    gives: 'b1',
  },
  {
    name: 'matchLabelKeys narrows to its own value',
    there: { a1: { cpu: '0', labels: { app: 'web', hash: '1' } }, b1: { cpu: '0', labels: { app: 'web', hash: '2' } } },
    pod: { labels: { app: 'web', hash: '2' }, affinity: must(near('web', { matchLabelKeys: ['hash'] })) },
    gives: 'b1',
  },
  {
    name: 'mismatchLabelKeys narrows to other values',
    there: { a1: { cpu: '0', labels: { app: 'web', tenant: '1' } }, b1: { cpu: '0', labels: { app: 'web', tenant: '2' } } },
    pod: { labels: { tenant: '2' }, affinity: mustNot(near('web', { mismatchLabelKeys: ['tenant'] })) },
    gives: 'b1',
  },
  { name: 'prefers to be near', there: { b1: web }, pod: { affinity: like(50, near('web')) }, gives: 'b1' },
  { name: 'prefers to be away', there: { a1: web }, pod: { affinity: dislike(50, near('web')) }, gives: 'b1' },
  {
    name: 'is preferred by those already there',
    there: { b1: { cpu: '0', affinity: like(50, near('web')) } },
    pod: web,
    gives: 'b1',
  },
  {
    name: 'is drawn a little to those that need it',
    there: { b1: { ...web, affinity: must(near('web')) } },
    pod: web,
    gives: 'b1',
  },
];

for (const { name, there, pod: draft, gives } of cases)
  test(`a pod ${name}`, () => {
    const on = three();
    for (const [where, each] of Object.entries(there)) put(on, where, pod({ name: `on-${where}`, ...each }));
    const given = run(pod(draft), on);
    if (typeof gives === 'string') assert.equal(given, gives);
    else assert.match(given, gives);
  });

test('counts are kept as pods come, go and change their labels', () => {
  const on = three();
  const wanting = pod({ affinity: must(near('web')) });
  assert.match(run(wanting, on), /didn't match pod affinity rules/);
  const [placed] = put(on, 'b1', pod({ name: 'w', ...web }));
  assert.equal(run(wanting, on), 'b1');
  on.refresh(placed!, pod({ name: 'w', cpu: '0', labels: { app: 'db' } }), true);
  assert.match(run(wanting, on), /didn't match pod affinity rules/);
  on.refresh(placed!, pod({ name: 'w', ...web }), true);
  on.removeNode('b1');
  assert.match(run(wanting, on), /didn't match pod affinity rules/);
  on.putNode(node('b1', { labels: { zone: 'b' } }));
  assert.equal(run(wanting, on), 'b1');
  on.unplace(placed!);
  assert.match(run(wanting, on), /didn't match pod affinity rules/);
});
