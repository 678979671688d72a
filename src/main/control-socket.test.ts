import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { silentLog, systemClock } from '#base/index.ts';
import { ControlSocket, listenTo, type ProcessState, whenState } from './control-socket.ts';
import { PeerKeeper } from './peer-keeper.ts';

const directory = mkdtempSync(join(tmpdir(), 'umiak-control-'));
after(() => rmSync(directory, { recursive: true, force: true }));

const starting: ProcessState = { role: 'server', pid: 1, version: 'x', state: 'starting' };

test('who waits from before the socket exists hears when it is ready', async () => {
  const path = join(directory, 'server.sock');
  const waiting = whenState(path);
  await using control = await ControlSocket.open(path, starting);
  control.say({ state: 'ready', details: { api: 'here' } });
  assert.deepEqual((await waiting).details, { api: 'here' });
  assert.equal(statSync(path).mode & 0o777, 0o660);
});

test('an end before that is an error where there is a deadline, and waited over where there is none', async () => {
  const path = join(directory, 'two.sock');
  const first = await ControlSocket.open(path, starting);
  const [impatient, patient] = [whenState(path, { timeoutMs: 20_000 }), whenState(path)];
  const refused = assert.rejects(impatient, /ended before it was ready/);
  await new Promise<void>(resolve => void listenTo(path, () => resolve()));
  await first[Symbol.asyncDispose]();
  await refused;
  await using _second = await ControlSocket.open(path, { ...starting, state: 'ready', pid: 2 });
  assert.equal((await patient).pid, 2);
});

test('a deadline ends the waiting, and nobody there is told at once', async () => {
  await assert.rejects(whenState(join(directory, 'none.sock'), { timeoutMs: 20 }), /in time/);
  assert.equal(await listenTo(join(directory, 'none.sock'), () => {}), undefined);
});

test('a peer that ends unasked is started again, one that said it stops is not', async () => {
  const path = join(directory, 'peer.sock');
  const started = Promise.withResolvers<void>();
  let respawns = 0;
  const respawn = () => {
    respawns += 1;
    started.resolve();
  };
  const peer = await ControlSocket.open(path, { ...starting, state: 'ready' });
  using _keeper = new PeerKeeper({ socket: path, respawn, clock: systemClock, signal: new AbortController().signal, log: silentLog });
  await new Promise<void>(resolve => void listenTo(path, () => resolve()));
  await peer[Symbol.asyncDispose]();
  const keepAlive = setInterval(() => {}, 1_000);
  await started.promise;
  clearInterval(keepAlive);
  const polite = await ControlSocket.open(path, { ...starting, state: 'ready' });
  await new Promise<void>(resolve => void listenTo(path, () => resolve()));
  polite.say({ state: 'stopping' });
  await polite[Symbol.asyncDispose]();
  assert.equal(respawns, 1);
});
