import assert from 'node:assert/strict';
import { createServer, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { grpcProbe } from './grpc-probe.ts';

/** `HealthCheckResponse` with a status, in gRPC's frame. */
const answer = (status: number) => Buffer.from([0, 0, 0, 0, 2, 0x08, status]);

describe('gRPC probes', () => {
  const asked: string[] = [];
  const reply = (stream: ServerHttp2Stream, body: Buffer, code = '0', message = '') => {
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': code, 'grpc-message': message }));
    stream.end(body);
  };
  const answers: Record<string, (stream: ServerHttp2Stream) => void> = {
    '': stream => reply(stream, answer(1)),
    broken: stream => reply(stream, answer(2)),
    unknown: stream => reply(stream, Buffer.alloc(0), '5', 'unknown%20service'),
    other: stream => stream.respond({ ':status': 200, 'grpc-status': '12', 'grpc-message': 'no such method' }, { endStream: true }),
    endless: stream => reply(stream, Buffer.alloc(100_000)),
    reset: stream => stream.close(2),
    silent: () => {},
  };
  const server = createServer();
  server.on('stream', (stream: ServerHttp2Stream, headers) => {
    stream.on('error', () => {});
    const chunks: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('end', () => {
      asked.push(String(headers[':path']));
      answers[Buffer.concat(chunks).subarray(7).toString()]?.(stream);
    });
  });
  let port = 0;
  before(async () => {
    await new Promise<void>(listening => server.listen(0, '127.0.0.1', listening));
    port = (server.address() as AddressInfo).port;
  });
  after(() => void server.close());
  const check = (service: string, withinMs = 10_000) => grpcProbe({ port, service }, '127.0.0.1', AbortSignal.timeout(withinMs));

  test('answers and what they mean', async () => {
    assert.deepEqual(await check(''), { ok: true, message: 'service healthy' });
    assert.deepEqual(asked, ['/grpc.health.v1.Health/Check']);
    assert.deepEqual(await check('broken'), { ok: false, message: 'service unhealthy (responded with "NOT_SERVING")' });
    const table: [service: string, message: RegExp][] = [
      ['unknown', /code = 5 desc = unknown service$/],
      ['other', /does not implement the grpc health protocol.*no such method/],
      ['endless', /too long/],
      ['reset', /health rpc failed/],
    ];
    for (const [service, message] of table) {
      const result = await check(service);
      assert.equal(result.ok, false, service);
      assert.match(result.message, message);
    }
  });

  test('one who does not answer fails when time is up; so does a port where nobody listens', async () => {
    assert.match((await check('silent', 50)).message, /context deadline exceeded/);
    const result = await grpcProbe({ port: 1 }, '127.0.0.1', AbortSignal.timeout(10_000));
    assert.equal(result.ok, false);
    assert.match(result.message, /failed to connect service at "127.0.0.1:1"/);
  });
});
