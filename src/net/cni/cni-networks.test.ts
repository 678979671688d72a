import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ManualClock } from '#base/clock.ts';
import { type PluginCallSeen, TestPlugins } from './test-plugins.ts';

const BRIDGE = { type: 'bridge', bridge: 'br7', ipam: { type: 'host-local' } };
const PORTMAP = { type: 'portmap', capabilities: { portMappings: true, dns: false } };
const NET = { cniVersion: '1.1.0', name: 'boats', plugins: [BRIDGE, PORTMAP] };
const sandbox = (id: string) => ({
  id,
  netns: `/netns/${id}`,
  metadata: { name: 'web', namespace: 'shop', uid: 'u1' },
  ports: [{ protocol: 'tcp', containerPort: 80, hostPort: 8080 }],
  dns: { servers: ['10.0.0.10'], searches: [], options: [] },
});
const words = (calls: readonly PluginCallSeen[]) =>
  calls.map(({ command, type, containerId }) => `${command} ${type} ${containerId}`.trim());

function plugins(): TestPlugins {
  const machine = new TestPlugins();
  for (const type of ['bridge', 'portmap']) machine.plugin(type);
  machine.network('10-boats.conflist', NET);
  return machine;
}

test('a sandbox is attached by each plugin in order and detached in reverse, with what the spec says', async () => {
  using machine = plugins();
  const cni = machine.open();
  await cni.adopt([]);
  assert.deepEqual(await cni.attach(sandbox('c1')), { addresses: ['10.9.0.7'] });
  assert.deepEqual(machine.cached(), ['boats-c1-eth0']);
  const [bridge, portmap] = machine.calls();
  assert.deepEqual([bridge?.netns, bridge?.ifName], ['/netns/c1', 'eth0']);
  assert.equal(bridge?.args, 'IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web;K8S_POD_INFRA_CONTAINER_ID=c1;K8S_POD_UID=u1');
  assert.deepEqual(bridge?.config, { ...BRIDGE, name: 'boats', cniVersion: '1.1.0' });
  const prevResult = {
    cniVersion: '1.1.0',
    interfaces: [{ name: 'eth0', sandbox: '/there' }],
    ips: [{ address: '10.9.0.7/24', interface: 0 }],
    dns: {},
  };
  assert.deepEqual(portmap?.config, {
    type: 'portmap',
    name: 'boats',
    cniVersion: '1.1.0',
    runtimeConfig: { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }] },
    prevResult,
  });
  await cni.check('c1');
  assert.deepEqual(words(machine.calls()), ['CHECK bridge c1', 'CHECK portmap c1']);
  machine.forget('10-boats.conflist'); // what it was attached by counts
  await cni.detach('c1');
  const del = machine.calls();
  assert.deepEqual(words(del), ['DEL portmap c1', 'DEL bridge c1']);
  assert.deepEqual(del[0]?.config.prevResult, prevResult);
  assert.equal(del[0]?.netns, '', 'a namespace that is not there is not named');
  await cni.detach('c1');
  assert.deepEqual([machine.calls(), machine.cached(), machine.held()], [[], [], []]);
});

test('a plugin that fails: its words reach the caller, and those before it are undone', async () => {
  using machine = plugins();
  machine.plugin('portmap', `[ $CNI_COMMAND = ADD ] && { echo '{"code":11,"msg":"ports are late","details":"8080"}'; exit 1; }`);
  const cni = machine.open();
  await assert.rejects(cni.attach(sandbox('c1')), {
    reason: 'ServiceUnavailable',
    message: 'CNI plugin portmap of network boats failed to ADD c1: ports are late: 8080 (code 11)',
  });
  assert.deepEqual(words(machine.calls()), ['ADD bridge c1', 'ADD portmap c1', 'DEL portmap c1', 'DEL bridge c1']);
  assert.deepEqual([machine.cached(), machine.held()], [[], []]);
  machine.plugin('portmap', 'echo "no iptables" >&2; exit 3');
  await assert.rejects(cni.attach(sandbox('c2')), { message: /failed to ADD c2: no iptables \(exit code 3\)/ });
  machine.plugin('portmap', `[ $CNI_COMMAND = ADD ] && { echo '{"cniVersion":"1.1.0","ips":[{"address":"west"}]}'; exit 0; }`);
  await assert.rejects(cni.attach(sandbox('c3')), { message: /portmap of network boats answered ADD wrongly: ips\[0\].address must be/ });
});

