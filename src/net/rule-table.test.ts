import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { after, test } from 'node:test';
import { parseAffinities } from './affinity.ts';
import { NetworkPool } from './network-pool.ts';
import type { TableConfig } from './nft-rules.ts';
import { NftTransactions } from './nft-transactions.ts';
import { pinDirectory } from './pins.ts';
import { removeNetwork } from './remove-network.ts';
import { RuleTable } from './rule-table.ts';
import type { Endpoint, HostPortRule, ServiceRule } from './rules.ts';
import {
  askUdp,
  enterTestNetwork,
  fetchText,
  makeTestBridge,
  POD_CIDR,
  run,
  SERVICE_CIDR,
  startEcho,
  temporaryRunDir,
} from './test-network.ts';

// A machine of its own: a bridge with pods, and an "outside" network namespace behind another link.
enterTestNetwork();
const instance = `rt${process.pid}`;
const runDir = temporaryRunDir();
const bridge = await makeTestBridge(instance);
const pool = new NetworkPool({ instance, runDir, podCidr: POD_CIDR, bridge, size: 3 });
await pool.adopt([]);
const [client, one, two] = [await pool.take(), await pool.take(), await pool.take()];
const { net: outside } = await pool.pinNamespaces({ id: 'outside', kinds: ['net'] });
run(['ip', 'link', 'add', 'up0', 'type', 'veth', 'peer', 'name', 'up1', 'netns', outside!]);
run(['ip', 'addr', 'add', '203.0.113.1/24', 'dev', 'up0']);
run(['ip', 'link', 'set', 'up0', 'up']);
run(['ip', 'route', 'add', '198.51.100.0/24', 'dev', 'up0']);
run(['ip', 'addr', 'add', '203.0.113.2/24', 'dev', 'up1'], outside);
run(['ip', 'link', 'set', 'up1', 'up'], outside);
run(['ip', 'route', 'add', 'default', 'via', '203.0.113.1'], outside);

const servers = [
  await startEcho({ path: one.path, port: 8080, text: 'one' }),
  await startEcho({ path: two.path, port: 8080, text: 'two' }),
  await startEcho({ path: outside!, port: 8080, text: 'outside' }),
  await startEcho({ port: 6443, address: bridge.gateway, text: 'api' }),
];
const nft = new NftTransactions();
const config: TableConfig = {
  instance,
  podCidr: POD_CIDR,
  clusterCidr: '10.42.0.0/16',
  serviceCidr: SERVICE_CIDR,
};
const table = new RuleTable({ nft, config });
const [first, second] = [
  { address: one.address, port: 8080 },
  { address: two.address, port: 8080 },
];
const web: ServiceRule = {
  id: 'default/web',
  addresses: ['10.43.0.7'],
  ports: [{ protocol: 'tcp', port: 80, nodePort: 30080, endpoints: [first] }],
};
await table.load([web]);

after(async () => {
  for (const server of servers) server[Symbol.dispose]();
  await nft[Symbol.asyncDispose]();
  await pool[Symbol.asyncDispose]();
  await removeNetwork({ instance, runDir });
  rmSync(runDir, { recursive: true });
});

const withEndpoints = (...endpoints: Endpoint[]): ServiceRule => ({ ...web, ports: [{ ...web.ports[0]!, endpoints }] });
test('a pod reaches another by ClusterIP and shows its own address', () => {
  assert.equal(fetchText('10.43.0.7', client.path), `one ${client.address}`);
});

test('a pod reaches itself by ClusterIP and by node port (hairpin)', () => {
  assert.equal(fetchText('10.43.0.7', one.path), `one ${bridge.gateway}`);
  assert.equal(fetchText(`${bridge.gateway}:30080`, one.path), `one ${bridge.gateway}`);
});

test('the host reaches a ClusterIP', () => assert.equal(fetchText('10.43.0.7'), `one ${bridge.gateway}`));

test('a node port answers on loopback, on the node and from outside, which keeps its address', () => {
  assert.equal(fetchText('127.0.0.1:30080'), `one ${bridge.gateway}`);
  assert.match(fetchText('203.0.113.1:30080'), /^one /);
  assert.equal(fetchText('203.0.113.1:30080', outside), 'one 203.0.113.2');
});

