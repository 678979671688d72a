import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { ManualClock } from '#base/clock.ts';
import { Client } from './client.ts';

const directory = mkdtempSync(join(tmpdir(), `umiak-client-${process.pid}-`));
const path = join(directory, 'socket');
const server = createServer({ allowHalfOpen: true });

before(async () => {
  server.listen(path);
  await once(server, 'listening');
});
after(() => {
  server.close();
  rmSync(directory, { recursive: true });
});

async function pair(): Promise<{ there: Socket; here: Socket }> {
  const accepted = once(server, 'connection');
  const there = connect({ path, allowHalfOpen: true });
  const [here] = (await accepted) as [Socket];
  return { there, here };
}

test('who has said all still listens, and is let go when it is gone, though it says no more', async () => {
  const { there, here } = await pair();
  const clock = new ManualClock();
  const client = new Client(here, { clock });
  there.end('all');
  assert.equal(await text(client.input), 'all');
  assert.equal(client.gone.aborted, false);
  clock.advance(120_000);
  assert.equal(client.gone.aborted, false);
  client.output.write('heard');
  assert.equal(String((await once(there, 'data'))[0]), 'heard');
  there.destroy();
  await once(there, 'close');
  const closed = once(here, 'close');
  clock.advance(60_000);
  await closed;
  assert.equal(client.gone.aborted, true);
});

test('who goes without a word is gone at once; what it said before is still heard', async () => {
  const { there, here } = await pair();
  const client = new Client(here);
  const gone = once(client.gone, 'abort');
  there.write('last words', () => there.destroy());
  await gone;
  assert.equal(await text(client.input), 'last words');
  client.hangUp();
});
