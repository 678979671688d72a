import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import { test } from 'node:test';
import { type Answer, decode, encode, type Packet, type RecordType } from 'dns-packet';
import { isUmiakError } from '#base/errors.ts';
import { seededRandom } from '#base/ids.ts';
import { DnsServer, nameserversOf } from './dns-server.ts';
import type { DnsRecords } from './dns-zones.ts';
import { enterTestNetwork } from './test-network.ts';

enterTestNetwork();
const ADDRESS = '127.0.0.1';
const ZONES = ['cluster.local', '43.10.in-addr.arpa'];
const RECORDS: DnsRecords = {
  'web.default.svc.cluster.local': { a: ['10.43.0.7'], ttl: 30 },
  'db.default.svc.cluster.local': { a: ['10.42.0.2', '10.42.0.3'] },
  '_sql._tcp.db.default.svc.cluster.local': { srv: [{ target: 'db.default.svc.cluster.local', port: 5432 }] },
  '7.0.43.10.in-addr.arpa': { ptr: ['web.default.svc.cluster.local'] },
  'alias.default.svc.cluster.local': { cname: 'web.default.svc.cluster.local' },
  'out.default.svc.cluster.local': { cname: 'example.org' },
  'six.default.svc.cluster.local': { aaaa: ['fd00::7'] },
  'big.default.svc.cluster.local': { a: Array.from({ length: 200 }, (_, n) => `10.42.3.${n}`) },
};

function send(port: number, message: Buffer, timeoutMs = 3000): Promise<Buffer> {
  const socket = createSocket('udp4');
  return new Promise<Buffer>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('no answer')), timeoutMs);
    socket.on('message', response => resolve(response)).on('close', () => clearTimeout(timer));
    socket.send(message, port, ADDRESS);
  }).finally(() => socket.close());
}

const question = (name: string, type: RecordType, more: Packet = {}) =>
  encode({ type: 'query', id: 4242, flags: 0x0100, questions: [{ name, type }], ...more });
const ask = async (port: number, name: string, type: RecordType, more?: Packet) => decode(await send(port, question(name, type, more)));
const shown = (answers: Answer[] = []) =>
  answers.map(
    record => `${record.name} ${(record as { ttl?: number }).ttl} ${record.type} ${JSON.stringify((record as { data?: unknown }).data)}`,
  );

function askTcp(port: number, ...messages: Buffer[]): Promise<Buffer[]> {
  const socket = connect(port, ADDRESS);
  for (const message of messages) socket.write(Buffer.concat([Buffer.from([message.length >> 8, message.length & 255]), message]));
  return new Promise<Buffer[]>((resolve, reject) => {
    let received = Buffer.alloc(0);
    const found: Buffer[] = [];
    socket.on('error', reject).on('data', (data: Buffer) => {
      received = Buffer.concat([received, data]);
      while (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
        const end = 2 + received.readUInt16BE(0);
        found.push(received.subarray(2, end));
        received = received.subarray(end);
      }
      if (found.length === messages.length) resolve(found);
    });
  }).finally(() => socket.destroy());
}

/** A server "elsewhere" with one address for every name, that counts; `null` answers nothing. */
async function startUpstream(answer: ((query: Packet) => Packet | Buffer) | null) {
  const socket = createSocket('udp4');
  let count = 0;
  socket.on('message', (message, from) => {
    count++;
    const response = answer?.(decode(message));
    if (response) socket.send(Buffer.isBuffer(response) ? response : encode(response), from.port, from.address);
  });
  await new Promise<void>(resolve => void socket.bind(0, ADDRESS, resolve));
  return { at: `${ADDRESS}:${socket.address().port}`, count: () => count, [Symbol.dispose]: () => void socket.close() };
}

const elsewhere =
  (address: string, ttl = 60) =>
  ({ id, questions = [] }: Packet): Packet => ({
    type: 'response',
    id: id!,
    flags: 0x8180,
    questions,
    answers: [{ type: 'A', name: questions[0]!.name, ttl, data: address }],
  });

async function start(upstreams: string[] = [], upstreamTimeoutMs = 300) {
  const server = await DnsServer.listen({ address: ADDRESS, port: 0, zones: ZONES, upstreams, upstreamTimeoutMs });
  await server.setRecords({ set: RECORDS });
  return server;
}

