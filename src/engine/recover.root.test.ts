import assert from 'node:assert/strict';
import { appendFileSync, readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { type ContainerRecord, readRecord } from './records.ts';
import { EngineBench } from './test-bench.ts';

const bench = new EngineBench('utrecover', 'crun');
before(() => bench.open());
after(() => bench[Symbol.asyncDispose]());

const earlier = {
  init: { pid: 1, startTime: 1 },
  startedAtMs: 1,
  finishedAtMs: 2,
  exitCode: 1,
  reason: 'StartError',
  message: 'it failed',
};

for (const [what, former] of [
  ['no process yet', {}],
  ['that of an earlier run', earlier],
] as const)
  test(`a run whose start was not noted, its record having ${what}, is taken over with its first process`, async () => {
    const { id, pid } = await bench.start('exec sleep 1000');
    while (readFileSync(`/proc/${pid}/comm`, 'utf8') !== 'sleep\n') await setTimeout(1); // the bench copies its image anew
    const directory = `${bench.directory}/closed/data/engine/containers/${id}`;
    const { monitor: _, init: __, startedAtMs: ___, ...noted } = readRecord<ContainerRecord>(directory)!;
    appendFileSync(`${directory}/record.jsonl`, `\n${JSON.stringify({ ...noted, phase: 'starting', ...former })}`);
    await bench.open();
    assert.deepEqual([bench.engine.container(id)?.state, bench.engine.container(id)?.pid], ['running', pid]);
    assert.equal((await bench.engine.execSync(id, { command: ['true'], timeoutMs: 10_000 })).exitCode, 0);
    const { startedAtMs, message } = await bench.engine.stopContainer(id, { graceMs: 0 });
    assert.ok(startedAtMs !== undefined && startedAtMs > 2, 'it began when it was taken over');
    assert.equal(message, undefined);
  });
