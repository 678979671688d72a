import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { after, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Cgroup, readCgroupLayout } from './cgroup.ts';

const layout = readCgroupLayout();
const isV2 = layout.version === 'v2';

describe(`control groups, ${layout.version}`, () => {
  const name = `/cgrouptest-${process.pid}`;
  const group = new Cgroup(layout, `${name}/inner`);
  const file = (controller: string, of: string) => `${isV2 ? layout.unified : layout.controllers[controller]}${group.path}/${of}`;
  const number = (controller: string, v1: string, v2: string) => Number(readFileSync(file(controller, isV2 ? v2 : v1), 'utf8'));
  after(async () => {
    const all = new Cgroup(layout, name);
    await all.kill();
    assert.ok(all.remove());
  });

  /** A shell in the group, that waits to be told. */
  const inside = (script: string) => {
    const child = spawn('sh', ['-c', `read go; ${script}`], { stdio: ['pipe', 'pipe', 'ignore'] });
    for (const directory of group.directories()) writeFileSync(`${directory}/cgroup.procs`, String(child.pid));
    child.stdin.write('go\n');
    return child;
  };

  test('one is made with what is above it, and can limit at once', () => {
    group.ensure();
    group.ensure();
    const limits = { memoryLimitBytes: 64 << 20, cpuQuotaUs: 20_000, cpuPeriodUs: 50_000, pidsLimit: 40, cpusetCpus: '0' };
    group.update(limits);
    const { memoryLimitBytes, cpuQuotaUs, cpuPeriodUs, pidsLimit, cpusetCpus } = group.limits();
    assert.deepEqual({ memoryLimitBytes, cpuQuotaUs, cpuPeriodUs, pidsLimit, cpusetCpus }, limits);
    group.update({ memoryLimitBytes: 32 << 20 });
    assert.equal(group.limits().memoryLimitBytes, 32 << 20);
    group.update({
      memoryLimitBytes: 128 << 20,
      hugepageLimits: existsSync(file('hugetlb', isV2 ? 'hugetlb.2MB.max' : 'hugetlb.2MB.limit_in_bytes'))
        ? [{ pageSize: '2MB', limitBytes: 4 << 20 }]
        : [],
    });
    assert.equal(group.limits().memoryLimitBytes, 128 << 20);
  });

  test("what it uses is what the kernel's files say", async () => {
    const child = inside('i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo done; exec sleep 1000');
    await once(child.stdout, 'data');
    await group.freeze(true); // so that nothing changes between two readings
    using _ = { [Symbol.dispose]: () => void group.freeze(false) };
    const periods = () => Number(/^nr_periods (\d+)$/m.exec(readFileSync(file('cpu', 'cpu.stat'), 'utf8'))?.[1]);
    const memory = () => number('memory', 'memory.usage_in_bytes', 'memory.current');
    // The kernel settles what it owes the group whenever it likes: looked at until nothing moves.
    let [before, held, usage] = [periods(), memory(), group.usage()];
    for (const deadline = Date.now() + 10_000; held !== memory() && Date.now() < deadline; )
      [before, held, usage] = [periods(), memory(), group.usage()];
    assert.equal(usage.pids, 1);
    assert.equal(usage.pidsLimit, 40);
    assert.equal(usage.memory.limitBytes, 128 << 20);
    assert.equal(usage.memoryUsageBytes, held);
    assert.equal(usage.memory.availableBytes, (128 << 20) - usage.memoryWorkingSetBytes);
    assert.ok(usage.cpuUsageNs > 0 && usage.cpu.userNs > 0, JSON.stringify(usage));
    assert.ok(before <= usage.cpu.periods && usage.cpu.periods <= periods(), 'these go on with the time');
    if (isV2) assert.ok(usage.pressure && usage.pressure.cpu.some.totalUs >= 0);
    await group.freeze(false);
    const left = once(child, 'exit');
    await group.kill();
    await left;
    assert.deepEqual(group.processes(), []);
  });

  test('what is frozen does nothing until it is let go', async () => {
    const child = inside('echo one; read more; echo two');
    await once(child.stdout, 'data');
    await group.freeze(true);
    let hasSpoken = false;
    const second = once(child.stdout, 'data').then(() => {
      hasSpoken = true;
    });
    child.stdin.write('more\n');
    await sleep(50); // nothing may come: there is no event to wait for
    assert.equal(hasSpoken, false);
    await group.freeze(false);
    await second;
  });

  test('what is killed for lack of memory is counted', async () => {
    group.update({ memoryLimitBytes: 8 << 20, ...(isV2 ? { unified: { 'memory.swap.max': '0' } } : {}) });
    const child = inside('exec tail /dev/zero');
    await once(child, 'exit');
    assert.ok(group.oomKills() > 0);
  });

  test('what has ended is removed as it is; what somebody moved about elsewhere keeps it, and is killed', async () => {
    const run = new Cgroup(layout, `${name}/run`);
    const make = () => {
      run.ensure();
      if (layout.unified) mkdirSync(`${layout.unified}${run.path}`, { recursive: true });
    };
    make();
    await run.empty();
    assert.ok(run.remove());
    assert.deepEqual(run.directories(), []);
    assert.ok(run.remove(), 'twice is as good as once');

    const below = new Cgroup(layout, `${name}/run/below`);
    make();
    below.ensure();
    const child = spawn('sleep', ['1000']);
    const left = once(child, 'exit');
    const [place = ''] = below.directories();
    writeFileSync(`${place}/cgroup.procs`, String(child.pid));
    if (layout.version === 'hybrid') {
      await run.empty();
      assert.ok(!run.remove());
    }
    await run.kill();
    await left;
    assert.ok(run.remove());
  });
});
