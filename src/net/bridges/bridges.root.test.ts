import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { pinNamespaces, unpinNamespace } from '#linux/namespaces.ts';
import { linkUp, Netlink } from '#linux/netlink.ts';
import { macOfAddress } from '../hardware.ts';
import { NftTransactions } from '../nft-transactions.ts';
import { askUdp, enterTestNetwork, fetchText, run, startEcho, temporaryRunDir } from '../test-network.ts';
import type { BridgedNetwork, EndpointLink } from './bridge-network.ts';
import { Bridges } from './bridges.ts';
import { bridgeAlias, endpointLinkName } from './link-names.ts';

/** Endpoints of networks in a network of this test's own: `outside` is another machine. */
const INSTANCE = 'tbr';
enterTestNetwork();
const directory = temporaryRunDir();
const pins: string[] = [];
const nft = new NftTransactions();
const kernel = { sysctl: async (path: string, value: string) => writeFileSync(`/proc/sys/${path}`, value) };
after(async () => {
  await nft[Symbol.asyncDispose]();
  for (const pin of pins) unpinNamespace(pin);
});
writeFileSync('/proc/sys/net/ipv4/ip_forward', '1');

function newNamespace(name: string): string {
  const path = join(directory, name);
  pinNamespaces({ net: path }, () => {
    using netlink = new Netlink();
    netlink.send(linkUp(1));
  });
  pins.push(path);
  return path;
}

function bridged(id: string, subnet: string, gateway: string, more: Partial<BridgedNetwork> = {}): BridgedNetwork {
  const common = { isInternal: false, isMasqueraded: true, isTalking: true };
  return { id, driver: 'bridge', link: `tbr-${id}`, subnets: [{ subnet, gateway }], ...common, ...more };
}

let serial = 0;
function endpoint(netns: string, address: string, prefixLength: number, ifName = 'eth0'): EndpointLink {
  return {
    hostLink: endpointLinkName(INSTANCE, `${++serial}`),
    netns,
    ifName,
    mac: macOfAddress(address),
    addresses: [{ address, prefixLength }],
  };
}

const isThere = (link: string) => run(['ip', '-o', 'link']).includes(` ${link}`);
const via = (gateway: string, ifName = 'eth0') => ({ ipv4: { gateway, ifName } });

const outside = newNamespace('outside');
run(['ip', 'link', 'add', 'up0', 'type', 'veth', 'peer', 'name', 'up1', 'netns', outside]);
run(['ip', 'addr', 'add', '203.0.113.1/24', 'dev', 'up0']);
run(['ip', 'link', 'set', 'up0', 'up']);
run(['ip', 'addr', 'add', '203.0.113.2/24', 'dev', 'up1'], outside);
run(['ip', 'link', 'set', 'up1', 'up'], outside);
run(['ip', 'route', 'add', 'default', 'via', '203.0.113.1'], outside);

const bridges = new Bridges({ instance: INSTANCE, nft, kernel });
after(() => bridges[Symbol.asyncDispose]());
const one = bridged('one', '172.18.0.0/16', '172.18.0.1');
const two = bridged('two', '172.19.0.0/16', '172.19.0.1', { mtu: 1400 });
const inner = bridged('inner', '172.20.0.0/16', '172.20.0.1', { isInternal: true });
const silent = bridged('silent', '172.21.0.0/16', '172.21.0.1', { isTalking: false });
for (const network of [one, two, inner, silent]) await bridges.create(network);

const spaces = ['a', 'b', 'c', 'd', 'e', 'f', 'g'].map(newNamespace) as [string, string, string, string, string, string, string];
const [a, b, c, d, e, f, g] = spaces;
const endpoints = {
  a: endpoint(a, '172.18.0.2', 16),
  b: endpoint(b, '172.18.0.3', 16),
  c: endpoint(c, '172.19.0.2', 16),
  d: endpoint(d, '172.20.0.2', 16),
  e: endpoint(e, '172.20.0.3', 16),
  f: endpoint(f, '172.21.0.2', 16),
  g: endpoint(g, '172.21.0.3', 16),
};
await bridges.attach(one, endpoints.a, via('172.18.0.1'));
await bridges.attach(one, endpoints.b, via('172.18.0.1'));
await bridges.attach(two, endpoints.c, via('172.19.0.1'));
await bridges.attach(inner, endpoints.d, {});
await bridges.attach(inner, endpoints.e, {});
await bridges.attach(silent, endpoints.f, via('172.21.0.1'));
await bridges.attach(silent, endpoints.g, via('172.21.0.1'));
const servers = await Promise.all([
  startEcho({ path: b, port: 80, text: 'b' }),
  startEcho({ path: c, port: 80, text: 'c' }),
  startEcho({ path: e, port: 80, text: 'e' }),
  startEcho({ path: g, port: 80, text: 'g' }),
  startEcho({ path: outside, port: 80, text: 'outside' }),
]);
after(() => {
  for (const server of servers) server[Symbol.dispose]();
});

