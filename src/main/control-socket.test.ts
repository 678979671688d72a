import assert from 'node:assert/strict';
import { type ChildProcess, spawnSync } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { mkdtempSync, renameSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { silentLog, systemClock } from '#base/index.ts';
import { ControlSocket, followProcess, listenTo, type ProcessState, stateNow, whenState } from './control-socket.ts';
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

test('a name that appears between an attempt and its refusal is not missed', { timeout: 10_000 }, async () => {
  const path = join(directory, 'late.sock');
  await using _control = await ControlSocket.open(join(directory, 'early.sock'), { ...starting, state: 'ready' });
  // As roles begin, after a refusal early in a turn of the loop: the next refusal is told after the directory's changes.
  await setImmediate();
  assert.equal(await stateNow(join(directory, 'none.sock')), undefined);
  const heard = Promise.withResolvers<ProcessState>();
  using _following = followProcess(path, { onState: heard.resolve });
  renameSync(join(directory, 'early.sock'), path);
  assert.equal((await heard.promise).state, 'ready');
});

/** What a keeper started, and when it has started so many. */
class Peers {
  readonly started: EventEmitter[] = [];
  readonly #changed = new EventEmitter();
  readonly start = () => {
    const child = new EventEmitter();
    this.started.push(child);
    this.#changed.emit('start');
    return child as unknown as ChildProcess;
  };

  async whenStarted(count: number): Promise<void> {
    while (this.started.length < count) await once(this.#changed, 'start');
  }
}

function keep(socket: string, peers: Peers): PeerKeeper {
  return new PeerKeeper({ socket, respawn: peers.start, clock: systemClock, signal: new AbortController().signal, log: silentLog });
}

test('a peer that ends unasked is started again, one that said it stops is not', async () => {
  const path = join(directory, 'peer.sock');
  const peers = new Peers();
  const peer = await ControlSocket.open(path, { ...starting, state: 'ready' });
  using _keeper = keep(path, peers);
  await new Promise<void>(resolve => void listenTo(path, () => resolve()));
  await peer[Symbol.asyncDispose]();
  await peers.whenStarted(1);
  const polite = await ControlSocket.open(path, { ...starting, state: 'ready' });
  await new Promise<void>(resolve => void listenTo(path, () => resolve()));
  polite.say({ state: 'stopping' });
  await polite[Symbol.asyncDispose]();
  peers.started[0]?.emit('exit', 0);
  await new Promise(resume => setTimeout(resume, 600));
  assert.equal(peers.started.length, 1);
});

test('a peer that was killed before anybody listened to it is started again, and so is one that ended before it could say a word', async () => {
  const path = join(directory, 'killed.sock');
  const program = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
  spawnSync(process.execPath, ['--eval', program]);
  const peers = new Peers();
  using _keeper = keep(path, peers);
  await peers.whenStarted(1);
  peers.started[0]?.emit('exit', 1);
  await peers.whenStarted(2);
});