test('what pods send outside bears the address of the node', () => {
  assert.equal(fetchText('203.0.113.2:8080', client.path), 'outside 203.0.113.1');
  assert.equal(fetchText(`${one.address}:8080`, client.path), `one ${client.address}`);
});

test("the gateway's address is open to pods and node, and closed to others", () => {
  assert.equal(fetchText(`${bridge.gateway}:6443`, client.path), `api ${client.address}`);
  assert.equal(fetchText(`${bridge.gateway}:6443`), `api ${bridge.gateway}`);
  assert.equal(fetchText(`${bridge.gateway}:6443`, outside, 1), 'curl 28');
});

test("a pod can't reach the node's loopback", () => {
  run(['ip', 'route', 'replace', 'table', 'local', '127.0.0.9', 'via', bridge.gateway, 'dev', 'eth0', 'onlink'], client.path);
  assert.match(fetchText('127.0.0.9:30080', client.path, 1), /^curl/);
});

test('two endpoints share the load, a third replaces them, none refuses at once', async () => {
  await table.change([withEndpoints(first, second)]);
  const answers = new Set(Array.from({ length: 24 }, () => fetchText('10.43.0.7', client.path)));
  assert.deepEqual([...answers].sort(), [`one ${client.address}`, `two ${client.address}`]);
  await table.change([withEndpoints(second)]);
  assert.equal(fetchText('10.43.0.7', client.path), `two ${client.address}`);
  await table.change([withEndpoints()]);
  for (const target of ['10.43.0.7', `${bridge.gateway}:30080`]) assert.equal(fetchText(target, client.path), 'curl 7');
  for (const target of ['10.43.0.7', '127.0.0.1:30080', '203.0.113.1:30080']) assert.equal(fetchText(target), 'curl 7');
  assert.equal(fetchText('203.0.113.1:30080', outside), 'curl 7');
  await table.change([], [web.id]);
  assert.equal(fetchText('10.43.0.7', client.path), 'curl 7', 'an address of no Service');
  await table.change([web]);
});

/** The machine's own address, and one that is led to it: what a load balancer has. */
const FROM_OUTSIDE = ['203.0.113.1:30080', '198.51.100.7'];
const withLocal = (localEndpoints: Endpoint[], ...endpoints: Endpoint[]): ServiceRule => ({
  ...web,
  externalAddresses: ['198.51.100.7'],
  ports: [{ ...web.ports[0]!, endpoints, localEndpoints }],
});
const who = (target: string, path?: string) => [...new Set(Array.from({ length: 16 }, () => fetchText(target, path, 1)))].sort();

test('externalTrafficPolicy Local: who comes from outside keeps his address and gets to local endpoints, or nowhere; others to all', async () => {
  const local = (...localEndpoints: Endpoint[]) => ({ ...withLocal(localEndpoints, first, second), externalPolicyLocal: true });
  await table.change([local(second)]);
  for (const target of FROM_OUTSIDE) {
    assert.deepEqual(who(target, outside), ['two 203.0.113.2'], target);
    assert.deepEqual(who(target, client.path), [`one ${client.address}`, `two ${client.address}`], target);
    assert.deepEqual(
      who(target).map(answer => answer.split(' ')[0]),
      ['one', 'two'],
      target,
    );
  }
  await table.change([local()]);
  for (const target of FROM_OUTSIDE) {
    assert.equal(fetchText(target, outside, 1), 'curl 28', 'dropped');
    assert.match(fetchText(target, client.path), /^(one|two) /);
  }
  await table.change([{ ...withLocal([]), externalPolicyLocal: true }]);
  for (const target of FROM_OUTSIDE) assert.equal(fetchText(target, outside, 1), 'curl 7', 'refused: there is none anywhere');
  await table.change([web]);
});

test('internalTrafficPolicy Local: ClusterIPs lead to local endpoints or nowhere, node ports to all', async () => {
  await table.change([{ ...withLocal([second], first, second), internalPolicyLocal: true }]);
  assert.deepEqual(who('10.43.0.7', client.path), [`two ${client.address}`]);
  assert.deepEqual(who('203.0.113.1:30080', outside), ['one 203.0.113.2', 'two 203.0.113.2']);
  await table.change([{ ...withLocal([], first), internalPolicyLocal: true }]);
  assert.equal(fetchText('10.43.0.7', client.path, 1), 'curl 28');
  await table.change([web]);
});

