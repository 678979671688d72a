import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkSysctls } from './sysctl-checks.ts';

test('sysctls of namespaces that the sandbox has are taken, all others refused by name', () => {
  const check = (name: string, more: { network?: 'host' | 'pod'; ipc?: 'host' | 'pod' } = {}) =>
    checkSysctls({ network: 'pod', sysctls: { [name]: '1' }, ...more });
  for (const name of [
    'net.ipv4.ip_forward',
    'net/ipv4/conf/eth0.1/forwarding',
    'kernel.shm_rmid_forced',
    'kernel.sem',
    'fs.mqueue.msg_max',
  ])
    check(name);
  assert.throws(() => check('net.core.somaxconn', { network: 'host' }), /"net.core.somaxconn" is not allowed with the machine's network/);
  assert.throws(() => check('kernel.shmmax', { ipc: 'host' }), /is not allowed with the machine's IPC namespace/);
  for (const name of ['kernel.core_pattern', 'vm.swappiness', 'fs.file-max'])
    assert.throws(() => check(name), /is the machine’s|is no name/);
  for (const name of ['', '../../etc/x', 'net..ipv4', 'net']) assert.throws(() => check(name), { reason: 'Invalid' });
});
