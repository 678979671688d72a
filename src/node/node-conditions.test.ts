import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { toTime } from '#base/index.ts';
import { type Condition, type MachineLeft, planConditions, planPressures, readLeft } from './node-conditions.ts';
import { nodeInfo, readMachine, toCapacity } from './node-facts.ts';

const GI = 1 << 30;
const PLENTY: MachineLeft = {
  memoryAvailableBytes: 4 * GI,
  storageBytes: 100 * GI,
  storageAvailableBytes: 50 * GI,
  inodes: 1e6,
  inodesFree: 5e5,
  tasks: 500,
  mostTasks: 10_000,
};

describe('what runs short', () => {
  const table: [what: string, left: Partial<MachineLeft>, expected: string[]][] = [
    ['nothing', {}, []],
    ['memory', { memoryAvailableBytes: 99 << 20 }, ['MemoryPressure']],
    ['memory, nearly', { memoryAvailableBytes: 100 << 20 }, []],
    ['a large disk that is nearly full by share alone', { storageAvailableBytes: 2 * GI }, []],
    ['a large disk', { storageAvailableBytes: GI - 1 }, ['DiskPressure']],
    ['a small disk that was never large', { storageBytes: 2 * GI, storageAvailableBytes: GI / 2 }, []],
    ['a small disk', { storageBytes: 2 * GI, storageAvailableBytes: GI / 16 }, ['DiskPressure']],
    ['inodes', { inodesFree: 4e4 }, ['DiskPressure']],
    ['a file system that counts no inodes', { inodes: 0, inodesFree: 0 }, []],
    ['tasks', { tasks: 9_600 }, ['PIDPressure']],
    ['all', { memoryAvailableBytes: 0, storageAvailableBytes: 0, tasks: 10_000 }, ['MemoryPressure', 'DiskPressure', 'PIDPressure']],
  ];
  for (const [what, left, expected] of table) test(what, () => assert.deepEqual(planPressures({ ...PLENTY, ...left }), expected));
});

test('a transition has its time, what stays keeps it', () => {
  const nowMs = Date.parse('2026-11-23T12:00:00Z');
  const before = { type: 'Ready', status: 'True', lastTransitionTime: '2026-01-01T00:00:00Z' };
  const ready = (isReady: boolean) => planConditions({ isReady, pressures: new Set(['PIDPressure']), before: [before], nowMs }).at(-1);
  assert.equal(ready(true)?.lastTransitionTime, '2026-01-01T00:00:00Z');
  assert.equal(ready(true)?.lastHeartbeatTime, toTime(nowMs));
  assert.equal(ready(false)?.lastTransitionTime, toTime(nowMs));
  const pids = planConditions({ isReady: true, pressures: new Set(['PIDPressure']), before: [], nowMs })[2];
  assert.deepEqual([pids?.type, pids?.status, pids?.reason], ['PIDPressure', 'True', 'KubeletHasInsufficientPID']);
});

test('amounts as resources are written', () => {
  const facts = { milliCpus: 1500, memoryBytes: 1_000_000_000, storageBytes: 5, hugepages: { '2Mi': 0, '1Gi': 2 * GI } };
  assert.deepEqual(toCapacity({ ...facts, memoryBytes: 4 * GI }, { cpu: '1' }), {
    capacity: { cpu: '1500m', memory: '4194304Ki', pods: '250', 'ephemeral-storage': '5', 'hugepages-2Mi': '0', 'hugepages-1Gi': '2Gi' },
    allocatable: { cpu: '1', memory: '2097152Ki', pods: '250', 'ephemeral-storage': '5', 'hugepages-2Mi': '0', 'hugepages-1Gi': '2Gi' },
  });
  assert.equal(toCapacity({ ...facts, hugepages: {} }).capacity.memory, '976562Ki');
});

test('this very machine', () => {
  const { milliCpus, memoryBytes, storageBytes } = readMachine('/');
  for (const amount of [milliCpus, memoryBytes, storageBytes]) assert.ok(Number.isSafeInteger(amount) && amount > 0, `${amount}`);
  const left = readLeft('/');
  assert.ok(left.memoryAvailableBytes > 0 && left.memoryAvailableBytes < memoryBytes * 2);
  assert.ok(left.tasks > 0 && left.tasks < left.mostTasks, JSON.stringify(left));
  const { bootID, kernelVersion, architecture } = nodeInfo('1');
  assert.match(bootID, /^[0-9a-f-]{36}$/);
  assert.ok(kernelVersion && ['amd64', 'arm64'].includes(architecture));
});

test('a machine that lacks something says so, and says when it no longer does; a fit one is not spoken of', () => {
  const plan = (problems: string[] | undefined, known: Condition[] = []) =>
    planConditions({ isReady: true, pressures: new Set(), ...(problems ? { problems } : {}), before: known, nowMs: 0 }).filter(
      ({ type }) => type === 'MachineProblem',
    );
  assert.deepEqual(plan([]), []);
  const told = plan(['nftables: missing']);
  assert.deepEqual([told[0]?.status, told[0]?.message], ['True', 'nftables: missing. `umiak doctor` says what to do']);
  assert.deepEqual(plan(undefined, told), told);
  assert.equal(plan([], told)[0]?.status, 'False');
});
