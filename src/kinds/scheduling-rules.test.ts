import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Node } from './node.ts';
import { nodeMatchesPod, preferredNodeWeight } from './node-affinity.ts';
import type { Pod } from './pod.ts';
import { isPodActive, isPodReady, templateHash } from './pod-template.ts';
import { findUntolerated, tolerates } from './tolerations.ts';
import type { Toleration } from './types.gen.ts';

const taint = { key: 'dedicated', value: 'db', effect: 'NoSchedule' };
const tolerations: [toleration: Toleration, tolerated: boolean][] = [
  [{ operator: 'Exists' }, true],
  [{ operator: 'Exists', effect: 'NoExecute' }, false],
  [{ key: 'dedicated', operator: 'Exists' }, true],
  [{ key: 'dedicated', value: 'db' }, true],
  [{ key: 'dedicated', operator: 'Equal', value: 'db', effect: 'NoSchedule' }, true],
  [{ key: 'dedicated', value: 'web' }, false],
  [{ key: 'other', operator: 'Exists' }, false],
  [{ key: 'dedicated' }, false],
  [{}, false],
];
for (const [toleration, tolerated] of tolerations)
  test(`${JSON.stringify(toleration)} ${tolerated ? 'tolerates' : 'does not tolerate'} the taint`, () =>
    assert.equal(tolerates(toleration, taint), tolerated));

test('finds the first taint that nothing tolerates, of the effects that count', () => {
  const soft = { key: 'a', effect: 'PreferNoSchedule' };
  assert.equal(findUntolerated([soft], []), undefined);
  assert.equal(findUntolerated([soft, taint], []), taint);
  assert.equal(findUntolerated([soft, taint], [{ operator: 'Exists' }]), undefined);
  assert.equal(findUntolerated(undefined, undefined), undefined);
});

const node = { metadata: { name: 'n1', labels: { zone: 'a', cores: '8' } }, spec: {} } as unknown as Node;
const term = (key: string, operator: string, ...values: string[]) => ({ matchExpressions: [{ key, operator, values }] });
const required = (...nodeSelectorTerms: object[]) => ({
  affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms } } },
});
const choices: [spec: object, matches: boolean][] = [
  [{}, true],
  [{ nodeSelector: { zone: 'a' } }, true],
  [{ nodeSelector: { zone: 'b' } }, false],
  [{ nodeSelector: { constructor: 'b' } }, false],
  [required(term('zone', 'In', 'a', 'b')), true],
  [required(term('zone', 'NotIn', 'a')), false],
  [required(term('missing', 'NotIn', 'a')), true],
  [required(term('cores', 'Gt', '7')), true],
  [required(term('cores', 'Lt', '8')), false],
  [required(term('zone', 'Gt', '1')), false],
  [required(term('missing', 'DoesNotExist')), true],
  [required(term('zone', 'In', 'b'), term('zone', 'Exists')), true],
  [required({}), false],
  [required({ matchFields: [{ key: 'metadata.name', operator: 'In', values: ['n1'] }] }), true],
  [required({ matchFields: [{ key: 'metadata.name', operator: 'In', values: ['n2'] }] }), false],
];
for (const [spec, matches] of choices)
  test(`${JSON.stringify(spec)} ${matches ? 'fits' : 'does not fit'} the node`, () => assert.equal(nodeMatchesPod(spec, node), matches));

test('preferences add up', () => {
  const preferred = [term('zone', 'In', 'a'), term('zone', 'In', 'b'), term('cores', 'Exists')].map((preference, i) => ({
    weight: i + 1,
    preference,
  }));
  assert.equal(
    preferredNodeWeight({ affinity: { nodeAffinity: { preferredDuringSchedulingIgnoredDuringExecution: preferred } } }, node),
    4,
  );
});

test('a template has one hash whatever its order, and another one after a collision', () => {
  const a = { metadata: { labels: { a: 'b', c: 'd' } }, spec: { containers: [{ name: 'x', image: 'y' }] } };
  const b = { spec: { containers: [{ image: 'y', name: 'x', command: undefined }] }, metadata: { labels: { c: 'd', a: 'b' } } };
  assert.equal(templateHash(a), templateHash(b));
  assert.match(templateHash(a), /^[bcdfghjklmnpqrstvwxz2456789]{1,10}$/);
  assert.notEqual(templateHash(a), templateHash(a, 1));
  assert.notEqual(templateHash(a), templateHash({ ...a, spec: { containers: [{ name: 'x', image: 'z' }] } }));
});

test('ready, active', () => {
  const pod = (status: object, metadata: object = {}) => ({ metadata, spec: { containers: [] }, status }) as unknown as Pod;
  const ready = { conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: '1970-01-01T00:00:10Z' }] };
  assert.equal(isPodReady(pod(ready)), true);
  assert.equal(isPodReady(pod({})), false);
  assert.equal(isPodActive(pod({ phase: 'Running' })), true);
  assert.equal(isPodActive(pod({ phase: 'Failed' })), false);
  assert.equal(isPodActive(pod({ phase: 'Running' }, { deletionTimestamp: 'x' })), false);
});
