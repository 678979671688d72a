import assert from 'node:assert/strict';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { identify, isAlive, nameSignal, parseSignal, pipe, readCommandLine, signalProcess, spawnChild, waitForEnd } from './process.ts';

const env = { PATH: '/usr/bin:/bin' };

function descriptors(): { nothing: number; read: number; write: number } {
  const [read, write] = pipe();
  return { nothing: openSync('/dev/null', 'r+'), read, write };
}

test('a child gets its descriptors, nothing else, and default signals', async () => {
  const { nothing, read, write } = descriptors();
  const script = 'ls /proc/self/fd | tr "\\n" " "; grep SigIgn /proc/self/status; pwd; exit 7';
  const child = await spawnChild({ file: '/bin/sh', args: ['-c', script], env, descriptors: [nothing, write, write], cwd: '/usr' });
  closeSync(write);
  closeSync(nothing);
  const output = await text(new Socket({ fd: read, readable: true, writable: false }));
  assert.match(output, /^0 1 2 3 4 SigIgn:\t0000000000000000\n\/usr\n$/);
  assert.equal(await child.exited, 7);
});

test('a signal reaches exactly the process meant, and its end is noticed', async t => {
  const { nothing, read, write } = descriptors();
  const child = await spawnChild({ file: '/bin/sleep', args: ['100'], env, descriptors: [nothing, nothing, nothing] });
  for (const fd of [nothing, read, write]) closeSync(fd);
  const identity = identify(child.pid)!;
  t.after(() => signalProcess(identity, 9));
  assert.deepEqual(readCommandLine(child.pid), ['/bin/sleep', '100']);
  assert.equal(signalProcess({ ...identity, startTime: identity.startTime + 1 }, 9), false);
  assert.equal(await waitForEnd(identity, 1), false);
  assert.equal(signalProcess(identity, 9), true);
  assert.equal(await waitForEnd(identity, 5000), true);
  assert.equal(await child.exited, 137);
  assert.equal(isAlive(identity), false);
});

test('who waits for an end is not misled by signals of other children', async t => {
  const heard = () => {};
  process.on('SIGCHLD', heard);
  t.after(() => process.off('SIGCHLD', heard));
  const nothing = openSync('/dev/null', 'r+');
  t.after(() => closeSync(nothing));
  const start = (file: string, ...args: string[]) => spawnChild({ file, args, env, descriptors: [nothing, nothing, nothing] });
  // Each thread of the pool starts some: it is told of their ends, also while it waits for another's.
  const children = await Promise.all(Array.from({ length: 24 }, () => start('/bin/sleep', '100')));
  const identities = children.map(({ pid }) => identify(pid)!);
  const [long, others] = [identities.slice(0, 3), identities.slice(3)];
  const waits = long.map(identity => waitForEnd(identity, 20_000));
  for (const identity of others) signalProcess(identity, 9);
  await Promise.all(children.slice(3).map(({ exited }) => exited));
  for (const identity of long) signalProcess(identity, 9);
  assert.deepEqual(await Promise.all(waits), [true, true, true]);
  await Promise.all(children.map(({ exited }) => exited));
});

test('a program that does not exist is an error and leaves no descriptor behind', async () => {
  const count = () => readFileSync('/proc/self/status', 'utf8').length && openSync('/dev/null', 'r');
  const before = count();
  closeSync(before);
  await assert.rejects(spawnChild({ file: '/no/such', args: [], env, descriptors: [] }), /start \/no\/such: No such file/);
  const after = count();
  closeSync(after);
  assert.equal(after, before);
});

test('a process has its command line as soon as its starter goes on', async t => {
  const nothing = openSync('/dev/null', 'r+');
  t.after(() => closeSync(nothing));
  const options = { file: '/bin/sleep', args: ['100'], env, descriptors: [nothing, nothing, nothing] };
  const children = await Promise.all(Array.from({ length: 40 }, () => spawnChild(options).then(watched)));
  for (const { line } of children) assert.deepEqual(line, ['/bin/sleep', '100']);

  async function watched({ pid, exited }: { pid: number; exited: Promise<number> }): Promise<{ line: string[] }> {
    const identity = identify(pid)!;
    try {
      return { line: readCommandLine(pid) };
    } finally {
      signalProcess(identity, 9);
      await exited;
    }
  }
});

test('signals have names and numbers', () => {
  for (const [name, number] of [
    ['SIGTERM', 15],
    ['kill', 9],
    ['15', 15],
    ['SIGRTMIN+3', 37],
    ['RTMAX-1', 63],
  ] as const)
    assert.equal(parseSignal(name), number);
  for (let number = 1; number <= 64; number++) if (number !== 32 && number !== 33) assert.equal(parseSignal(nameSignal(number)), number);
  assert.deepEqual([15, 34, 37, 62, 64].map(nameSignal), ['SIGTERM', 'SIGRTMIN', 'SIGRTMIN+3', 'SIGRTMAX-2', 'SIGRTMAX']);
  for (const name of ['', '0', '65', 'SIGNOPE', 'RTMIN+40', '__proto__']) assert.throws(() => parseSignal(name), { reason: 'Invalid' });
});
