import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { setTimeout as after } from 'node:timers/promises';
import { seededRandom } from '#base/ids.ts';
import { silentLog } from '#base/log.ts';
import { KernelChangeJournal } from '#linux/kernel-changes.ts';
import { assertNoLeak, countResources } from '#tests/resources.ts';
import { type LocalEngine, openEngine } from './local-engine.ts';
import { applyMachine } from './machine.ts';
import { removeInstance } from './remove-instance.ts';
import { BusyboxImages, LoopbackNetworks } from './testing.ts';

const ROUNDS = Number(process.env.CRASH_ROUNDS ?? 24);
const SEED = Number(process.env.SEED ?? Date.now() % 1_000_000);

interface Acknowledged {
  did: string;
  id: string;
  sandbox?: string;
  long?: boolean;
}

test(`kill -9 at ${ROUNDS} random moments loses nothing acknowledged and leaks nothing (SEED=${SEED})`, async () => {
  console.log(`SEED=${SEED}`);
  const random = seededRandom(SEED);
  const instance = `enginecrash-${process.pid}`;
  const directory = mkdtempSync(join(tmpdir(), `${instance}-`));
  const scope = { instance, directories: [directory] };
  const dirs = { dataDir: `${directory}/data`, runDir: `${directory}/run` };
  const kernel = new KernelChangeJournal({ holder: instance });
  const images = new BusyboxImages(`${directory}/image`);
  await applyMachine(kernel);
  const before = countResources(scope);
  /** Everything acknowledged in all rounds, the last state of each container. */
  const expected = new Map<string, Acknowledged>();
  const long = new Set<string>();
  try {
    for (let round = 0; round < ROUNDS; round++) {
      for (const line of await workAndDie([directory, instance, 'crun', String(SEED + round)], 20 + random() * 200)) {
        if (line.long) long.add(line.id);
        if (line.did !== 'open' && line.did !== 'sandbox') expected.set(line.id, line);
      }
      const networks = new LoopbackNetworks(`${directory}/netns`);
      await using engine = await openEngine({ ...dirs, instance, images, networks, log: silentLog });
      check(engine, expected, long, `round ${round}`);
      checkNothingElse(engine, dirs, `round ${round}`);
      if (round % 6 === 5) for (const { id } of engine.sandboxes()) await engine.removeSandbox(id).then(() => forget(expected, engine));
    }
    const networks = new LoopbackNetworks(`${directory}/netns`);
    await using engine = await openEngine({ ...dirs, instance, images, networks, log: silentLog });
    for (const { id } of engine.sandboxes()) await engine.removeSandbox(id);
    // The network pool removes what nobody uses; this simple one is told.
    for (const file of readdirSync(`${directory}/netns`)) await networks.unpinNamespaces(file.split('.')[0]!);
    await engine[Symbol.asyncDispose]();
    await removeInstance({ instance, ...dirs });
    const { mounts, cgroups, processes } = countResources(scope);
    assert.deepEqual([mounts, cgroups, processes], [[], [], []]);
    assertNoLeak(before, { ...countResources(scope), descriptors: {} }, { files: false });
  } finally {
    await removeInstance({ instance, ...dirs });
    for (const file of existsSync(`${directory}/netns`) ? readdirSync(`${directory}/netns`) : [])
      await new LoopbackNetworks(`${directory}/netns`).unpinNamespaces(file.split('.')[0]!);
    await kernel.undoAll();
    rmSync(directory, { recursive: true, force: true });
  }
});

/** Runs the worker, kills it some time after it has opened its engine, and returns what it had acknowledged. */
async function workAndDie(args: string[], afterMs: number): Promise<Acknowledged[]> {
  const worker = spawn(process.execPath, [new URL('./test-crash-worker.ts', import.meta.url).pathname, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines: Acknowledged[] = [];
  for await (const line of createInterface({ input: worker.stdout })) {
    lines.push(JSON.parse(line) as Acknowledged);
    if (lines.length === 1) void after(afterMs).then(() => worker.kill('SIGKILL'));
  }
  return lines;
}

function check(engine: LocalEngine, expected: ReadonlyMap<string, Acknowledged>, long: ReadonlySet<string>, when: string): void {
  for (const [id, { did }] of expected) {
    const container = engine.container(id);
    const what = `${when}: ${did} ${id.slice(0, 12)} is ${container?.state} (${container?.exitCode}, ${container?.reason})`;
    if (did === 'removed') assert.equal(container, undefined, what);
    if (did === 'removing') continue;
    if (did === 'created') assert.ok(container && ['created', 'running', 'exited'].includes(container.state), what);
    if (did === 'started') {
      if (long.has(id)) assert.ok(container?.state === 'running' && existsSync(`/proc/${container.pid}`), what);
      else if (container?.state === 'exited') assert.equal(container.exitCode, 5, what);
      else assert.equal(container?.state, 'running', what);
    }
    if (did === 'stopped')
      assert.ok(container?.state === 'exited' && (container.exitCode === 137 || (!long.has(id) && container.exitCode === 5)), what);
    if (container?.state === 'exited') assert.notEqual(container.reason, 'MonitorLost', what);
  }
}

/** What is on the machine belongs to what the engine knows. */
function checkNothingElse(engine: LocalEngine, { dataDir, runDir }: { dataDir: string; runDir: string }, when: string): void {
  const known = engine.containers().map(({ id }) => id);
  const running = engine.containers().filter(({ state }) => state === 'running');
  assert.deepEqual(readdirSync(`${dataDir}/engine/containers`).sort(), known.sort(), when);
  assert.deepEqual(
    readdirSync(`${dataDir}/engine/sandboxes`).sort(),
    engine
      .sandboxes()
      .map(({ id }) => id)
      .sort(),
    when,
  );
  const bundles = readdirSync(`${runDir}/engine/bundles`);
  assert.ok(
    bundles.every(id => running.some(container => container.id === id)),
    `${when}: bundles of containers that do not run`,
  );
}

function forget(expected: Map<string, Acknowledged>, engine: LocalEngine): void {
  for (const id of expected.keys()) if (!engine.container(id)) expected.delete(id);
}
