import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { isUmiakError } from '#base/errors.ts';
import { isPinned } from '#linux/namespaces.ts';
import { Netlink } from '#linux/netlink.ts';
import { deleteLinks } from './bridge.ts';
import { vethPrefix } from './names.ts';
import { NetworkPool, type PodNetwork } from './network-pool.ts';
import { pinDirectory, removePins } from './pins.ts';
import { enterTestNetwork, makeTestBridge, POD_CIDR, run, temporaryRunDir } from './test-network.ts';

enterTestNetwork();
const instance = `np${process.pid}`;
const runDir = temporaryRunDir();
const bridge = await makeTestBridge(instance);
after(() => {
  removePins(runDir);
  rmSync(runDir, { recursive: true });
});

async function openPool({ size = 4, podCidr = POD_CIDR, records = [] as PodNetwork[] } = {}) {
  const pool = new NetworkPool({ instance, runDir, podCidr, bridge, size });
  const { lost } = await pool.adopt(records);
  await pool.filled();
  return Object.assign(pool, { lost });
}

const veths = () => {
  using netlink = new Netlink();
  return netlink.links().filter(link => link.name.startsWith(vethPrefix(instance)));
};

/** A link's flag; what `ip` calls its state follows some time later. */
const IS_UP = /<(\w+,)*UP[,>]/;

test('a network has address, route, loopback, a host name of its own, and reaches the gateway and its neighbours', async () => {
  await using pool = await openPool();
  const [one, two] = [await pool.take({ hostname: 'web-0' }), await pool.take({ hostname: 'web-1' })];
  assert.equal(one.address, '10.42.7.2');
  assert.equal(run(['nsenter', `--uts=${one.uts}`, 'hostname']), 'web-0');
  assert.equal(run(['nsenter', `--uts=${two.uts}`, 'hostname']), 'web-1');
  assert.notEqual(hostname(), 'web-0');
  assert.match(run(['ip', 'route'], one.path), /^default via 10\.42\.7\.1 dev eth0 onlink$/);
  assert.match(run(['ip', '-br', 'addr'], one.path), /^lo +UNKNOWN +127\.0\.0\.1\/8.*\neth0@\S+ +\S+ +10\.42\.7\.2\/32$/);
  assert.match(run(['ip', 'link', 'show', 'eth0'], one.path), IS_UP);
  for (const address of ['127.0.0.1', '10.42.7.1', two.address]) run(['busybox', 'ping', '-c1', '-W2', address], one.path);
  assert.equal(run(['cat', '/proc/sys/net/ipv4/ip_unprivileged_port_start'], one.path), '0');
  await Promise.all([pool.release(one), pool.release(two)]);
});

test('pods reach each other by way of the host only, so that rules see their traffic', async () => {
  await using pool = await openPool();
  const [one, two] = [await pool.take(), await pool.take()];
  run(['ip', 'route', 'add', two.address, 'dev', 'eth0'], one.path);
  assert.throws(() => run(['busybox', 'ping', '-c1', '-W1', two.address], one.path), 'straight over the bridge');
  await Promise.all([pool.release(one), pool.release(two)]);
});

test('a network for a user namespace is that one’s own, with an address like any other, taken from those that stand ready if need be', async () => {
  const ids = [{ containerId: 0, hostId: 327_680, length: 65_536 }];
  await using pool = await openPool({ podCidr: '10.42.7.0/29', size: 16 });
  const network = await pool.take({ hostname: 'mapped', userNamespace: { uids: ids, gids: ids } });
  const inside = ['nsenter', `--user=${network.user}`, `--net=${network.path}`, `--uts=${network.uts}`];
  assert.match(run([...inside, 'ip', '-br', 'addr']), new RegExp(`eth0@\\S+ +\\S+ +${network.address.replaceAll('.', '\\.')}/32`));
  assert.match(run([...inside, 'ip', 'link', 'show', 'eth0']), IS_UP);
  assert.equal(run([...inside, 'hostname']), 'mapped');
  run([...inside, 'ip', 'link', 'set', 'eth0', 'mtu', '1400']);
  run(['busybox', 'ping', '-c1', '-W2', '10.42.7.1'], network.path);
  const others = [];
  while (pool.ready > 0) others.push(await pool.take());
  assert.ok(!others.some(({ address }) => address === network.address));
  await Promise.all([network, ...others].map(each => pool.release(each)));
  assert.equal(existsSync(network.user ?? ''), false);
});