test('containers of one network talk over its wire, under the name and size that were asked for', () => {
  assert.equal(fetchText('172.18.0.3', a), 'b 172.18.0.2');
  assert.match(run(['ip', 'link', 'show', 'eth0'], c), /mtu 1400/);
  assert.match(run(['ip', 'link', 'show', 'eth0'], a), /02:42:ac:12:00:02/);
  assert.match(run(['ip', 'route'], a), /^default via 172\.18\.0\.1 dev eth0/);
});

test('networks are apart, and an internal one has no way out', () => {
  assert.match(fetchText('172.19.0.2', a, 1), /^curl/);
  assert.equal(fetchText('172.20.0.3', d), 'e 172.20.0.2');
  run(['ip', 'route', 'add', 'default', 'via', '172.20.0.1'], d); // by a container that breaks out of its routes
  assert.match(fetchText('203.0.113.2', d, 1), /^curl/);
  assert.match(fetchText('172.18.0.3', d, 1), /^curl/);
});

test('without talk among containers they reach what is outside, and not each other', () => {
  assert.match(fetchText('172.21.0.3', f, 1), /^curl/);
  assert.equal(fetchText('203.0.113.2', f), 'outside 203.0.113.1');
});

test('what leaves bears the address of the machine, and nobody outside begins anything with a container', () => {
  assert.equal(fetchText('203.0.113.2', a), 'outside 203.0.113.1');
  assert.match(fetchText('172.18.0.3', outside, 1), /^curl/);
});

test('a published port leads there from outside, from the machine, from other networks and from the container itself', async () => {
  await bridges.publish('b', [
    { protocol: 'tcp', hostPort: 8080, address: '172.18.0.3', port: 80 },
    { protocol: 'udp', hostPort: 8080, address: '172.18.0.3', port: 80 },
    { protocol: 'tcp', hostIp: '203.0.113.1', hostPort: 8081, address: '172.18.0.3', port: 80 },
  ]);
  assert.equal(fetchText('203.0.113.1:8080', outside), 'b 203.0.113.2');
  assert.equal(fetchText('203.0.113.1:8081', outside), 'b 203.0.113.2');
  assert.match(fetchText('127.0.0.1:8080'), /^b /);
  assert.match(fetchText('172.18.0.1:8080'), /^b /);
  assert.match(fetchText('127.0.0.1:8081', undefined, 1), /^curl/);
  for (const isFiltered of ['1', '0']) {
    writeFileSync('/proc/sys/net/bridge/bridge-nf-call-iptables', isFiltered);
    for (const path of [a, b, c]) assert.match(fetchText('203.0.113.1:8080', path), /^b /, `${isFiltered} ${path}`);
    assert.equal(fetchText('172.18.0.3', a), 'b 172.18.0.2');
    assert.match(fetchText('172.21.0.3', f, 1), /^curl/);
  }
  assert.equal(askUdp('203.0.113.1', 8080, outside), 'b 203.0.113.2');
  writeFileSync('/proc/sys/net/bridge/bridge-nf-call-iptables', '1');
  await bridges.publish('b', []);
  assert.match(fetchText('203.0.113.1:8080', outside, 1), /^curl/);
});

test('a container joins a second network while it runs, and leaves it', async () => {
  const second = endpoint(a, '172.19.0.9', 16, 'eth1');
  await bridges.attach(two, second, via('172.19.0.1', 'eth1'));
  assert.equal(fetchText('172.19.0.2', a), 'c 172.19.0.9');
  assert.match(run(['ip', 'route'], a), /default via 172\.19\.0\.1 dev eth1/);
  await bridges.detach([{ network: two, endpoint: second }]);
  await bridges.setRoutes(a, via('172.18.0.1'));
  assert.match(fetchText('172.19.0.2', a, 1), /^curl/);
  assert.equal(fetchText('203.0.113.2', a), 'outside 203.0.113.1');
});

test('IPv6: addresses work at once, over the wire and by the router', async () => {
  const network: BridgedNetwork = {
    ...bridged('six', '172.22.0.0/16', '172.22.0.1'),
    subnets: [
      { subnet: '172.22.0.0/16', gateway: '172.22.0.1' },
      { subnet: 'fd00:6::/64', gateway: 'fd00:6::1' },
    ],
  };
  await bridges.create(network);
  const [x, y] = [newNamespace('x'), newNamespace('y')];
  for (const [path, last] of [
    [x, 2],
    [y, 3],
  ] as const) {
    const base = endpoint(path, `172.22.0.${last}`, 16);
    const addresses = [...base.addresses, { address: `fd00:6::${last}`, prefixLength: 64 }];
    await bridges.attach(network, { ...base, addresses }, { ...via('172.22.0.1'), ipv6: { gateway: 'fd00:6::1', ifName: 'eth0' } });
  }
  run(['ip', '-6', 'addr', 'add', '2001:db8::1/64', 'dev', 'up0', 'nodad']);
  run(['ip', '-6', 'addr', 'add', '2001:db8::2/64', 'dev', 'up1', 'nodad'], outside);
  using _server = await startEcho({ path: y, port: 80, text: 'six', address: '::' });
  using _out = await startEcho({ path: outside, port: 81, text: 'outside', address: '::' });
  assert.equal(fetchText('[fd00:6::3]:80', x), 'six fd00:6::2');
  assert.equal(fetchText('[2001:db8::2]:81', x), 'outside 2001:db8::1');
  await bridges.publish('y', [{ protocol: 'tcp', hostPort: 8686, address: 'fd00:6::3', port: 80 }]);
  assert.match(fetchText('[2001:db8::1]:8686', outside), /^six 2001:db8::2/);
  assert.match(fetchText('[fd00:6::3]:80', outside, 1), /^curl/);
  await bridges.publish('y', []);
  await bridges.remove('six');
  assert.ok(!isThere('tbr-six'));
});

