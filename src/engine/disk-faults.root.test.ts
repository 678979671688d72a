import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { silentLog } from '#base/log.ts';
import { KernelChangeJournal } from '#linux/kernel-changes.ts';
import { unmountBelow } from '#linux/unmount-below.ts';
import { Census } from '#tests/resources.ts';
import { SmallDisk } from '#tests/small-disk.ts';
import type { Container } from './engine.ts';
import type { LocalEngine } from './local-engine.ts';
import { applyMachine } from './machine.ts';
import { openEngine } from './open-engine.ts';
import { removeInstance } from './remove-instance.ts';
import { BusyboxImages, LoopbackNetworks } from './testing.ts';

describe('an engine whose disk takes nothing', () => {
  const instance = `enginedisk-${process.pid}`;
  let directory: string;
  let disk: SmallDisk;
  let engine: LocalEngine;
  let census: Census;
  let kernel: KernelChangeJournal;

  const open = async () => {
    engine = await openEngine({
      dataDir: `${disk.path}/data`,
      runDir: `${directory}/run`,
      instance,
      images: new BusyboxImages(`${directory}/image`),
      networks: new LoopbackNetworks(`${directory}/netns`),
      log: silentLog,
    });
  };
  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), `${instance}-`));
    census = new Census({ instance, directories: [directory] }, { files: false, descriptors: false });
    kernel = new KernelChangeJournal({ holder: instance });
    await applyMachine(kernel);
    disk = new SmallDisk({ path: `${directory}/disk`, image: `${directory}/disk.img`, megabytes: 8 });
    await open();
  });
  afterEach(async () => {
    await engine[Symbol.asyncDispose]();
    await removeInstance({ instance, dataDir: `${disk.path}/data`, runDir: `${directory}/run` });
    await kernel.undoAll();
    disk[Symbol.dispose]();
    unmountBelow(directory);
    rmSync(directory, { recursive: true });
    await census.settle();
  });

  const sandbox = () =>
    engine.createSandbox({ owner: 'node', metadata: { name: 'pod', namespace: 'default', uid: 'u', attempt: 0 }, network: 'pod' });
  const create = async (script: string, sandboxId?: string) =>
    engine.createContainer({
      sandboxId: sandboxId ?? (await sandbox()).id,
      metadata: { name: 'main', attempt: 0 },
      image: 'busybox',
      command: ['sh', '-c', script],
    });
  const start = async (script: string) => engine.startContainer((await create(script)).id);
  const exited = (id: string) =>
    new Promise<Container>(resolve => {
      const known = engine.container(id);
      if (known?.state === 'exited') return resolve(known);
      const listening = engine.subscribe(event => {
        if (event.type !== 'container' || event.container.id !== id || event.action !== 'exited') return;
        listening[Symbol.dispose]();
        resolve(event.container);
      });
    });
  for (const [what, take] of [
    ['full', () => disk.fill()],
    ['without inodes', () => disk.fillInodes()],
  ] as const)
    test(`${what}: nothing begins, and says why; what runs is stopped and removed; then all goes on`, async () => {
      const running = await start('sleep 1000');
      const ending = await start('read line; exit 7');
      const created = await create('sleep 1000');
      const known = engine.sandboxes().length;
      take();
      await assert.rejects(sandbox(), /no space/i);
      await assert.rejects(create('true', running.config.sandboxId), /no space/i);
      assert.equal(engine.sandboxes().length, known);
      assert.equal(readdirSync(`${disk.path}/data/engine/sandboxes`).length, known, 'nothing half-made is left');
      assert.equal(readdirSync(`${disk.path}/data/engine/containers`).length, engine.containers().length, 'nothing half-made is left');
      // What a start writes down may find room in its record's last block.
      const began = await engine.startContainer(created.id).then(
        () => 'running',
        error => {
          assert.match(error.message, /no space/i);
          return ['created', 'exited'];
        },
      );
      assert.ok(began.includes(engine.container(created.id)?.state ?? ''), `it is ${engine.container(created.id)?.state}`);

      assert.equal((await engine.stopContainer(running.id, { graceMs: 0 })).exitCode, 137);
      assert.equal((await exited(ending.id)).exitCode, 7);
      // A new engine finds what the disk did not take.
      await engine[Symbol.asyncDispose]();
      await open();
      assert.deepEqual(
        [running, ending].map(({ id }) => engine.container(id)?.exitCode),
        [137, 7],
      );
      await engine.removeSandbox(running.config.sandboxId);
      assert.equal(engine.container(running.id), undefined);
      disk.empty();
      const { id } = await start('echo here');
      assert.equal((await exited(id)).exitCode, 0);
      assert.equal(await text(engine.logs(id)), 'here\n');
      for (const { id: sandboxId } of engine.sandboxes()) await engine.removeSandbox(sandboxId);
      assert.deepEqual(readdirSync(`${disk.path}/data/engine/containers`), []);
    });

  test('read-only: nothing begins, and says why; what runs is stopped; it is removed when the disk is mended', async () => {
    const running = await start('sleep 1000');
    const ending = await start('read line; exit 7');
    disk.break();
    await assert.rejects(sandbox(), /read-only/);
    await assert.rejects(create('true', running.config.sandboxId), /read-only/);
    assert.equal((await engine.stopContainer(running.id, { graceMs: 0 })).exitCode, 137);
    assert.equal((await exited(ending.id)).exitCode, 7);
    await assert.rejects(engine.removeSandbox(running.config.sandboxId), /read-only/);
    assert.equal(engine.container(running.id)?.state, 'exited', 'what could not be removed is there');
    await engine[Symbol.asyncDispose]();
    for (const { config } of [running, ending]) unmountBelow(`${disk.path}/data/engine/sandboxes/${config.sandboxId}`);
    disk.repair();
    await open();
    assert.deepEqual(
      [running, ending].map(({ id }) => engine.container(id)?.exitCode),
      [137, 7],
    );
    for (const { id } of engine.sandboxes()) await engine.removeSandbox(id);
    assert.equal((await exited((await start('exit 3')).id)).exitCode, 3);
  });
});
