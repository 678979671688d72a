import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseMountTable } from '#linux/mount-table.ts';
import { planMachine } from './machine.ts';

const hybrid = parseMountTable(
  '1 0 0:1 / /sys/fs/cgroup/cpu rw,nosuid - cgroup cgroup rw,cpu\n2 0 0:2 / /sys/fs/cgroup/unified rw,nosuid,relatime - cgroup2 cgroup2 rw,nsdelegate',
);
const v2 = parseMountTable('1 0 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw');
const cgroups = '#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t1\t2\t1\nhugetlb\t0\t1\t1\n';

const summary = (changes: ReturnType<typeof planMachine>) =>
  changes.map(change =>
    change.kind === 'mount' ? `mount ${change.target}` : `remount ${change.target} ${change.before} → ${change.after}`,
  );

test('a hybrid layout gets hugetlb, and favordynmods with all present options kept', () => {
  assert.deepEqual(summary(planMachine({ mounts: hybrid, cgroups, hasSystemd: false })), [
    'mount /sys/fs/cgroup/hugetlb',
    'remount /sys/fs/cgroup/unified rw,nosuid,relatime,nsdelegate → rw,nosuid,relatime,nsdelegate,favordynmods',
  ]);
});

test('systemd owns its tree unless told otherwise; v2 needs nothing', () => {
  assert.deepEqual(summary(planMachine({ mounts: hybrid, cgroups, hasSystemd: true })), ['mount /sys/fs/cgroup/hugetlb']);
  assert.equal(planMachine({ mounts: hybrid, cgroups, hasSystemd: true, favorDynmods: true }).length, 2);
  assert.deepEqual(planMachine({ mounts: v2, cgroups, hasSystemd: false }), []);
});
