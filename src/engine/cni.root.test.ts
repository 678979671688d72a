import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, test } from 'node:test';
import { silentLog } from '#base/log.ts';
import { KernelChangeJournal } from '#linux/kernel-changes.ts';
import { CniNetworks } from '#net/cni/index.ts';
import { TestPlugins } from '#net/cni/test-plugins.ts';
import { NetworkPool } from '#net/network-pool.ts';
import { pinDirectory, removePins } from '#net/pins.ts';
import { enterTestNetwork, fetchText, makeTestBridge, POD_CIDR, run, startEcho } from '#net/test-network.ts';
import type { Sandbox, SandboxConfig } from './engine.ts';
import type { LocalEngine } from './local-engine.ts';
import { applyMachine } from './machine.ts';
import { openEngine } from './open-engine.ts';
import { removeInstance } from './remove-instance.ts';
import { BusyboxImages } from './testing.ts';

/** Debian's containernetworking-plugins, where they are installed. */
const REAL_PLUGINS = '/usr/lib/cni';
const hasIptables = existsSync('/usr/sbin/iptables');
const hasRealPlugins = ['bridge', 'host-local', 'portmap'].every(name => existsSync(join(REAL_PLUGINS, name)));

enterTestNetwork();
const instance = `enginecni-${process.pid}`;
const directory = mkdtempSync(join(tmpdir(), `${instance}-`));
const dirs = { dataDir: `${directory}/data`, runDir: `${directory}/run` };
const kernel = new KernelChangeJournal({ holder: instance });
const images = new BusyboxImages(`${directory}/image`);
await applyMachine(kernel);
const bridge = await makeTestBridge('cnitest');
after(async () => {
  await removeInstance({ instance, ...dirs });
  await kernel.undoAll();
  removePins(dirs.runDir);
  rmSync(directory, { recursive: true, force: true });
});

const CONFIG: SandboxConfig = {
  owner: 'cri',
  metadata: { name: 'web', namespace: 'shop', uid: 'u', attempt: 0 },
  network: 'cni',
};

interface OpenOptions {
  bootId?: string;
  binDir?: string;
}

/** An engine as the agent opens it; what it returns ends both. */
async function open(
  machine: TestPlugins,
  { bootId, binDir = machine.binDir }: OpenOptions = {},
): Promise<AsyncDisposable & { engine: LocalEngine }> {
  await using stack = new AsyncDisposableStack();
  const cni = new CniNetworks({ confDir: machine.confDir, binDirs: [binDir], cacheDir: machine.cacheDir, log: silentLog });
  const networks = stack.use(new NetworkPool({ instance, runDir: dirs.runDir, podCidr: POD_CIDR, bridge, size: 0 }));
  const boot = bootId !== undefined ? { bootId } : {};
  const engine = stack.use(await openEngine({ ...dirs, instance, images, networks, cni, log: silentLog, ...boot }));
  return Object.assign(stack.move(), { engine });
}

const pinned = () => readdirSync(pinDirectory(dirs.runDir)).filter(name => name.endsWith('.net'));

test('real plugins: pods of a bridge with addresses, a published port, and nothing left of them', {
  skip: !hasRealPlugins && 'needs containernetworking-plugins',
}, async () => {
  using machine = new TestPlugins();
  const name = `cni${process.pid % 100_000}`;
  const ranges = { ranges: [[{ subnet: '10.77.0.0/24' }], [{ subnet: 'fd77::/64' }]], dataDir: `${directory}/host-local` };
  machine.network('10-test.conflist', {
    cniVersion: '1.0.0',
    name: 'test',
    plugins: [
      { type: 'bridge', bridge: name, isGateway: true, ipam: { type: 'host-local', ...ranges } },
      ...(hasIptables ? [{ type: 'portmap', capabilities: { portMappings: true } }] : []),
    ],
  });
  await using opened = await open(machine, { binDir: REAL_PLUGINS });
  const { engine } = opened;
  const ports = hasIptables ? { ports: [{ protocol: 'tcp' as const, containerPort: 7000, hostPort: 17_000 }] } : {};
  const pods = await Promise.all([engine.createSandbox(CONFIG), engine.createSandbox({ ...CONFIG, ...ports })]);
  const [one, two] = pods;
  assert.deepEqual(pods.map(({ address }) => address).sort(), ['10.77.0.2', '10.77.0.3']);
  assert.match(one.addresses?.[1] ?? '', /^fd77::/);
  assert.match(readFileSync(`${dirs.dataDir}/engine/sandboxes/${one.id}/hosts`, 'utf8'), new RegExp(`${one.address}\\tweb`));
  const netns = ({ id }: Sandbox) => join(pinDirectory(dirs.runDir), `${id.slice(0, 16)}.net`);
  {
    using _ = await startEcho({ path: netns(two), port: 7000, text: 'hello' });
    assert.equal(fetchText(`${two.address}:7000`, netns(one)), `hello ${one.address}`);
    if (hasIptables) assert.match(fetchText('10.77.0.1:17000'), /^hello /);
  }
  for (const { id } of pods) await engine.removeSandbox(id);
  assert.equal(run(['ip', '-o', 'link', 'show', 'master', name]), '', 'no link of a pod is left');
  const leases = readdirSync(`${directory}/host-local/test`).filter(name => /^(10\.|fd)/.test(name));
  assert.deepEqual([leases, machine.cached()], [[], []]);
});

