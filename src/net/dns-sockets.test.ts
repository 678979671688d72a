import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { serveDnsTcp, serveDnsUdp } from './dns-sockets.ts';

test('who asks without reading the answers is not answered any more: nothing piles up', async () => {
  let answered = 0;
  let served: Socket | undefined;
  const server = createServer(socket => {
    served = socket;
    serveDnsTcp(socket, async () => {
      answered++;
      return Buffer.alloc(60_000);
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const asker = connect((server.address() as { port: number }).port, '127.0.0.1').pause();
  try {
    const question = Buffer.concat([Buffer.from([0, 12]), Buffer.alloc(12)]);
    asker.write(Buffer.concat(Array.from({ length: 4_000 }, () => question)));
    while (!served?.writableNeedDrain) await setImmediate();
    const before = answered;
    for (let n = 0; n < 200; n++) await setImmediate();
    assert.ok(answered <= before + 1, `${answered - before} answers more for somebody who doesn't read`);
    assert.ok(served.writableLength < 200_000, `${served.writableLength} bytes wait`);
    asker.resume();
    while (answered < 4_000) await setImmediate();
  } finally {
    asker.destroy();
    server.close();
  }
});

test('an answer that comes when nobody listens any more is let go', async () => {
  const asked = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<Buffer>();
  const socket = createSocket('udp4');
  serveDnsUdp(socket, () => {
    asked.resolve();
    return answer.promise;
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const asker = createSocket('udp4');
  asker.send(Buffer.alloc(12), socket.address().port, '127.0.0.1');
  await asked.promise;
  asker.close();
  socket.close();
  await once(socket, 'close');
  answer.resolve(Buffer.alloc(12));
  await setImmediate(); // a rejection that nobody handles would fail this test
});
