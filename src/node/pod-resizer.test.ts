import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '#base/index.ts';
import type { Engine, Resources } from '#engine/engine.ts';
import { PodResizer } from './pod-resizer.ts';
import { Retries } from './retries.ts';
import { instance, podOf, sandboxOf } from './testing.ts';

test('a limit under what is used is not set, told once, and tried again', async () => {
  const clock = new ManualClock();
  const events: string[] = [];
  const updates: Resources[] = [];
  let memoryUsageBytes = 90;
  const main = instance('main', 'running');
  main.config.resources = { memoryLimitBytes: 100 };
  const engine = {
    container: () => main,
    stats: async () => ({ memoryUsageBytes }),
    updateResources: async (_id: string, resources: Resources) => void updates.push(resources),
  } as unknown as Engine;
  const note = (_: unknown, reason: string) => void events.push(reason);
  const resizer = new PodResizer({
    engine,
    events: { normal: note, warning: note },
    retries: new Retries({ clock, firstMs: 2_000, lastMs: 120_000 }),
  });
  const pod = podOf();
  const resize = (memoryLimitBytes: number) =>
    resizer.resize(pod, { do: 'resize', containerId: main.id, name: 'main', resources: { memoryLimitBytes } });
  resizer.note(pod, true);
  assert.equal(await resize(80), 2_000);
  assert.equal(resizer.error, 'attempting to set container "main" memory limit (80) below current usage (90)');
  assert.equal(await resize(80), 2_000, 'not before its time');
  clock.advance(2_000);
  assert.equal(await resize(80), 4_000);
  memoryUsageBytes = 70;
  clock.advance(4_000);
  assert.equal(await resize(80), undefined);
  assert.equal(await resize(200), undefined, 'more is given unasked');
  resizer.note(pod, false);
  resizer.note(pod, false);
  assert.deepEqual(
    [updates.map(each => each.memoryLimitBytes), events, resizer.error],
    [[80, 200], ['ResizeError', 'ResizeCompleted'], undefined],
  );
});

test('what a pod may have as a whole is brought into its own group, once', async () => {
  const updates: [string, Resources][] = [];
  const sandbox = sandboxOf();
  const engine = {
    updateSandboxResources: async (id: string, resources: Resources) => {
      updates.push([id, resources]);
      sandbox.config = { ...sandbox.config, resources };
    },
  } as unknown as Engine;
  const events = { normal: () => {}, warning: () => {} };
  const retries = new Retries({ clock: new ManualClock(), firstMs: 2_000, lastMs: 120_000 });
  const resizer = new PodResizer({ engine, events, retries });
  const hugepages = { 'hugepages-2Mi': '4Mi' };
  const pod = podOf({ resources: { requests: hugepages, limits: { memory: '64Mi', ...hugepages } } });
  await resizer.resizePod(pod, sandbox);
  assert.deepEqual(updates, [], 'a sandbox without limits was made for a pod without');
  sandbox.config = { ...sandbox.config, resources: { memoryLimitBytes: 1, cpuShares: 2 } };
  await resizer.resizePod(pod, sandbox);
  await resizer.resizePod(pod, sandbox);
  assert.deepEqual(updates, [
    ['s0', { cpuShares: 2, memoryLimitBytes: 64 << 20, hugepageLimits: [{ pageSize: '2MB', limitBytes: 4 << 20 }] }],
  ]);
});