test('twenty at once from a pool of four all get different addresses', async () => {
  await using pool = await openPool();
  const networks = await Promise.all(Array.from({ length: 20 }, () => pool.take()));
  assert.equal(new Set(networks.map(network => network.address)).size, 20);
  await Promise.all(networks.map(network => pool.release(network)));
  await pool.release(networks[0]!);
});

test('running out of addresses is a clear error, and a released one serves who waits', async () => {
  await using pool = await openPool({ podCidr: '10.42.7.0/29' });
  const networks = await Promise.all(Array.from({ length: 5 }, () => pool.take()));
  await assert.rejects(
    pool.take(),
    error => isUmiakError(error, 'ServiceUnavailable') && /addresses of 10\.42\.7\.0\/29 are used up/.test(error.message),
  );
  await pool.release(networks[0]!);
  const again = await pool.take();
  assert.equal(again.address, networks[0]!.address);
  await Promise.all([...networks.slice(1), again].map(network => pool.release(network)));
});

test('disposal leaves what is taken and nothing else; the next pool adopts it and deletes what is left over', async () => {
  let kept: PodNetwork, forgotten: PodNetwork;
  {
    await using pool = await openPool();
    [kept, forgotten] = [await pool.take(), await pool.take()];
  }
  assert.equal(veths().length, 2);
  const rebooted = { ...kept, id: 'gone', path: `${runDir}/netns/gone.net` };
  await using pool = await openPool({ size: 0, records: [kept, rebooted] });
  assert.deepEqual(pool.lost, [rebooted]);
  assert.deepEqual(
    veths().map(link => link.name),
    [kept.veth],
  );
  assert.equal(isPinned(forgotten.path), false);
  run(['busybox', 'ping', '-c1', '-W2', '10.42.7.1'], kept.path);
  const other = await pool.take();
  assert.notEqual(other.address, kept.address);
  await Promise.all([pool.release(kept), pool.release(other)]);
});

test('killed with -9 while it fills: the next one adopts what was taken and finds no obstacle in the rest', async () => {
  const program = `
    const { NetworkPool } = await import(${JSON.stringify(import.meta.resolve('./network-pool.ts'))});
    const pool = new NetworkPool(${JSON.stringify({ instance, runDir, podCidr: POD_CIDR, bridge, size: 50 })});
    await pool.adopt([]);
    process.stdout.write(JSON.stringify([await pool.take(), await pool.take()]));
    setInterval(() => {}, 1000);`;
  const file = join(runDir, 'killed.mjs');
  writeFileSync(file, program);
  const child = spawn(process.execPath, [file], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  const [taken] = await Promise.race([once(child.stdout!, 'data'), ended]);
  child.kill('SIGKILL');
  await ended;
  const records: PodNetwork[] = JSON.parse(String(taken));
  await using pool = await openPool({ records });
  assert.deepEqual(pool.lost, []);
  assert.equal(veths().length, 2 + 4);
  const more = await Promise.all(Array.from({ length: 8 }, () => pool.take()));
  assert.equal(new Set([...records, ...more].map(network => network.address)).size, 10);
  for (const { path } of records) run(['busybox', 'ping', '-c1', '-W2', bridge.gateway], path);
  await Promise.all([...records, ...more].map(network => pool.release(network)));
});

test('pins alone: IPC and UTS for a pod on the host network, a loopback for one without network', async () => {
  await using pool = await openPool({ size: 0 });
  const pins = await pool.pinNamespaces({ id: 'alone', kinds: ['net', 'ipc', 'uts'], hostname: 'alone' });
  assert.equal(run(['nsenter', `--uts=${pins.uts}`, 'hostname']), 'alone');
  assert.match(run(['ip', '-br', 'addr'], pins.net), /^lo +UNKNOWN +127\.0\.0\.1\/8[^\n]*$/);
  await pool.unpinNamespaces('alone');
  await pool.unpinNamespaces('alone');
  assert.deepEqual(readdirSync(pinDirectory(runDir)), []);
});

test('all links and pins of an instance can be removed without the process that made them', async () => {
  {
    await using pool = await openPool();
    await Promise.all([pool.take(), pool.take(), pool.take()]);
  }
  removePins(runDir);
  deleteLinks(instance);
  deleteLinks(instance);
  assert.equal(existsSync(pinDirectory(runDir)), false);
  assert.equal(
    execFileSync('ip', ['-br', 'link'], { encoding: 'utf8' })
      .trim()
      .split('\n')
      .filter(line => !/^(lo|ifb\d) /.test(line)).length,
    0,
  );
});
