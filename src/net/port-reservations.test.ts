import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { isUmiakError } from '#base/errors.ts';
import { NftTransactions } from './nft-transactions.ts';
import { PortReservations } from './port-reservations.ts';
import { RuleTable } from './rule-table.ts';
import { askUdp, enterTestNetwork, fetchText, POD_CIDR, SERVICE_CIDR, startEcho } from './test-network.ts';

enterTestNetwork();

const isTaken = (pattern: RegExp) => (error: unknown) => isUmiakError(error, 'AlreadyExists') && pattern.test(error.message);

test('a port is reserved once, whoever asks, and again after its release', async () => {
  await using ports = new PortReservations();
  await ports.reserve({ protocol: 'tcp', port: 8080 }, 'pod default/web');
  await assert.rejects(
    ports.reserve({ protocol: 'tcp', port: 8080 }, 'pod b'),
    isTaken(/port 8080\/tcp: it is reserved for pod default\/web/),
  );
  await assert.rejects(ports.reserve({ protocol: 'tcp', port: 8080, hostIp: '127.0.0.1' }, 'pod b'), isTaken(/127\.0\.0\.1:8080/));
  await ports.reserve({ protocol: 'udp', port: 8080 }, 'pod b');
  await ports.release({ protocol: 'tcp', port: 8080 });
  await ports.reserve({ protocol: 'tcp', port: 8080, hostIp: '127.0.0.1' }, 'pod b');
  await ports.release({ protocol: 'tcp', port: 9 });
});

test("other programs' ports can't be reserved, and they can't take reserved ones", async () => {
  await using ports = new PortReservations();
  using _echo = await startEcho({ port: 8081, text: 'mine' });
  await assert.rejects(ports.reserve({ protocol: 'tcp', port: 8081 }, 'me'), isTaken(/another program/));
  await assert.rejects(ports.reserve({ protocol: 'udp', port: 8081 }, 'me'), isTaken(/another program/));
  await ports.reserve({ protocol: 'tcp', port: 8082 }, 'me');
  const code = await new Promise(resolve =>
    createServer()
      .on('error', (error: NodeJS.ErrnoException) => resolve(error.code))
      .listen(8082),
  );
  assert.equal(code, 'EADDRINUSE');
});

test('an address of another machine is refused', async () => {
  await using ports = new PortReservations();
  await assert.rejects(ports.reserve({ protocol: 'tcp', port: 80, hostIp: '203.0.113.99' }, 'me'), {
    reason: 'Invalid',
    message: /cannot assign requested address/,
  });
});

test('rules win over the sockets held, and [::1] is passed on', async () => {
  const instance = `pr${process.pid}`;
  await using nft = new NftTransactions();
  await using ports = new PortReservations();
  using _echo = await startEcho({ port: 9090, text: 'pod' });
  const table = new RuleTable({ nft, config: { instance, podCidr: POD_CIDR, clusterCidr: POD_CIDR, serviceCidr: SERVICE_CIDR } });
  for (const protocol of ['tcp', 'udp'] as const) {
    await ports.reserve({ protocol, port: 8083 }, 'pod');
    await table.change([{ id: protocol, protocol, hostPort: 8083, address: '127.0.0.1', port: 9090 }]);
  }
  assert.equal(fetchText('127.0.0.1:8083'), 'pod 127.0.0.1');
  assert.equal(await (await fetch('http://[::1]:8083/')).text(), 'pod 127.0.0.1');
  assert.equal(askUdp('127.0.0.1', 8083), 'pod 127.0.0.1');
  await nft.deleteTable(instance);
});
