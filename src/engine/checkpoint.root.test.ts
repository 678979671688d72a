import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { silentLog } from '#base/log.ts';
import { KernelChangeJournal } from '#linux/kernel-changes.ts';
import type { LocalEngine } from './local-engine.ts';
import { applyMachine } from './machine.ts';
import { openEngine } from './open-engine.ts';
import { removeInstance } from './remove-instance.ts';
import { BusyboxImages, LoopbackNetworks } from './testing.ts';

const instance = `checkpointtest-${process.pid}`;
const directory = mkdtempSync(join(tmpdir(), `${instance}-`));
const dirs = { dataDir: `${directory}/data`, runDir: `${directory}/run` };
const kernel = new KernelChangeJournal({ holder: instance });
const canCheckpoint = isOk('criu', 'check');
let engine: LocalEngine;
let id: string;

before(async () => {
  await applyMachine(kernel);
  const [images, networks] = [new BusyboxImages(`${directory}/image`), new LoopbackNetworks(`${directory}/netns`)];
  engine = await openEngine({ ...dirs, instance, images, networks, log: silentLog });
  id = await start(canCheckpoint ? 'runc' : 'crun');
});
after(async () => {
  for (const sandbox of engine.sandboxes()) await engine.removeSandbox(sandbox.id);
  await engine[Symbol.asyncDispose]();
  await removeInstance({ instance, ...dirs });
  await kernel.undoAll();
  rmSync(directory, { recursive: true });
});

test('where criu does not work a checkpoint is refused in words, and leaves nothing', {
  skip: canCheckpoint && 'criu works here',
}, async () => {
  const location = `${directory}/checkpoints/one.tar`;
  await assert.rejects(engine.checkpoint(id, { location }), {
    reason: 'NotImplemented',
    message: /^containers can not be checkpointed.*criu/,
  });
  await assert.rejects(engine.checkpoint(id, { location: 'one.tar' }), { reason: 'Invalid' });
  assert.equal(existsSync(`${directory}/checkpoints`), false);
  assert.equal(engine.container(id)?.state, 'running');
});

test('a crun that was built without criu is refused by its name', {
  skip: !canCheckpoint
    ? 'criu is not here, or its check fails'
    : execFileSync('crun', ['--version'], { encoding: 'utf8' }).includes('+CRIU'),
}, async () => {
  const made = await start('crun');
  await assert.rejects(engine.checkpoint(made, { location: `${directory}/checkpoints/none.tar` }), {
    reason: 'NotImplemented',
    message: /runtime crun .*built without criu/,
  });
});

test('an archive has the processes, the changed files and what a restore must know', {
  skip: !canCheckpoint && 'criu is not here, or its check fails',
}, async () => {
  const location = `${directory}/checkpoints/one.tar`;
  await engine.checkpoint(id, { location });
  const names = execFileSync('tar', ['-tf', location], { encoding: 'utf8' });
  for (const name of ['checkpoint/', 'config.dump', 'spec.dump', 'rootfs-diff.tar', 'deleted.files'])
    assert.match(names, new RegExp(`^\\./${name}`, 'm'));
  assert.deepEqual(readdirSync(`${directory}/checkpoints`), ['one.tar']);
  assert.equal(engine.container(id)?.state, 'running');
});

async function start(runtime: string): Promise<string> {
  const metadata = { name: 'pod', namespace: 'default', uid: 'u', attempt: 0 };
  const sandbox = await engine.createSandbox({ owner: 'node', metadata, network: 'pod', runtime });
  const what = {
    sandboxId: sandbox.id,
    metadata: { name: 'main', attempt: 0 },
    image: 'busybox',
    command: ['sh', '-c', 'touch /made; exec sleep 1000'],
  };
  return (await engine.startContainer((await engine.createContainer(what)).id)).id;
}

function isOk(program: string, ...args: string[]): boolean {
  try {
    execFileSync(program, args, { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