test('a plugin that takes too long or says too much is killed with all that it started', async () => {
  using machine = plugins();
  machine.plugin('portmap', '[ $CNI_COMMAND = ADD ] && { sleep 1000 & wait; }');
  await assert.rejects(machine.open({ timeoutMs: 300 }).attach(sandbox('c1')), {
    reason: 'Timeout',
    message: /took longer than 0.3 s and was killed/,
  });
  machine.plugin('portmap', '[ $CNI_COMMAND = ADD ] && yes');
  await assert.rejects(machine.open().attach(sandbox('c2')), { message: /wrote more than an answer can be/ });
  assert.deepEqual(machine.held(), []);
});

test('a daemon that a plugin leaves behind holds nobody up', async () => {
  using machine = plugins();
  machine.plugin('portmap', '[ $CNI_COMMAND = ADD ] && { setsid sleep 30 </dev/null >/dev/null 2>&1 & echo $! >"$here/pid"; }');
  const began = performance.now();
  assert.deepEqual((await machine.open().attach(sandbox('c1'))).addresses, ['10.9.0.7']);
  assert.ok(performance.now() - began < 20_000);
  process.kill(Number(readFileSync(join(machine.binDir, 'pid'), 'utf8')), 'SIGKILL');
  machine.plugin('portmap', '[ $CNI_COMMAND = ADD ] && { setsid sleep 30 & echo $! >"$here/pid"; }');
  await assert.rejects(machine.open({ timeoutMs: 500 }).attach(sandbox('c2')), { reason: 'Timeout' });
  process.kill(Number(readFileSync(join(machine.binDir, 'pid'), 'utf8')), 'SIGKILL');
});

test('what a killed process attached is kept if its sandbox lives, else undone by the configuration of then', async () => {
  using machine = plugins();
  const before = machine.open();
  for (const id of ['lives', 'gone']) await before.attach(sandbox(id));
  machine.network('10-boats.conflist', { ...NET, name: 'ships' });
  machine.calls();
  const cni = machine.open();
  await cni.adopt(['lives']);
  assert.deepEqual(cni.attached, ['lives']);
  const [first, second, ...gc] = words(machine.calls());
  assert.deepEqual([first, second, ...gc.sort()], ['DEL portmap gone', 'DEL bridge gone', 'GC bridge', 'GC portmap']);
  assert.deepEqual([machine.cached(), machine.held()], [['boats-lives-eth0'], ['bridge lives', 'portmap lives']]);
  await cni.detach('lives');
  assert.deepEqual(machine.held(), []);
});

test('a plugin that a killed process had just started is ended before its work is undone', async () => {
  using machine = plugins();
  machine.plugin('bridge', `[ $CNI_COMMAND = ADD ] && { rm "$held"; sleep 2; : >"$held"; }`);
  const lost = machine.open({ timeoutMs: 20_000 }).attach(sandbox('slow')); // as if by another process, which is then gone
  lost.catch(() => {});
  while (machine.calls().length === 0) await new Promise(setImmediate);
  const cni = machine.open();
  await cni.adopt([]);
  await lost.catch(() => {});
  assert.deepEqual(machine.held(), []);
});

test('a plugin that does not let go of what is gone is asked again when the configuration changes', async () => {
  using machine = plugins();
  await machine.open().attach(sandbox('c1'));
  machine.plugin('bridge', '[ $CNI_COMMAND = DEL ] && { : >"$held"; echo \'{"code":5,"msg":"no\'; exit 1; }');
  const cni = machine.open();
  await cni.adopt([]);
  assert.deepEqual(machine.cached(), ['boats-c1-eth0']);
  machine.plugin('bridge');
  machine.network('10-boats.conflist', { ...NET, disableCheck: true });
  assert.equal((await cni.status()).isReady, true);
  assert.deepEqual([machine.cached(), machine.held()], [[], []]);
});

