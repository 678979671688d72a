import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { Orphans } from './orphans.ts';
import { pipe, reap, spawnChild, spawnProcess } from './process.ts';

const env = { PATH: '/usr/bin:/bin' };
const run = promisify(execFile);

/** A process whose parent has ended; it ends when `letGo` is called. */
async function leaveBehind(): Promise<{ pid: number; letGo(): void }> {
  const nothing = openSync('/dev/null', 'r+');
  const [held, letGo] = pipe();
  const [read, write] = pipe();
  const script = 'cat <&3 >/dev/null & echo $!';
  const shell = await spawnProcess({ file: '/bin/sh', args: ['-c', script], env, descriptors: [nothing, write, nothing, held] });
  for (const fd of [nothing, held, write]) closeSync(fd);
  const said = await text(new Socket({ fd: read, readable: true, writable: false }));
  assert.equal(reap(shell), 0);
  return { pid: Number(said), letGo: () => closeSync(letGo) };
}

/** Its state and its parent; undefined when it is gone. */
function stateOf(pid: number): { state: string; parent: number } | undefined {
  try {
    const [state = '', parent] = /\) (.*)/.exec(readFileSync(`/proc/${pid}/stat`, 'latin1'))![1]!.split(' ');
    return { state, parent: Number(parent) };
  } catch {
    return undefined;
  }
}

async function untilGone(pid: number): Promise<void> {
  for (const deadline = Date.now() + 10_000; stateOf(pid); await sleep(2)) {
    assert.ok(Date.now() < deadline, `process ${pid} is still there: ${JSON.stringify(stateOf(pid))}`);
    assert.notEqual(stateOf(pid)?.parent, 1, 'it was left to init');
  }
}

test('what a child leaves behind is ours, and goes when it ends', async () => {
  using _ = new Orphans();
  const left = await Promise.all(Array.from({ length: 5 }, leaveBehind));
  for (const { pid } of left) assert.equal(stateOf(pid)?.parent, process.pid);
  for (const { letGo } of left) letGo();
  for (const { pid } of left) await untilGone(pid);
});

test('one that ended before is reaped when the reaper comes', async () => {
  const first = new Orphans();
  const { pid, letGo } = await leaveBehind();
  first[Symbol.dispose]();
  letGo();
  while (stateOf(pid)?.state !== 'Z') await sleep(1);
  await sleep(5); // nobody looks
  assert.deepEqual(stateOf(pid), { state: 'Z', parent: process.pid });
  using _ = new Orphans();
  assert.equal(stateOf(pid), undefined);
  const left = await leaveBehind();
  left.letGo();
  await untilGone(left.pid);
});

test('no exit code is lost by those who wait for one: children of ours, of Node, of its synchronous calls and of worker threads', async () => {
  using _ = new Orphans();
  const nothing = openSync('/dev/null', 'r+');
  const own = async (code: number) => {
    const { exited } = await spawnChild({ file: '/bin/sh', args: ['-c', `exit ${code}`], env, descriptors: [nothing, nothing, nothing] });
    assert.equal(await exited, code);
  };
  const nodes = (code: number) => assert.rejects(run('/bin/sh', ['-c', `exit ${code}`]), { code });
  const leaving = async () => {
    const { pid, letGo } = await leaveBehind();
    letGo();
    await untilGone(pid);
  };
  const missing = () => assert.rejects(run('/no/such'), { code: 'ENOENT' });
  const worker = new Promise((resolve, reject) => {
    const script = `
      const { execFile, spawnSync } = require('node:child_process');
      const { parentPort } = require('node:worker_threads');
      const one = code => new Promise(done => execFile('/bin/sh', ['-c', 'exit ' + code], error => done(error.code === code)));
      (async () => {
        const all = [];
        for (let code = 1; code <= 20; code++) all.push(await one(code), spawnSync('/bin/sh', ['-c', 'exit ' + code]).status === code);
        parentPort.postMessage(all.every(Boolean));
      })();`;
    new Worker(script, { eval: true }).once('message', resolve).once('error', reject);
  });
  for (let round = 1; round <= 20; round++) {
    const all = [own(round), nodes(round), leaving(), own(round + 1), nodes(round + 1), missing()];
    assert.equal(spawnSync('/bin/sh', ['-c', `exit ${round}`]).status, round);
    await Promise.all(all);
  }
  assert.equal(await worker, true);
  closeSync(nothing);
});

test('what a worker that ended had started goes, with the next child that ends at the latest', async () => {
  using _ = new Orphans();
  const script = `
    const { spawn } = require('node:child_process');
    const { parentPort } = require('node:worker_threads');
    const child = spawn('/bin/cat', { stdio: ['pipe', 'ignore', 'ignore'] });
    parentPort.postMessage(child.pid);`;
  const worker = new Worker(script, { eval: true });
  const pid = await new Promise<number>(resolve => worker.once('message', resolve));
  await worker.terminate(); // its end of the pipe is closed, and so cat ends
  while (stateOf(pid) && stateOf(pid)?.state !== 'Z') await sleep(1);
  await run('/bin/true');
  await untilGone(pid);
});
