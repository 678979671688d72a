import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type Clock, silentLog, systemClock } from '#base/index.ts';
import type { Container } from '#engine/engine.ts';
import type { LocalEngine } from '#engine/local-engine.ts';
import { applyMachine } from '#engine/machine.ts';
import { openEngine } from '#engine/open-engine.ts';
import { removeInstance } from '#engine/remove-instance.ts';
import { BusyboxImages } from '#engine/testing.ts';
import { KernelChangeJournal } from '#linux/kernel-changes.ts';
import { ensureBridge } from '#net/bridge.ts';
import { NetworkPool } from '#net/network-pool.ts';
import { enterTestNetwork } from '#net/test-network.ts';
import { Census } from './resources.ts';

const DAY_MS = 86_400_000;

/** The machine's time, which somebody sets; what is measured and waited for goes on evenly, as in the kernel. */
class JumpingClock implements Clock {
  offsetMs = 0;
  now = () => Date.now() + this.offsetMs;
  monotonic = systemClock.monotonic;
  after = systemClock.after;
}

describe('an engine on a small network, on a machine whose time jumps', () => {
  enterTestNetwork();
  const instance = `faulteng${process.pid % 1000}`;
  const directory = mkdtempSync(join(tmpdir(), `${instance}-`));
  const dirs = { dataDir: `${directory}/data`, runDir: `${directory}/run` };
  const clock = new JumpingClock();
  const kernel = new KernelChangeJournal({ holder: instance });
  const census = new Census({ instance, directories: [directory] }, { files: false, descriptors: false });
  const stack = new AsyncDisposableStack();
  let engine: LocalEngine;

  before(async () => {
    await applyMachine(kernel);
    const podCidr = '10.42.7.0/29';
    const forgetful = { sysctl: async (path: string, value: string) => writeFileSync(`/proc/sys/${path}`, value) };
    const bridge = await ensureBridge({ instance, podCidr, serviceCidr: '10.43.0.0/16', kernel: forgetful, mtu: 1500 });
    const networks = stack.use(new NetworkPool({ instance, runDir: dirs.runDir, podCidr, bridge }));
    const images = new BusyboxImages(`${directory}/image`);
    engine = stack.use(await openEngine({ ...dirs, instance, images, networks, clock, log: silentLog }));
  });
  after(async () => {
    for (const { id } of engine.sandboxes()) await engine.removeSandbox(id);
    await stack[Symbol.asyncDispose]();
    await removeInstance({ instance, ...dirs });
    await kernel.undoAll();
    rmSync(directory, { recursive: true });
    // The bridge and the links are the test's own network's, which ends with it.
    await census.settle();
  });

  const sandbox = () =>
    engine.createSandbox({ owner: 'node', metadata: { name: 'pod', namespace: 'default', uid: 'u', attempt: 0 }, network: 'pod' });
  const start = async (script: string): Promise<Container> => {
    const { id: sandboxId } = await sandbox();
    const command = ['sh', '-c', script];
    const { id } = await engine.createContainer({ sandboxId, metadata: { name: 'main', attempt: 0 }, image: 'busybox', command });
    return await engine.startContainer(id);
  };

  test('out of addresses: a sandbox is refused in words, and made as soon as another has gone', async () => {
    const made = [];
    for (let n = 0; n < 5; n++) made.push(await sandbox());
    assert.equal(new Set(made.map(({ address }) => address)).size, 5);
    await assert.rejects(sandbox(), { reason: 'ServiceUnavailable', message: /the addresses of 10.42.7.0\/29 are used up/ });
    assert.equal(engine.sandboxes().length, 5, 'nothing half-made is left');
    const [gone] = made;
    assert.ok(gone);
    await engine.removeSandbox(gone.id);
    assert.equal((await sandbox()).address, gone.address);
    for (const { id } of engine.sandboxes()) await engine.removeSandbox(id);
  });

  for (const [what, jumpMs] of [
    ['forward', DAY_MS],
    ['back', -DAY_MS],
  ] as const)
    test(`a day ${what}: a grace lasts as long as it should, and nothing ends before it began`, async () => {
      clock.offsetMs = 0;
      const deaf = await start('trap "" TERM; while :; do sleep 0.1; done');
      clock.offsetMs = jumpMs;
      const began = performance.now();
      const stopping = engine.stopContainer(deaf.id, { graceMs: 1_000 });
      clock.offsetMs = -jumpMs;
      const { exitCode, startedAtMs = 0, finishedAtMs = 0 } = await stopping;
      const took = performance.now() - began;
      assert.ok(took > 900 && took < 5_000, `${took} ms`);
      assert.equal(exitCode, 137);
      assert.ok(finishedAtMs >= startedAtMs);
      await assert.rejects(
        engine.execSync((await start('sleep 1000')).id, { command: ['sleep', '1000'], timeoutMs: 300 }),
        /did not end|time/i,
      );
      for (const { id } of engine.sandboxes()) await engine.removeSandbox(id);
    });
});
