import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseCgroupLayout } from './cgroup.ts';

const v1 =
  '1 0 0:1 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n2 0 0:2 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd';
const unified = '3 0 0:3 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate';

test('layouts', () => {
  const controllers = {
    cpu: '/sys/fs/cgroup/cpu,cpuacct',
    cpuacct: '/sys/fs/cgroup/cpu,cpuacct',
    'name=systemd': '/sys/fs/cgroup/systemd',
  };
  assert.deepEqual(parseCgroupLayout(v1), { version: 'v1', controllers });
  assert.deepEqual(parseCgroupLayout(`${v1}\n${unified}`), { version: 'hybrid', unified: '/sys/fs/cgroup/unified', controllers });
  assert.deepEqual(parseCgroupLayout(unified.replace('/unified', '')), { version: 'v2', unified: '/sys/fs/cgroup', controllers: {} });
});
