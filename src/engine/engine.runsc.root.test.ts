import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, afterEach, before, describe, test } from 'node:test';
import { createLog } from '#base/log.ts';
import { KernelChangeJournal } from '#linux/kernel-changes.ts';
import { assertNoLeak, countResources, type Resources } from '#tests/resources.ts';
import type { ContainerConfig, Sandbox, SandboxConfig } from './engine.ts';
import type { LocalEngine } from './local-engine.ts';
import { applyMachine } from './machine.ts';
import { openEngine } from './open-engine.ts';
import { removeInstance } from './remove-instance.ts';
import { toRuntimeHandlers } from './runtime-handlers.ts';
import { BusyboxImages, LoopbackNetworks } from './testing.ts';

const runsc = [resolve(import.meta.dirname, '../../.cache/gvisor/runsc'), '/usr/bin/runsc', '/usr/local/bin/runsc'].find(existsSync);

describe('gVisor as a runtime handler', { skip: runsc === undefined && 'runsc is not here: `make gvisor` builds it' }, () => {
  const instance = `runsctest-${process.pid}`;
  const directory = mkdtempSync(join(tmpdir(), `${instance}-`));
  const scope = { instance, directories: [directory] };
  const dirs = { dataDir: `${directory}/data`, runDir: `${directory}/run` };
  const kernel = new KernelChangeJournal({ holder: instance });
  const networks = new LoopbackNetworks(`${directory}/netns`);
  const images = new BusyboxImages(`${directory}/image`);
  let engine: LocalEngine;
  let empty: Resources;

  const open = () =>
    openEngine({
      ...dirs,
      instance,
      images,
      networks,
      runtimes: toRuntimeHandlers({ gvisor: { type: 'runsc', path: runsc } }),
      log: createLog({ level: 'warn' }),
    });
  const sandbox = (config: Partial<SandboxConfig> = {}) =>
    engine.createSandbox({
      owner: 'node',
      metadata: { name: 'pod', namespace: 'default', uid: 'u', attempt: 0 },
      network: 'pod',
      runtime: 'gvisor',
      ...config,
    });
  const start = async (script: string, config: Partial<ContainerConfig> = {}, inside?: Sandbox) => {
    const sandboxId = (inside ?? (await sandbox())).id;
    const what = { sandboxId, metadata: { name: 'main', attempt: 0 }, image: 'busybox', command: ['sh', '-c', script], ...config };
    return engine.startContainer((await engine.createContainer(what)).id);
  };
  const exited = async (id: string) => {
    for await (const _ of engine.logs(id, { follow: true }));
    return engine.container(id)!;
  };
  const said = async (id: string, line: string) => {
    for await (const chunk of engine.logs(id, { follow: true })) if (String(chunk).includes(line)) return;
    assert.fail(`${id} ended without saying ${line}`);
  };

  before(async () => {
    await applyMachine(kernel);
    engine = await open();
    await engine.removeSandbox((await sandbox({ runtime: 'crun', pid: 'pod' })).id); // its root file system is made once
    await engine.removeSandbox((await exited((await start('true')).id)).config.sandboxId);
    empty = countResources(scope);
  });
  afterEach(async () => {
    for (const { id } of engine.sandboxes()) await engine.removeSandbox(id);
    assertNoLeak(empty, countResources(scope));
  });
  after(async () => {
    await engine[Symbol.asyncDispose]();
    await removeInstance({ instance, ...dirs });
    await kernel.undoAll();
    rmSync(directory, { recursive: true });
  });

  test("a container has gVisor's kernel, its pod's name, its files, its exit code", async () => {
    const pod = await sandbox({ hostname: 'north' });
    const { id } = await start('dmesg; hostname; echo kept > /file; exit 3', {}, pod);
    const { exitCode, reason } = await exited(id);
    assert.deepEqual([exitCode, reason], [3, 'Error']);
    const output = await text(engine.logs(id));
    assert.match(output, /Starting gVisor/);
    assert.match(output, /^north$/m);
    assert.ok(existsSync(`${engine.writableDirectory(id)}/file`));
  });

  test('exec: output and exit code; what takes too long is killed inside', async () => {
    const { id } = await start('sleep 1000');
    assert.deepEqual(await engine.execSync(id, { command: ['sh', '-c', 'echo in; exit 4'], timeoutMs: 20_000 }), {
      exitCode: 4,
      output: 'in\n',
    });
    await assert.rejects(engine.execSync(id, { command: ['sleep', '77'], timeoutMs: 500 }), { reason: 'Timeout' });
    const gone = 'while ps | grep -q "[s]leep 77"; do sleep 0.05; done';
    assert.equal((await engine.execSync(id, { command: ['sh', '-c', gone], timeoutMs: 20_000 })).exitCode, 0);
  });

  test('its signals reach the program, not the kernel around it; the group measures and limits both', async () => {
    const { id } = await start('trap "exit 7" TERM; echo ready; while :; do sleep 0.05; done', {
      resources: { memoryLimitBytes: 512 << 20 },
    });
    await said(id, 'ready');
    assert.ok((await engine.stats(id)).memoryUsageBytes > 1 << 20);
    assert.equal(engine.limits(id).memoryLimitBytes, 512 << 20);
    assert.equal((await engine.stopContainer(id, { graceMs: 20_000 })).exitCode, 7);
  });

  test('two containers of a pod share its loopback; a restarted engine knows both', async () => {
    const pod = await sandbox();
    const server = await start('echo up; nc -l -p 8080 -e echo hello', {}, pod);
    await said(server.id, 'up');
    await engine[Symbol.asyncDispose]();
    engine = await open();
    assert.equal(engine.container(server.id)?.state, 'running');
    const client = await start('until nc 127.0.0.1 8080 < /dev/null; do sleep 0.1; done', {}, pod);
    assert.equal((await exited(client.id)).exitCode, 0);
    assert.equal(await text(engine.logs(client.id, { stream: 'stdout' })), 'hello\n');
  });

  test("no annotation takes a pod into another's kernel", async () => {
    const victim = await start('sleep 1000');
    const annotations = { 'io.kubernetes.cri.container-type': 'container', 'io.kubernetes.cri.sandbox-id': victim.id };
    const { id, pid } = await start('dmesg | grep -c "Starting gVisor"; sleep 1000', { annotations }, await sandbox({ annotations }));
    await said(id, '1');
    assert.notEqual(pid, victim.pid);
  });

  test('a shared PID namespace is refused in words; the features are known', async () => {
    await assert.rejects(sandbox({ pid: 'pod' }), { reason: 'Invalid', message: /under gVisor/ });
    assert.match((await engine.runtimeFeatures('gvisor')).version ?? '', /^runsc version/);
    assert.deepEqual(engine.runtimeHandlers().slice(0, 1), ['crun']);
    assert.ok(engine.runtimeHandlers().includes('gvisor'));
    await assert.rejects(engine.runtimeFeatures('kata'), { reason: 'Invalid', message: /no runtime for "kata" is configured/ });
  });
});
