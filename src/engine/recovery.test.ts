import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ContainerPhase, ContainerRecord, SandboxPhase, SandboxRecord } from './records.ts';
import { planRecovery, type World } from './recovery.ts';

const BOOT = 'this-boot';
const MONITOR = { pid: 7, startTime: 70 };

function sandbox(phase: SandboxPhase, bootId = BOOT): SandboxRecord {
  const config = { owner: 'node' as const, metadata: { name: 'p', namespace: 'n', uid: 'u', attempt: 0 }, network: 'none' as const };
  return { version: 1, id: 'pod', config, phase, createdAtMs: 0, bootId };
}

function container(phase: ContainerPhase, more: Partial<ContainerRecord> = {}): ContainerRecord {
  return {
    version: 1,
    id: 'c',
    owner: 'node',
    config: { sandboxId: 'pod', metadata: { name: 'c', attempt: 0 }, image: 'i' },
    imageId: 'i',
    imageRef: 'i',
    imageConfig: {},
    lowerDirs: [],
    phase,
    createdAtMs: 0,
    logPath: '/l',
    cgroupPath: '/x/c',
    runtime: 'crun',
    bootId: BOOT,
    ...more,
  };
}

function world(more: Partial<World> = {}): World {
  return {
    bootId: BOOT,
    exits: new Map(),
    monitors: new Map(),
    bundles: new Set(),
    states: new Set(),
    started: new Set(),
    pinned: new Set(['pod']),
    nameless: { containers: [], sandboxes: [] },
    ...more,
  };
}

const alive: Partial<World> = {
  monitors: new Map([['c', MONITOR]]),
  bundles: new Set(['c']),
  states: new Set(['c']),
  started: new Set(['c']),
};
const unstarted: Partial<World> = { ...alive, started: new Set() };
const exit5: Partial<World> = { ...alive, monitors: new Map(), exits: new Map([['c', 5]]) };

const containers: [what: string, phase: ContainerPhase, world: Partial<World>, bootId: string, action: string][] = [
  ['runs on', 'running', alive, BOOT, 'adopt'],
  ['ended meanwhile', 'running', exit5, BOOT, 'exit 5'],
  ['ended just now: the exit code is there, the monitor still', 'running', { ...alive, ...exit5 }, BOOT, 'exit 5'],
  ['lost its monitor', 'running', { bundles: new Set(['c']), states: new Set(['c']) }, BOOT, 'exit 137 MonitorLost kill'],
  ['lost its run directory', 'running', { monitors: new Map([['c', MONITOR]]) }, BOOT, 'exit 137 MonitorLost kill'],
  ['ran before a reboot', 'running', {}, 'former', 'exit 255 Unknown'],
  ['was about to start: nothing done yet', 'starting', {}, BOOT, 'rollback'],
  ['was about to start: the monitor is creating it', 'starting', { monitors: alive.monitors!, bundles: alive.bundles! }, BOOT, 'rollback'],
  ['was about to start: created, or just being created, not started', 'starting', unstarted, BOOT, 'rollback'],
  ['was about to start: killed before it was started', 'starting', { ...exit5, started: new Set() }, BOOT, 'rollback'],
  ['was started, the record does not know yet', 'starting', alive, BOOT, 'adopt'],
  ['was started and lost its monitor', 'starting', { ...alive, monitors: new Map() }, BOOT, 'exit 137 MonitorLost kill'],
  ['was started and has ended already', 'starting', exit5, BOOT, 'exit 5'],
  ['was about to start before a reboot', 'starting', {}, 'former', 'rollback'],
  ['is created', 'created', {}, BOOT, 'keep'],
  ['has ended', 'exited', exit5, BOOT, 'keep'],
  ['was half made', 'creating', {}, BOOT, 'discard'],
  ['was half removed', 'removing', alive, BOOT, 'discard'],
];

for (const [what, phase, there, bootId, wanted] of containers)
  test(`a container that ${what}`, () => {
    const plan = planRecovery({ sandboxes: [sandbox('ready')], containers: [container(phase, { bootId })] }, world(there));
    const [step] = plan.containers;
    assert.ok(step);
    const said = step.action === 'exit' ? ['exit', step.exitCode, step.reason, step.kill ? 'kill' : undefined] : [step.action];
    assert.equal(said.filter(part => part !== undefined).join(' '), wanted);
    assert.deepEqual(plan.orphans, []);
  });

const sandboxes: [what: string, phase: SandboxPhase, world: Partial<World>, bootId: string, action: string][] = [
  ['is ready', 'ready', {}, BOOT, 'keep'],
  ['was stopped', 'notready', { pinned: new Set() }, BOOT, 'keep'],
  ['lost its namespaces', 'ready', { pinned: new Set() }, BOOT, 'notready'],
  ['is of a former boot', 'ready', {}, 'former', 'notready'],
  ['was half made', 'creating', {}, BOOT, 'discard'],
  ['was half removed', 'removing', {}, BOOT, 'discard'],
];

for (const [what, phase, there, bootId, wanted] of sandboxes)
  test(`a sandbox that ${what}`, () => {
    const plan = planRecovery({ sandboxes: [sandbox(phase, bootId)], containers: [] }, world(there));
    assert.equal(plan.sandboxes[0]?.action, wanted);
  });

test('containers go with their sandbox, and traces without a record are found', () => {
  const plan = planRecovery(
    { sandboxes: [sandbox('removing')], containers: [container('running')] },
    world({ ...alive, exits: new Map([['a', 0]]), states: new Set(['b', 'c']), nameless: { containers: ['d'], sandboxes: [] } }),
  );
  assert.equal(plan.containers[0]?.action, 'discard');
  assert.deepEqual(plan.orphans.sort(), ['a', 'b', 'd']);
});