const cases: [string, string, RecordType, number, string[]][] = [
  ['A', 'web.default.svc.cluster.local', 'A', 0, ['web.default.svc.cluster.local 30 A "10.43.0.7"']],
  ['any spelling, which comes back', 'WEB.default.SVC.cluster.local', 'A', 0, ['WEB.default.SVC.cluster.local 30 A "10.43.0.7"']],
  ['AAAA', 'six.default.svc.cluster.local', 'AAAA', 0, ['six.default.svc.cluster.local 5 AAAA "fd00::7"']],
  ['PTR', '7.0.43.10.in-addr.arpa', 'PTR', 0, ['7.0.43.10.in-addr.arpa 5 PTR "web.default.svc.cluster.local"']],
  [
    'an alias inside',
    'alias.default.svc.cluster.local',
    'A',
    0,
    ['alias.default.svc.cluster.local 5 CNAME "web.default.svc.cluster.local"', 'web.default.svc.cluster.local 30 A "10.43.0.7"'],
  ],
  ['no such name', 'nothing.default.svc.cluster.local', 'A', 3, []],
  ['no such reverse name', '8.0.43.10.in-addr.arpa', 'PTR', 3, []],
  ['a name without that type', 'web.default.svc.cluster.local', 'AAAA', 0, []],
  ['a name with names below it only', 'svc.cluster.local', 'A', 0, []],
  ['the zone itself', 'cluster.local', 'A', 0, []],
];

test('answers from its zones', async t => {
  await using server = await start();
  for (const [name, asked, type, rcode, expected] of cases)
    await t.test(name, async () => {
      const response = await ask(server.port, asked, type);
      assert.equal(response.id, 4242);
      assert.equal(response.flags! & 15, rcode);
      assert.ok(response.flags! & 0x0400, 'authoritative');
      assert.deepEqual(shown(response.answers), expected);
      if (expected.length === 0) assert.equal(response.authorities![0]!.type, 'SOA');
    });
  await t.test('SRV with its targets', async () => {
    const response = await ask(server.port, '_sql._tcp.db.default.svc.cluster.local', 'SRV');
    assert.deepEqual((response.answers![0] as { data: unknown }).data, {
      priority: 0,
      weight: 100,
      port: 5432,
      target: 'db.default.svc.cluster.local',
    });
    assert.equal(response.additionals!.length, 2);
  });
  await t.test('several addresses take turns', async () => {
    const first = async () => (await ask(server.port, 'db.default.svc.cluster.local', 'A')).answers![0] as { data: string };
    assert.notEqual((await first()).data, (await first()).data);
  });
});

test('changes take effect at once, and nothing is left of removed names', async () => {
  await using server = await start();
  await server.setRecords({ set: { 'web.default.svc.cluster.local': { a: ['10.43.0.8'] } }, removed: ['db.default.svc.cluster.local'] });
  assert.match(shown((await ask(server.port, 'web.default.svc.cluster.local', 'A')).answers)[0]!, /10\.43\.0\.8/);
  assert.equal((await ask(server.port, 'db.default.svc.cluster.local', 'A')).flags! & 15, 0, 'a name still lies below');
  await server.setRecords({ removed: ['_sql._tcp.db.default.svc.cluster.local'] });
  assert.equal((await ask(server.port, 'db.default.svc.cluster.local', 'A')).flags! & 15, 3);
});

test('what is too long for a datagram is truncated, and whole over TCP', async () => {
  await using server = await start();
  const short = await ask(server.port, 'big.default.svc.cluster.local', 'A');
  assert.equal(short.flag_tc, true);
  assert.equal(short.answers!.length, 0);
  const query = question('big.default.svc.cluster.local', 'A');
  const both = await askTcp(server.port, query, query);
  for (const response of both) assert.equal(decode(response).answers!.length, 200);
});

test('other names are forwarded once, remembered for their time, and follow an alias', async () => {
  using upstream = await startUpstream(elsewhere('192.0.2.80'));
  await using server = await start([upstream.at]);
  assert.deepEqual(shown((await ask(server.port, 'Example.org', 'A')).answers), ['Example.org 60 A "192.0.2.80"']);
  assert.equal((await ask(server.port, 'example.ORG', 'A')).questions![0]!.name, 'example.ORG');
  assert.equal(upstream.count(), 1);
  const followed = await ask(server.port, 'out.default.svc.cluster.local', 'A');
  assert.deepEqual(
    shown(followed.answers).map(line => line.replace('Example', 'example')),
    ['out.default.svc.cluster.local 5 CNAME "example.org"', 'example.org 60 A "192.0.2.80"'],
  );
  assert.equal(upstream.count(), 1);
});

test('answers that must not be remembered are asked for again', async () => {
  using upstream = await startUpstream(elsewhere('192.0.2.80', 0));
  await using server = await start([upstream.at]);
  await ask(server.port, 'example.org', 'A');
  await ask(server.port, 'example.org', 'A');
  assert.equal(upstream.count(), 2);
});

