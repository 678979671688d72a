import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PersistentVolume } from '#kinds/types.gen.ts';
import { node } from './testing.ts';
import { isInPlaceOf, reaches } from './volume-topology.ts';

const ZONE = 'topology.kubernetes.io/zone';
const inZone = (zone: string) => node('n', { labels: { [ZONE]: zone } });
const allowed = [{ matchLabelExpressions: [{ key: ZONE, values: ['a', 'b'] }] }];
const volume = (labels?: Record<string, string>): PersistentVolume => ({
  apiVersion: 'v1',
  kind: 'PersistentVolume',
  metadata: { name: 'v', uid: 'v', resourceVersion: '1', creationTimestamp: '', ...(labels ? { labels } : {}) },
  spec: {},
});

test('a class reaches nodes that a term of its topologies names, or all', () => {
  assert.ok(reaches(undefined, inZone('c')));
  assert.ok(reaches(allowed, inZone('b')));
  assert.ok(!reaches(allowed, inZone('c')));
  assert.ok(!reaches(allowed, node('n')));
});

test('a volume with labels of a place is there alone; nodes without such labels are everywhere', () => {
  assert.ok(isInPlaceOf(inZone('a'), volume()));
  assert.ok(isInPlaceOf(inZone('a'), volume({ [ZONE]: 'a' })));
  assert.ok(isInPlaceOf(inZone('b'), volume({ [ZONE]: 'a__b' })));
  assert.ok(!isInPlaceOf(inZone('c'), volume({ [ZONE]: 'a__b' })));
  assert.ok(isInPlaceOf(node('n'), volume({ [ZONE]: 'a' })));
});
