import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { ManualClock } from '#base/index.ts';
import { HealthCheckPorts } from './health-check-ports.ts';

const address = '127.0.0.1';

async function occupy(port = 0): Promise<Server & { port: number }> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, address, resolve));
  return Object.assign(server, { port: (server.address() as AddressInfo).port });
}
const close = (server: Server) => new Promise(resolve => server.close(resolve));
async function freePort(): Promise<number> {
  const server = await occupy();
  await close(server);
  return server.port;
}
/** Asks until somebody listens. */
async function ask(port: number): Promise<Response> {
  for (;;) {
    try {
      return await fetch(`http://${address}:${port}/healthz`);
    } catch {
      await new Promise(resume => setTimeout(resume, 5));
    }
  }
}

test('200 while there are endpoints, 503 while there are none or the rules are not right', { timeout: 10_000 }, async () => {
  let isHealthy = true;
  const options = { isHealthy: () => isHealthy, onRefused: assert.fail, clock: new ManualClock(), address };
  await using ports = new HealthCheckPorts(options);
  const port = await freePort();
  ports.set('shop/web', { port, localEndpoints: 2 });
  const answer = await ask(port);
  assert.equal(answer.status, 200);
  const said =
    '{\n\t"service": {\n\t\t"namespace": "shop",\n\t\t"name": "web"\n\t},\n\t"localEndpoints": 2,\n\t"serviceProxyHealthy": true\n}';
  assert.equal(await answer.text(), said);
  for (const [header, value] of [
    ['content-type', 'application/json'],
    ['x-content-type-options', 'nosniff'],
    ['x-load-balancing-endpoint-weight', '2'],
  ] as const)
    assert.equal(answer.headers.get(header), value);
  isHealthy = false;
  assert.equal((await ask(port)).status, 503);
  isHealthy = true;
  ports.set('shop/web', { port, localEndpoints: 0 });
  const none = await ask(port);
  assert.equal(none.status, 503);
  assert.deepEqual(await none.json(), { service: { namespace: 'shop', name: 'web' }, localEndpoints: 0, serviceProxyHealthy: true });
});

test('a port that changes or goes is free again', { timeout: 10_000 }, async () => {
  await using ports = new HealthCheckPorts({ isHealthy: () => true, onRefused: assert.fail, clock: new ManualClock(), address });
  const [port, other] = [await freePort(), await freePort()];
  ports.set('shop/web', { port, localEndpoints: 1 });
  await ask(port);
  ports.set('shop/web', { port: other, localEndpoints: 1 });
  await ask(other);
  await close(await occupy(port));
  ports.set('shop/web', undefined);
  await close(await occupy(other));
});

test('a port that somebody else has is said, and tried again', { timeout: 10_000 }, async () => {
  const clock = new ManualClock();
  const taken = await occupy();
  const refused = Promise.withResolvers<[string, number, string]>();
  const onRefused = (...about: [string, number, string]) => refused.resolve(about);
  await using ports = new HealthCheckPorts({ isHealthy: () => true, onRefused, clock, address });
  ports.set('shop/web', { port: taken.port, localEndpoints: 1 });
  const [service, port, why] = await refused.promise;
  assert.deepEqual([service, port], ['shop/web', taken.port]);
  assert.match(why, /EADDRINUSE/);
  await close(taken);
  clock.advance(5_000);
  assert.equal((await ask(taken.port)).status, 200);
});