const kept = async () => parseAffinities((await nft.list(instance, 'map', 'affinity')) ?? '');

test('session affinity: a client stays with its endpoint while others come and go, until that one goes', async () => {
  const sticky = (...endpoints: Endpoint[]) => ({ ...withEndpoints(...endpoints), affinitySeconds: 600 });
  await table.change([sticky(first)]);
  assert.equal(fetchText('10.43.0.7', client.path), `one ${client.address}`);
  assert.equal(fetchText('203.0.113.1:30080', outside), 'one 203.0.113.2');
  await table.change([sticky(first, second)]);
  assert.deepEqual(who('10.43.0.7', client.path), [`one ${client.address}`]);
  await table.load([sticky(first, second)]);
  assert.deepEqual(who('10.43.0.7', client.path), [`one ${client.address}`], 'the table was made anew');
  await using again = new NftTransactions();
  await new RuleTable({ nft: again, config }).load([sticky(first, second)]);
  assert.deepEqual(who('203.0.113.1:30080', outside), ['one 203.0.113.2'], 'another process made it');
  await table.change([sticky(second)]);
  assert.deepEqual(await kept(), [], 'nobody is kept with what is gone');
  assert.deepEqual(who('10.43.0.7', client.path), [`two ${client.address}`]);
  await table.change([web]);
  assert.deepEqual(await kept(), []);
});

test('session affinity ends with its timeout, counted from the last connection', { timeout: 60_000 }, async () => {
  await table.change([{ ...withEndpoints(first, second), affinitySeconds: 1 }]);
  const answer = fetchText('10.43.0.7', client.path);
  let other = answer;
  while (other === answer) {
    while ((await kept()).length > 0) await new Promise(resume => setTimeout(resume, 20));
    other = fetchText('10.43.0.7', client.path);
  }
  assert.match(other, /^(one|two) /);
  await table.change([web]);
});

test('session affinity where only local endpoints serve those outside', async () => {
  const rule = (isLocal: boolean) => ({ ...withLocal([second], first, second), affinitySeconds: 60, externalPolicyLocal: isLocal });
  await table.change([{ ...rule(false), ports: [{ ...web.ports[0]!, endpoints: [first] }] }]);
  assert.equal(fetchText('198.51.100.7', outside), 'one 203.0.113.2');
  await table.change([rule(false)]);
  assert.deepEqual(who('198.51.100.7', outside), ['one 203.0.113.2']);
  await table.change([rule(true)]);
  assert.deepEqual(who('198.51.100.7', outside), ['two 203.0.113.2']);
  await table.change([web]);
});

test('UDP', async () => {
  const dns: ServiceRule = { id: 'default/udp', addresses: ['10.43.0.8'], ports: [{ protocol: 'udp', port: 53, endpoints: [second] }] };
  await table.change([dns]);
  assert.equal(askUdp('10.43.0.8', 53, client.path), `two ${client.address}`);
  await table.change([], [dns.id]);
});

test('a UDP client that keeps its port follows the endpoints', async () => {
  const dns = (endpoint: Endpoint): ServiceRule => ({
    id: 'default/udp',
    addresses: ['10.43.0.8'],
    ports: [{ protocol: 'udp', port: 53, nodePort: 30053, endpoints: [endpoint] }],
  });
  const ask = () => [askUdp('10.43.0.8', 53, client.path, 5555), askUdp(bridge.gateway, 30053, client.path, 5556)];
  await table.change([dns(second)]);
  assert.deepEqual(ask(), Array(2).fill(`two ${client.address}`));
  await table.change([dns(first)]);
  assert.deepEqual(ask(), Array(2).fill(`one ${client.address}`));
  await table.change([], ['default/udp']);
});