test('a restart keeps a sandbox in its network; a reboot frees it', async () => {
  using machine = new TestPlugins();
  machine.plugin('fake');
  machine.network('10-fake.conf', { cniVersion: '1.0.0', name: 'fake', type: 'fake' });
  let opened = await open(machine);
  const { id } = await opened.engine.createSandbox(CONFIG);
  assert.deepEqual(opened.engine.sandbox(id)?.addresses, ['10.9.0.7']);
  const [add] = machine.calls();
  assert.match(add?.netns ?? '', /netns\/.+\.net$/);
  await opened[Symbol.asyncDispose]();
  opened = await open(machine);
  assert.deepEqual([opened.engine.sandbox(id)?.state, opened.engine.sandbox(id)?.address, machine.calls()], ['ready', '10.9.0.7', []]);
  await opened[Symbol.asyncDispose]();
  opened = await open(machine, { bootId: 'another' });
  assert.deepEqual([opened.engine.sandbox(id)?.state, opened.engine.sandbox(id)?.address], ['notready', undefined]);
  assert.deepEqual([machine.held(), machine.cached()], [[], []]);
  await opened.engine.removeSandbox(id);
  await opened[Symbol.asyncDispose]();
});

test('a sandbox whose plugin does not let go is not ready, still has its record, and stops when asked again', async () => {
  using machine = new TestPlugins();
  machine.plugin('fake', '[ $CNI_COMMAND = DEL ] && exit 1');
  machine.network('10-fake.conf', { cniVersion: '1.0.0', name: 'fake', type: 'fake' });
  await using opened = await open(machine);
  const { engine } = opened;
  const { id } = await engine.createSandbox(CONFIG);
  await assert.rejects(engine.stopSandbox(id), /CNI plugin fake of network fake failed to DEL/);
  assert.equal(engine.sandbox(id)?.state, 'notready');
  machine.plugin('fake');
  await engine.removeSandbox(id);
  assert.deepEqual([machine.held(), machine.cached(), engine.sandboxes()], [[], [], []]);
});

test('a failed ADD leaves nothing', async () => {
  using machine = new TestPlugins();
  machine.plugin('fake', '[ $CNI_COMMAND = ADD ] && exit 1');
  machine.network('10-fake.conf', { cniVersion: '1.0.0', name: 'fake', type: 'fake' });
  await using opened = await open(machine);
  const { engine } = opened;
  await assert.rejects(engine.createSandbox(CONFIG), /failed to ADD/);
  assert.deepEqual([machine.held(), machine.cached(), engine.sandboxes(), pinned()], [[], [], [], []]);
});

test('kill -9 at any step of attaching and detaching leaves nothing that a sandbox does not have', async () => {
  using machine = new TestPlugins();
  for (const type of ['first', 'second']) machine.plugin(type, 'sleep 0.02');
  machine.network('10-fake.conflist', { cniVersion: '1.0.0', name: 'fake', plugins: [{ type: 'first' }, { type: 'second' }] });
  const worker = new URL('./test-cni-worker.ts', import.meta.url).pathname;
  for (let afterMs = 0; afterMs < 260; afterMs += process.env.UMIAK_SOAK ? 3 : 20) {
    const child = spawn(process.execPath, [worker, directory, instance, machine.directory, JSON.stringify(bridge)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const lines: string[] = [];
    for await (const line of createInterface({ input: child.stdout })) {
      if (lines.push(line) === 1) setTimeout(() => child.kill('SIGKILL'), afterMs);
    }
    await using opened = await open(machine);
    const { engine } = opened;
    const ready = engine.sandboxes().filter(({ state }) => state === 'ready');
    const ids = ready.map(({ id }) => id).sort();
    const when = `killed after ${afterMs} ms: ${lines.join(' ')}`;
    assert.deepEqual(
      machine.cached(),
      ids.map(id => `fake-${id}-eth0`),
      when,
    );
    assert.deepEqual(
      machine.held(),
      ['first', 'second'].flatMap(type => ids.map(id => `${type} ${id}`)),
      when,
    );
    assert.equal(pinned().length, ids.length, when);
    for (const { id } of engine.sandboxes()) await engine.removeSandbox(id);
    assert.deepEqual(machine.held(), [], when);
  }
});