test('GC names the attachments that stand, of other runtimes in the same network too', async () => {
  using machine = plugins();
  for (const id of ['a', 'b']) await machine.open().attach(sandbox(id));
  machine.calls();
  const foreignCacheDir = join(machine.confDir, 'theirs');
  mkdirSync(foreignCacheDir);
  for (const networkName of ['boats', 'boats-2']) {
    const theirs = { kind: 'cniCacheV1', containerId: 'c', ifName: 'eth0', networkName };
    writeFileSync(join(foreignCacheDir, `${networkName}-c-eth0`), JSON.stringify(theirs));
  }
  writeFileSync(join(foreignCacheDir, 'boats-d-eth0'), '{');
  await machine.open({ foreignCacheDir }).adopt(['a', 'b']);
  const valid = ['a', 'b', 'c'].map(containerID => ({ containerID, ifname: 'eth0' }));
  assert.deepEqual(
    machine.calls().map(({ config }) => config['cni.dev/valid-attachments']),
    [valid, valid],
  );
});

test('readiness says what is missing: a configuration, a program, or what a plugin says of itself', async () => {
  using machine = new TestPlugins();
  const clock = new ManualClock();
  const cni = machine.open({ clock });
  const said = async () => (await cni.status()).message;
  assert.deepEqual(await cni.status(), {
    isReady: false,
    reason: 'NetworkPluginNotReady',
    message: `there is no CNI network in ${machine.confDir}`,
  });
  writeFileSync(join(machine.confDir, '05-broken.conf'), '{');
  assert.match(await said(), /there is no CNI network in .*; .*05-broken.conf: it is no JSON/);
  machine.network('10-boats.conflist', NET);
  assert.match(await said(), /there is no CNI plugin bridge in/);
  for (const type of ['bridge', 'portmap'])
    machine.plugin(type, `[ $CNI_COMMAND = STATUS ] && { echo '{"code":50,"msg":"not yet"}'; exit 1; }`);
  assert.match(await said(), /CNI plugin bridge of network boats failed to STATUS: not yet \(code 50\)/);
  for (const type of ['bridge', 'portmap']) machine.plugin(type);
  machine.calls();
  for (let times = 0; times < 3; times++) assert.equal((await cni.status()).isReady, true);
  assert.deepEqual(words(machine.calls()), ['STATUS bridge', 'STATUS portmap'], 'a yes is believed for a while');
  clock.advance(15_000);
  await cni.status();
  assert.equal(machine.calls().length, 2);
});

test('a plugin that does not speak the version of the configuration is named before a sandbox needs it', async () => {
  using machine = plugins();
  machine.plugin('portmap', `[ $CNI_COMMAND = VERSION ] && { echo '{"supportedVersions":["0.4.0","1.0.0"]}'; exit 0; }`);
  const cni = machine.open();
  assert.match((await cni.status()).message, /CNI plugin .*portmap speaks 0.4.0, 1.0.0, not 1.1.0 of network boats/);
  machine.network('10-boats.conflist', { ...NET, cniVersion: '1.0.0' });
  assert.equal((await cni.status()).isReady, true);
});

test('host ports and bandwidth that no plugin can do are refused by name', async () => {
  using machine = plugins();
  machine.network('10-boats.conflist', { ...NET, plugins: [BRIDGE] });
  const cni = machine.open();
  await assert.rejects(cni.attach(sandbox('c1')), {
    reason: 'Invalid',
    message: /asks for host ports, and no plugin of CNI network boats has the capability portMappings/,
  });
  const { ports: _, ...plain } = sandbox('c1');
  await assert.rejects(cni.attach({ ...plain, annotations: { 'kubernetes.io/egress-bandwidth': '1M' } }), {
    message: /bandwidth annotations/,
  });
  assert.deepEqual(machine.calls(), []);
});

test('older versions: no CHECK before 0.4, no prevResult at DEL, families in results', async () => {
  using machine = plugins();
  machine.network('10-boats.conflist', { ...NET, cniVersion: '0.3.1' });
  const cni = machine.open();
  await cni.attach(sandbox('c1'));
  await cni.check('c1');
  await cni.detach('c1');
  const calls = machine.calls();
  assert.deepEqual(words(calls), ['ADD bridge c1', 'ADD portmap c1', 'DEL portmap c1', 'DEL bridge c1']);
  assert.equal(calls[2]?.config.prevResult, undefined);
  mkdirSync(join(machine.confDir, 'boats'));
  writeFileSync(join(machine.confDir, 'boats', 'a.conf'), JSON.stringify({ type: 'tuning' }));
  assert.equal((await cni.status()).isReady, true, 'the folder counts from 1.1 on');
  machine.network('10-boats.conflist', NET);
  assert.match((await cni.status()).message, /no CNI plugin tuning/);
});
