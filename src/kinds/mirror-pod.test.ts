import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MIRROR, MIRRORED_CONTAINER, mirroredContainerOf } from './mirror-pod.ts';

test('only in the namespace for them Pods show docker containers', () => {
  const annotations = { [MIRROR]: 'x', [MIRRORED_CONTAINER]: 'c' };
  assert.equal(mirroredContainerOf({ metadata: { namespace: 'docker', annotations } }), 'c');
  assert.equal(mirroredContainerOf({ metadata: { namespace: 'default', annotations } }), undefined);
  assert.equal(mirroredContainerOf({ metadata: { namespace: 'docker', annotations: { [MIRRORED_CONTAINER]: 'c' } } }), undefined);
  assert.equal(mirroredContainerOf({ metadata: { namespace: 'docker' } }), undefined);
});