test('published ports: on all addresses, or on one; the pod itself reaches them too', async () => {
  const all: HostPortRule = { id: 'hp/1', protocol: 'tcp', hostPort: 8081, address: two.address, port: 8080 };
  const loopback: HostPortRule = { id: 'hp/2', hostIp: '127.0.0.1', protocol: 'tcp', hostPort: 8082, address: two.address, port: 8080 };
  await table.change([all, loopback]);
  assert.equal(fetchText('203.0.113.1:8081', outside), 'two 203.0.113.2');
  assert.equal(fetchText('127.0.0.1:8081'), `two ${bridge.gateway}`);
  assert.equal(fetchText(`${bridge.gateway}:8081`, two.path), `two ${bridge.gateway}`);
  assert.equal(fetchText('127.0.0.1:8082'), `two ${bridge.gateway}`);
  assert.equal(fetchText('203.0.113.1:8082', outside), 'curl 7');
  await table.change([], [all.id, loopback.id]);
  assert.equal(fetchText('127.0.0.1:8081'), 'curl 7');
});

test('a port passes from one rule to another in one change', async () => {
  const other: ServiceRule = { ...withEndpoints(second), id: 'default/other', addresses: ['10.43.0.9'] };
  await table.change([other], [web.id]);
  assert.match(fetchText('127.0.0.1:30080'), /^two/);
  await table.change([web], [other.id]);
  assert.match(fetchText('127.0.0.1:30080'), /^one/);
});

test('more endpoints than the table has chains for', async () => {
  const many = Array.from({ length: 40 }, (_, n) => ({ ...second, address: `10.42.9.${n + 1}` }));
  await table.change([withEndpoints(...many)]);
  assert.match((await nft.list(instance)) ?? '', /chain pick-64 /);
  await table.change([web]);
  assert.equal(fetchText('10.43.0.7', client.path), `one ${client.address}`);
});

test('a broken transaction changes nothing and its error quotes the rule', async () => {
  const listed = async () => (await nft.list(instance))?.replaceAll(/ expires \w+/g, '');
  const before = await listed();
  await assert.rejects(
    nft.apply(
      `delete element ip ${instance} services { 10.43.0.7 . tcp . 80 }\nadd element ip ${instance} services { 10.43.0.7 . tcp . 81 : goto bananas }`,
    ),
    /No such file or directory in: add element .*goto bananas/,
  );
  assert.ok((await listed()) === before, 'the table is as before');
});

test('a table that somebody else emptied is said again whole', async () => {
  await nft.deleteTable(instance);
  await table.change([withEndpoints(second)]);
  assert.equal(fetchText('10.43.0.7', client.path), `two ${client.address}`);
  await table.change([web]);
});

test('one change among 1,000 Services is far under 20 ms', async t => {
  const service = (n: number, shift = 0): ServiceRule => ({
    id: `many/${n}`,
    addresses: [`10.43.${100 + (n >> 8)}.${n & 255}`],
    ports: [
      {
        protocol: 'tcp',
        port: 80,
        endpoints: Array.from({ length: 1 + (n % 3) }, (_, e) => ({ address: `10.42.${e}.${(n + shift) & 255}`, port: 80 })),
      },
    ],
  });
  const rules = Array.from({ length: 1000 }, (_, n) => service(n));
  const start = performance.now();
  await table.load([web, ...rules]);
  const loadMs = performance.now() - start;
  const times: number[] = [];
  for (let n = 0; n < 100; n++) {
    const before = performance.now();
    await table.change([service(n * 7, 1)]);
    times.push(performance.now() - before);
  }
  times.sort((a, b) => a - b);
  t.diagnostic(`load ${loadMs.toFixed(1)} ms; change p50 ${times[50]!.toFixed(2)}, p99 ${times[98]!.toFixed(2)} ms`);
  assert.ok(times[50]! < 20, `p50 ${times[50]} ms`);
  assert.equal(fetchText('10.43.0.7', client.path), `one ${client.address}`);
});

test('everything is removed by name', async () => {
  assert.ok(pinDirectory(runDir));
  await removeNetwork({ instance, runDir });
  assert.equal(await nft.list(instance), undefined);
  await removeNetwork({ instance, runDir });
  assert.doesNotMatch(run(['ip', '-br', 'link']), new RegExp(bridge.name));
});
