import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import { decode, encode } from 'dns-packet';
import { pinNamespaces, unpinNamespace } from '#linux/namespaces.ts';
import { linkUp, Netlink } from '#linux/netlink.ts';
import { enterTestNetwork, temporaryRunDir } from '../test-network.ts';
import { type DnsAsker, EmbeddedDns } from './embedded-dns.ts';

// A machine of its own with a DNS server for the rest of the world.
enterTestNetwork();
const directory = temporaryRunDir();
const world = createSocket('udp4');
world.on('message', (message, from) => {
  const query = decode(message);
  const answers = [{ type: 'A' as const, name: query.questions![0]!.name, ttl: 60, data: '192.0.2.80' }];
  world.send(encode({ type: 'response', id: query.id!, flags: 0x0180, questions: query.questions!, answers }), from.port, from.address);
});
world.bind(5300, '127.0.0.1');
await once(world, 'listening');
after(() => world.close());

const pins: string[] = [];
after(() => {
  for (const pin of pins) unpinNamespace(pin);
});

function newNamespace(name: string): string {
  const path = join(directory, name);
  pinNamespaces({ net: path }, () => {
    using netlink = new Netlink();
    netlink.send(linkUp(1));
  });
  pins.push(path);
  return path;
}

const ASK = `
const [method, name, type] = process.argv.slice(1);
const resolver = new (require('node:dns').promises.Resolver)({ timeout: 500, tries: 6 });
resolver.setServers(['127.0.0.11']);
resolver[method](name, type).then(found => console.log(found.join(' ')), error => console.log(error.code));`;

/** What a process inside finds by the DNS that it has there. */
async function ask(path: string, name: string, type = 'A'): Promise<string> {
  const args = [`--net=${path}`, process.execPath, '-e', ASK, ...(type === 'PTR' ? ['reverse', name] : ['resolve', name, type])];
  return (await promisify(execFile)('nsenter', args)).stdout.trim();
}

const asker = (netns: string, more: Partial<DnsAsker> = {}): DnsAsker => ({
  key: netns,
  netns,
  networks: [{ id: 'n1', name: 'shop', links: { mysql: 'db' } }],
  upstreams: ['127.0.0.1:5300'],
  isIsolated: false,
  ...more,
});

async function fill(dns: EmbeddedDns): Promise<void> {
  await dns.put('n1', { id: 'e1', name: 'web', names: ['web', 'www', '0123456789ab'], addresses: ['172.18.0.2', 'fd00::2'] });
  await dns.put('n1', { id: 'e2', name: 'db', names: ['db', 'www'], addresses: ['172.18.0.3'] });
  await dns.put('n2', { id: 'e3', name: 'far', names: ['far'], addresses: ['172.19.0.2'] });
}

test('names, aliases, short ids, links, addresses and the rest of the world', async () => {
  await using dns = new EmbeddedDns();
  await fill(dns);
  const a = newNamespace('a');
  await dns.open(asker(a));
  const table: [name: string, type: string, found: string][] = [
    ['web', 'A', '172.18.0.2'],
    ['WEB', 'A', '172.18.0.2'],
    ['web.shop', 'A', '172.18.0.2'],
    ['0123456789ab', 'A', '172.18.0.2'],
    ['web', 'AAAA', 'fd00::2'],
    ['db', 'AAAA', 'ENODATA'],
    ['mysql', 'A', '172.18.0.3'],
    ['172.18.0.3', 'PTR', 'db.shop'],
    ['fd00::2', 'PTR', 'web.shop'],
    ['far', 'A', '192.0.2.80'],
    ['example.com', 'A', '192.0.2.80'],
  ];
  for (const [name, type, found] of table) assert.equal(await ask(a, name, type), found, `${name} ${type}`);
  assert.deepEqual((await ask(a, 'www')).split(' ').toSorted(), ['172.18.0.2', '172.18.0.3']);
});

test('a network joined later is known at once; an isolated one leads nowhere; gone is gone', async () => {
  await using dns = new EmbeddedDns();
  await fill(dns);
  const b = newNamespace('b');
  await dns.open(asker(b, { isIsolated: true }));
  assert.equal(await ask(b, 'example.com'), 'ESERVFAIL');
  assert.equal(await ask(b, 'far'), 'ESERVFAIL');
  const both = [...asker(b).networks, { id: 'n2', name: 'other' }];
  await dns.open(asker(b, { networks: both }));
  assert.equal(await ask(b, 'far'), '172.19.0.2');
  await dns.drop('n2', 'e3');
  assert.equal(await ask(b, 'far'), '192.0.2.80');
});

test('a server of the container’s own has port 53 of all addresses', async () => {
  await using dns = new EmbeddedDns();
  await fill(dns);
  const c = newNamespace('c');
  await dns.open(asker(c));
  const own = `const u = require('node:dgram').createSocket('udp4').bind(53, () => require('node:net').createServer().listen(53, '0.0.0.0', () => console.log('up')))`;
  const child = spawn('nsenter', [`--net=${c}`, process.execPath, '-e', own], { stdio: ['ignore', 'pipe', 'inherit'] });
  after(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  assert.equal(await ask(c, 'web'), '172.18.0.2');
});

test('who asks while nobody is there gets his answer from whoever comes next', async () => {
  const path = newNamespace('d');
  {
    await using dns = new EmbeddedDns();
    await fill(dns);
    await dns.open(asker(path));
  }
  const asked = ask(path, 'web');
  await new Promise(resume => setTimeout(resume, 300)); // he has asked, and gets no refusal
  await using next = new EmbeddedDns();
  await fill(next);
  await next.open(asker(path));
  assert.equal(await asked, '172.18.0.2');
});

test('what it costs a start', async () => {
  await using dns = new EmbeddedDns();
  await dns.open(asker(newNamespace('first')));
  const times: number[] = [];
  for (let n = 0; n < 10; n++) {
    const path = newNamespace(`t${n}`);
    const start = performance.now();
    await dns.open(asker(path));
    times.push(performance.now() - start);
    await dns.close(path);
  }
  console.log(`# open p50 ${times.toSorted((p, q) => p - q)[5]!.toFixed(2)} ms`);
});
