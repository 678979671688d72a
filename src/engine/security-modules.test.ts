import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planSecurityModules, readSecurityModules, type SecurityModules } from './security-modules.ts';

const none: SecurityModules = { hasSelinux: false };
const both: SecurityModules = { hasSelinux: true, appArmorProfiles: new Set(['docker-default', 'mine']) };

test('a profile that is loaded is applied; without AppArmor, or unloaded, it is refused by name', () => {
  const plan = (apparmor: string, modules = both, privileged = false) => planSecurityModules({ apparmor, privileged }, modules);
  assert.deepEqual(plan('mine'), { apparmorProfile: 'mine' });
  assert.deepEqual(plan('localhost/mine'), { apparmorProfile: 'mine' });
  assert.deepEqual(plan('runtime/default'), { apparmorProfile: 'docker-default' });
  assert.deepEqual(plan('unconfined', none), {});
  assert.deepEqual(plan('runtime/default', none, true), {});
  assert.throws(() => plan('mine', none), { reason: 'Invalid', message: /"mine": AppArmor is not enabled on the host/ });
  assert.throws(() => plan('localhost/other'), /profile "other" is not loaded/);
  assert.throws(() => plan('runtime/default', { hasSelinux: false, appArmorProfiles: new Set() }), /"runtime\/default" is not loaded/);
});

test('SELinux options become labels of process and mounts; without SELinux they are refused', () => {
  const plan = (selinux: { type?: string; level?: string }, modules = both) => planSecurityModules({ selinux }, modules);
  assert.deepEqual(plan({ level: 's0:c1,c2' }), {
    selinuxLabel: 'system_u:system_r:container_t:s0:c1,c2',
    mountLabel: 'system_u:object_r:container_file_t:s0:c1,c2',
  });
  assert.equal(plan({ type: 'spc_t' }).selinuxLabel, 'system_u:system_r:spc_t:s0');
  assert.deepEqual(plan({}, none), {});
  assert.throws(() => plan({ level: 's0' }, none), /SELinux is not enabled on the host/);
  assert.throws(() => plan({ type: 'a b' }), /security.selinux.type: "a b" is no label/);
});

test('this machine is read without harm', () => assert.equal(typeof readSecurityModules().hasSelinux, 'boolean'));
