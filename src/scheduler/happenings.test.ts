import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pod } from '#kinds/pod.ts';
import { isAsPlaced, nodeChange, touchesGroups } from './happenings.ts';
import { node, type PodDraft, pod } from './testing.ts';
import { candidateOf } from './world.ts';

function at(generation: number, draft: PodDraft): Pod {
  const made = pod(draft);
  return { ...made, metadata: { ...made.metadata, generation } };
}

const placements: [why: string, before: Pod, now: Pod, isSame: boolean][] = [
  ['its binding is seen', at(1, {}), at(2, { nodeName: 'n' }), true],
  ['its status changes', at(2, { nodeName: 'n' }), at(2, { nodeName: 'n' }), true],
  ['something else of its spec changes', at(2, { nodeName: 'n' }), at(3, { nodeName: 'n', tolerations: [] }), true],
  ['it is resized', at(2, { nodeName: 'n' }), at(3, { nodeName: 'n', cpu: '2' }), false],
  ['it went elsewhere', at(1, {}), at(2, { nodeName: 'm' }), false],
  ['another of its name came', at(1, {}), { ...at(2, { nodeName: 'n' }), metadata: { ...pod().metadata, uid: 'other' } }, false],
];
for (const [why, before, now, isSame] of placements)
  test(`a pod ${isSame ? 'counts as it did' : 'is counted anew'} when ${why}`, () =>
    assert.equal(isAsPlaced({ ...candidateOf('n/p', before), node: 'n' }, now), isSame));

test('labels and deletion touch the groups that a pod counts in, its status does not', () => {
  const before = pod({ labels: { app: 'a' } });
  assert.ok(!touchesGroups(pod({ labels: { app: 'a' }, status: { phase: 'Running' } }), before));
  assert.ok(touchesGroups(pod({ labels: { app: 'b' } }), before));
  assert.ok(touchesGroups(pod(), before));
  assert.ok(touchesGroups(pod({ labels: { app: 'a' }, deletionTimestamp: 'now' }), before));
});

test('a heartbeat changes nothing in a node; labels, taints and room do', () => {
  const before = node('n');
  const beat = { ...before, status: { ...before.status, conditions: [{ type: 'Ready', status: 'True' }] } };
  assert.equal(nodeChange(beat, before), undefined);
  assert.deepEqual(nodeChange(before, undefined), { isNew: true, hasNewLabels: true, hasNewTaints: true });
  assert.deepEqual(nodeChange(node('n', { labels: { zone: 'b' } }), before), { isNew: false, hasNewLabels: true, hasNewTaints: false });
  assert.deepEqual(nodeChange(node('n', { unschedulable: true }), before), { isNew: false, hasNewLabels: false, hasNewTaints: true });
  assert.deepEqual(nodeChange(node('n', { cpu: '9' }), before), { isNew: false, hasNewLabels: false, hasNewTaints: false });
});
