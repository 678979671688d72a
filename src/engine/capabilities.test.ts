import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ALL_CAPABILITIES, DEFAULT_CAPABILITIES, fromCapabilityMask, planCapabilities } from './capabilities.ts';

const all = new Set<string>(ALL_CAPABILITIES);

test('default, add, drop, ALL', () => {
  assert.deepEqual(planCapabilities({}, all), [...DEFAULT_CAPABILITIES]);
  assert.deepEqual(planCapabilities({ drop: ['ALL'], add: ['net_bind_service'] }, all), ['CAP_NET_BIND_SERVICE']);
  assert.deepEqual(planCapabilities({ drop: ['ALL'] }, all), []);
  assert.equal(planCapabilities({ add: ['ALL'], drop: ['CAP_SYS_ADMIN'] }, all).length, ALL_CAPABILITIES.length - 1);
  assert.deepEqual(planCapabilities({ privileged: true, drop: ['ALL'] }, all), [...ALL_CAPABILITIES]);
  assert.ok(!planCapabilities({ drop: ['CAP_MKNOD'] }, all).includes('CAP_MKNOD'));
  assert.throws(() => planCapabilities({ add: ['CAP_FLY'] }, all), { reason: 'Invalid' });
});

test('what we lack can not be given', () => {
  const available = new Set(ALL_CAPABILITIES.filter(name => name !== 'CAP_SYS_RESOURCE'));
  assert.ok(!planCapabilities({ privileged: true }, available).includes('CAP_SYS_RESOURCE'));
});

test("the kernel's masks", () => {
  assert.deepEqual([...fromCapabilityMask('00000000a80425fb')], [...DEFAULT_CAPABILITIES]);
  assert.equal(fromCapabilityMask('000001ffffffffff').size, 41);
});