test('who asks before the first records are there is answered when they have come', async () => {
  await using server = await DnsServer.listen({ address: ADDRESS, port: 0, zones: ZONES, upstreams: [] });
  const asked = ask(server.port, 'web.default.svc.cluster.local', 'A');
  const askedByTcp = askTcp(server.port, question('web.default.svc.cluster.local', 'A'));
  await new Promise(resume => setTimeout(resume, 50));
  await server.setRecords({ set: RECORDS });
  const expected = ['web.default.svc.cluster.local 30 A "10.43.0.7"'];
  assert.deepEqual(shown((await asked).answers), expected);
  assert.deepEqual(shown(decode((await askedByTcp)[0]!).answers), expected);
});

test('a silent or lying upstream is passed over; when all are, it is a SERVFAIL', async () => {
  using silent = await startUpstream(null);
  using lying = await startUpstream(query => elsewhere('192.0.2.66')({ ...query, questions: [{ type: 'A', name: 'other.org' }] }));
  using garbage = await startUpstream(() => Buffer.from('not a message'));
  using good = await startUpstream(elsewhere('192.0.2.80'));
  await using server = await start([silent.at, lying.at, garbage.at, good.at], 150);
  assert.match(shown((await ask(server.port, 'example.org', 'A')).answers)[0]!, /192\.0\.2\.80/);
  await ask(server.port, 'example.com', 'A');
  assert.equal(silent.count(), 1, 'the one that answered is asked first from then on');
  await using alone = await start([silent.at], 150);
  assert.equal((await ask(alone.port, 'example.org', 'A')).flags! & 15, 2);
  await using nobody = await start([]);
  assert.equal((await ask(nobody.port, 'example.org', 'A')).flags! & 15, 2);
});

test('a server that there is no way to is passed over', async () => {
  using good = await startUpstream(elsewhere('192.0.2.80'));
  await using server = await start(['203.0.113.1', good.at], 150); // this network has no routes
  assert.match(shown((await ask(server.port, 'example.org', 'A')).answers)[0]!, /192\.0\.2\.80/);
  await using alone = await start(['203.0.113.1'], 150);
  assert.equal((await ask(alone.port, 'example.org', 'A')).flags! & 15, 2);
});

test('what can not be answered is refused', async () => {
  await using server = await start();
  const rcode = async (message: Buffer) => (await send(server.port, message))[3]! & 15;
  const good = question('web.default.svc.cluster.local', 'A');
  assert.equal(await rcode(question('cluster.local', 'AXFR')), 5);
  assert.equal(await rcode(Buffer.concat([good.subarray(0, 2), Buffer.from([0x28, 0]), good.subarray(4)])), 4, 'another opcode');
  assert.equal(await rcode(good.subarray(0, 20)), 1, 'cut short');
  assert.equal(await rcode(encode({ type: 'query', id: 1, questions: [] })), 1, 'no question');
});

test('garbage does not hurt it', async t => {
  const seed = Date.now() & 0xffff;
  t.diagnostic(`seed ${seed}`);
  const random = seededRandom(seed);
  await using server = await start();
  const socket = createSocket('udp4');
  for (let n = 0; n < 2000; n++) {
    const message = n % 2 ? question('web.default.svc.cluster.local', 'A') : Buffer.alloc(Math.floor(random() * 80));
    for (let hit = 0; hit < 1 + (n % 2 ? 3 : message.length); hit++)
      message[Math.floor(random() * message.length)] = Math.floor(random() * 256);
    await new Promise(resolve => socket.send(message, server.port, ADDRESS, resolve));
  }
  socket.close();
  const [response] = await askTcp(server.port, question('web.default.svc.cluster.local', 'A'));
  assert.equal(decode(response!).answers!.length, 1);
  assert.equal((await ask(server.port, 'web.default.svc.cluster.local', 'A')).answers!.length, 1);
});

test('a port in use is a clear error', async () => {
  await using server = await start();
  const options = { address: ADDRESS, port: server.port, zones: ZONES, upstreams: [] };
  await assert.rejects(
    DnsServer.listen(options),
    error => isUmiakError(error, 'AlreadyExists') && /127\.0\.0\.1:\d+\/tcp/.test(error.message),
  );
});

test('reads resolv.conf', () => {
  const text = '# c\nnameserver 192.0.2.1\n nameserver\t10.42.0.1 # own\nnameserver fe80::1\nsearch a b\nnameserver 192.0.2.2\n';
  assert.deepEqual(nameserversOf(text, '10.42.0.1'), ['192.0.2.1', '192.0.2.2']);
});