test('macvlan: a container on the wire of one of the machine’s links', async () => {
  run(['ip', 'link', 'add', 'wire0', 'type', 'veth', 'peer', 'name', 'wire1', 'netns', outside]);
  run(['ip', 'link', 'set', 'wire0', 'up']);
  run(['ip', 'link', 'set', 'wire1', 'up'], outside);
  run(['ip', 'addr', 'add', '198.51.100.1/24', 'dev', 'wire1'], outside);
  const network = {
    id: 'mac',
    driver: 'macvlan',
    parent: 'wire0',
    mode: 'bridge',
    isInternal: false,
    subnets: [{ subnet: '198.51.100.0/24' }],
  } as const;
  await bridges.create(network);
  const path = newNamespace('m');
  const link = endpoint(path, '198.51.100.7', 24);
  await bridges.attach(network, link, via('198.51.100.1'));
  assert.equal(fetchText('198.51.100.1', path), 'outside 198.51.100.7');
  await bridges.detach([{ network, endpoint: link }]);
  assert.doesNotMatch(run(['ip', 'link'], path), /eth0/);
  await bridges.remove('mac');
  assert.ok(isThere('wire0'), "the machine's own link stays");
});

test('another process takes over what stands and deletes what nobody knows', async () => {
  const rules = { protocol: 'tcp', hostPort: 8090, address: '172.18.0.3', port: 80 } as const;
  await bridges.publish('b', [rules]);
  await using next = new Bridges({ instance: INSTANCE, nft, kernel });
  run(['ip', 'link', 'del', 'tbr-silent']); // as after a reboot
  const known = Object.values(endpoints).filter(({ netns }) => netns !== f);
  const standing = await next.restore({
    networks: [one, two, inner, silent],
    endpoints: known.map(({ hostLink }) => hostLink),
    published: new Map([['b', [rules]]]),
    refused: (_, error) => assert.fail(String(error)),
  });
  assert.deepEqual(standing.toSorted(), known.map(({ hostLink }) => hostLink).toSorted());
  assert.ok(isThere('tbr-silent'));
  assert.ok(!isThere(endpoints.f.hostLink));
  assert.equal(fetchText('203.0.113.1:8090', outside), 'b 203.0.113.2');
  assert.equal(fetchText('172.18.0.3', a), 'b 172.18.0.2');
});

test('a link of somebody else’s is neither taken nor deleted', async () => {
  run(['ip', 'link', 'add', 'tbr-other', 'type', 'bridge']);
  await assert.rejects(bridges.create(bridged('other', '172.30.0.0/16', '172.30.0.1')), { reason: 'AlreadyExists' });
  await bridges.remove('other');
  assert.ok(isThere('tbr-other'));
  assert.equal(bridgeAlias('tbr', 'x'), 'umiak tbr x');
});

test('moving a link into a namespace and out of it takes a moment', async () => {
  const path = newNamespace('quick');
  const times: number[] = [];
  for (let n = 0; n < 10; n++) {
    const link = endpoint(path, '172.18.0.77', 16);
    const start = performance.now();
    await bridges.attach(one, link, via('172.18.0.1'));
    times.push(performance.now() - start);
    await bridges.detach([{ network: one, endpoint: link }]);
  }
  const last = endpoint(path, '172.18.0.78', 16);
  await bridges.attach(one, last, via('172.18.0.1'));
  const start = performance.now();
  await bridges.leave([{ network: one, endpoint: last }]);
  console.log(`# leave ${(performance.now() - start).toFixed(2)} ms`);
  assert.match(fetchText('172.18.0.3', path, 1), /^curl/);
  const median = times.toSorted((p, q) => p - q)[5]!;
  console.log(`# attach p50 ${median.toFixed(2)} ms`);
  assert.ok(median < 20, `${median} ms`);
});

test('a bridge with all of its ports taken says so', async () => {
  const full = bridged('full', '172.31.0.0/16', '172.31.0.1');
  await bridges.create(full);
  const batch = join(directory, 'batch');
  const pairs = Array.from({ length: 512 }, (_, n) => `link add p${n} master tbr-full type veth peer name q${n}\n`);
  const others = Array.from({ length: 511 }, (_, n) => `link set q${n} master tbr-full\n`);
  writeFileSync(batch, [...pairs, ...others].join(''));
  run(['ip', '-batch', batch]);
  await assert.rejects(bridges.attach(full, endpoint(newNamespace('last'), '172.31.0.2', 16), {}), {
    reason: 'ServiceUnavailable',
    message: /network full is full: a bridge holds 1023 containers/,
  });
});
