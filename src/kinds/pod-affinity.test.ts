import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pod } from './pod.ts';
import { affinityTermsOf, narrowed, termMeans } from './pod-affinity.ts';
import type { LabelSelector, PodAffinityTerm } from './types.gen.ts';

const metadata = { name: 'p', namespace: 'own', uid: 'u', resourceVersion: '1', creationTimestamp: '' };
const pod = (labels: Record<string, string>, more: Partial<Pod['metadata']> = {}, affinity: Pod['spec']['affinity'] = undefined): Pod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { ...metadata, labels, ...more },
  spec: { containers: [], affinity },
});
const required = (term: Partial<PodAffinityTerm>): Pod['spec']['affinity'] => ({
  podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: 'zone', ...term }] },
});
const web: LabelSelector = { matchLabels: { app: 'web' } };

const cases: [why: string, term: Partial<PodAffinityTerm>, namespace: string, labels: Record<string, string>, meant: boolean][] = [
  ['its own namespace', { labelSelector: web }, 'own', { app: 'web' }, true],
  ['another namespace', { labelSelector: web }, 'a', { app: 'web' }, false],
  ['a named namespace', { labelSelector: web, namespaces: ['a'] }, 'a', { app: 'web' }, true],
  ['its own, when others are named', { labelSelector: web, namespaces: ['a'] }, 'own', { app: 'web' }, false],
  ['a selected namespace', { labelSelector: web, namespaceSelector: { matchLabels: { team: 'a' } } }, 'a', { app: 'web' }, true],
  ['one that is not selected', { labelSelector: web, namespaceSelector: { matchLabels: { team: 'b' } } }, 'a', { app: 'web' }, false],
  ['any, by an empty selector', { labelSelector: web, namespaceSelector: {} }, 'a', { app: 'web' }, true],
  ['other labels', { labelSelector: web }, 'own', { app: 'db' }, false],
  ['any labels, by an empty selector', { labelSelector: {} }, 'own', {}, true],
  ['nothing, without a selector', {}, 'own', { app: 'web' }, false],
];
for (const [why, term, namespace, labels, meant] of cases)
  test(`a term ${meant ? 'means' : 'does not mean'} pods of ${why}`, () => {
    const [read] = affinityTermsOf(pod({}, {}, required(term)))!.required;
    assert.equal(
      termMeans(read!, pod(labels, { namespace }), name => ({ team: name })),
      meant,
    );
  });

test('a pod without terms has none', () => {
  assert.equal(affinityTermsOf(pod({})), undefined);
  assert.equal(affinityTermsOf(pod({}, {}, { podAffinity: {} })), undefined);
});

test('preferences against weigh less than nothing', () => {
  const preferredDuringSchedulingIgnoredDuringExecution = [{ weight: 7, podAffinityTerm: { topologyKey: 'zone', labelSelector: web } }];
  const both = { preferredDuringSchedulingIgnoredDuringExecution };
  const { preferred } = affinityTermsOf(pod({}, {}, { podAffinity: both, podAntiAffinity: both }))!;
  assert.deepEqual(
    preferred.map(({ weight }) => weight),
    [7, -7],
  );
});

test('keys narrow a selector to the same values or to others; those that the pod lacks do not count', () => {
  assert.deepEqual(narrowed(web, { hash: '1', tenant: 'x' }, ['hash', 'none'], ['tenant']), [
    { key: 'app', operator: 'in', values: ['web'] },
    { key: 'hash', operator: 'in', values: ['1'] },
    { key: 'tenant', operator: 'notin', values: ['x'] },
  ]);
});
