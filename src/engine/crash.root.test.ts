import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as after } from 'node:timers/promises';
import { seededRandom } from '#base/ids.ts';
import { silentLog } from '#base/log.ts';
import { KernelChangeJournal } from '#linux/kernel-changes.ts';
import { identify } from '#linux/process.ts';
import { assertNoLeak, countResources, type ResourceScope } from '#tests/resources.ts';
import type { LocalEngine } from './local-engine.ts';
import { applyMachine } from './machine.ts';
import { openEngine } from './open-engine.ts';
import { removeInstance } from './remove-instance.ts';
import { CrashWorker } from './test-crash-driver.ts';
import type { Said } from './test-crash-worker.ts';
import { BusyboxImages, LoopbackNetworks } from './testing.ts';

const MOMENTS = Number(process.env.CRASH_ROUNDS ?? (process.env.UMIAK_SOAK ? 1000 : 40));
const SEED = Number(process.env.UMIAK_SEED) || Date.now() % 1_000_000;
/** Who is killed in the rounds, in turn; after any of them the engine is too. */
const VICTIMS = ['engine', 'conmon', 'crun'] as const;
const KILLS_A_ROUND = 3;

/** Everything acknowledged so far: the last word on each container and sandbox. */
class Expected {
  readonly containers = new Map<string, Said>();
  readonly sandboxes = new Map<string, Said>();
  readonly long = new Set<string>();
  /** Their monitor or runtime was killed: they may have ended before their time. */
  readonly victims = new Set<string>();
  readonly exits = new Map<string, string>();

  hear(line: Said): void {
    if (line.long) this.long.add(line.id);
    if (line.did === 'open' || line.did === 'execed') return;
    if (line.did === 'exited') this.exits.set(line.id, line.reason ?? '');
    else if (line.did === 'sandbox') this.sandboxes.set(line.id, line);
    else this.containers.set(line.id, line);
    if (line.sandbox !== undefined && (line.did === 'removing' || line.did === 'removed')) this.sandboxes.set(line.sandbox, line);
  }

  /** What is gone need not be asked for again. */
  forget(engine: LocalEngine): void {
    for (const id of this.containers.keys()) if (!engine.container(id)) this.containers.delete(id);
    for (const id of this.sandboxes.keys()) if (!engine.sandbox(id)) this.sandboxes.delete(id);
  }
}

test(`kill -9 of engine, conmon and crun at ${MOMENTS} random moments loses nothing acknowledged and leaks nothing (UMIAK_SEED=${SEED})`, async t => {
  const random = seededRandom(SEED);
  const instance = `enginecrash-${process.pid}`;
  const directory = mkdtempSync(join(tmpdir(), `${instance}-`));
  chmodSync(directory, 0o711); // users of a sandbox's own have a way in
  const scope = { instance, directories: [directory] };
  const dirs = { dataDir: `${directory}/data`, runDir: `${directory}/run` };
  const kernel = new KernelChangeJournal({ holder: instance });
  const images = new BusyboxImages(`${directory}/image`);
  const open = () => openEngine({ ...dirs, instance, images, networks: new LoopbackNetworks(`${directory}/netns`), log: silentLog });
  await applyMachine(kernel);
  const before = countResources(scope);
  const expected = new Expected();
  const killed = { engine: 0, conmon: 0, crun: 0 };
  const total = () => killed.engine + killed.conmon + killed.crun;
  try {
    for (let round = 0; total() < MOMENTS; round++) {
      const when = `round ${round} of seed ${SEED}`;
      const victim = VICTIMS[round % VICTIMS.length] ?? 'engine';
      const worker = new CrashWorker({ directory, instance, seed: SEED + round });
      try {
        await worker.until('open', ({ did }) => did === 'open');
        await after(20 + random() * 200);
        for (let n = 0; victim !== 'engine' && n < KILLS_A_ROUND; n++) {
          const id = await worker.killOne(victim, random);
          expected.victims.add(id);
          killed[victim]++;
          await heardOfVictim(worker, id, victim);
        }
      } finally {
        await worker.kill();
      }
      killed.engine++;
      for (const line of worker.said) expected.hear(line);
      await using engine = await open();
      await settled(engine);
      checkContainers(engine, expected, when);
      checkSandboxes(engine, expected, when);
      checkNothingElse(engine, scope, when);
      if (round % 6 === 5) for (const { id } of engine.sandboxes()) await engine.removeSandbox(id);
      expected.forget(engine);
    }
    t.diagnostic(`killed: ${JSON.stringify(killed)}`);
    const engine = await open();
    for (const { id } of engine.sandboxes()) await engine.removeSandbox(id);
    await engine[Symbol.asyncDispose]();
    await unpinAll(directory);
    await removeInstance({ instance, ...dirs });
    assertNoLeak(before, countResources(scope), { files: false, descriptors: false });
  } finally {
    await removeInstance({ instance, ...dirs });
    await unpinAll(directory);
    await kernel.undoAll();
    rmSync(directory, { recursive: true, force: true });
  }
});

/** The worker's engine sees what was done to one of its own, and says so. */
async function heardOfVictim(worker: CrashWorker, id: string, victim: string): Promise<void> {
  const isOf = (...words: Said['did'][]) => {
    return (said: Said) => said.id === id && words.includes(said.did);
  };
  const isStarted = worker.said.some(isOf('started'));
  if (victim === 'conmon' && isStarted) await worker.until(`the end of ${id}`, isOf('exited', 'removed'));
  else await worker.until(`what became of ${id}`, isOf('started', 'failed', 'execed', 'exited', 'stopped', 'removed'));
}

/** What has just ended is known to have as soon as its monitor has said so. */
async function settled(engine: LocalEngine): Promise<void> {
  const end = performance.now() + 10_000;
  const isEnding = () => engine.containers().some(({ state, pid }) => state === 'running' && !existsSync(`/proc/${pid}`));
  while (isEnding() && performance.now() < end) await after(5);
}

function checkContainers(engine: LocalEngine, { containers, long, victims, exits }: Expected, when: string): void {
  for (const [id, { did, message }] of containers) {
    const container = engine.container(id);
    const what = `${when}: ${did} ${id.slice(0, 12)}${victims.has(id) ? ' (victim)' : ''} is ${container?.state} (${container?.exitCode}, ${container?.reason}) ${message ?? ''}`;
    if (did === 'removed') assert.equal(container, undefined, what);
    if (did === 'removed' || did === 'removing') continue;
    assert.ok(container, what);
    const { state, exitCode, reason, pid } = container;
    if (state === 'running') assert.ok(pid !== undefined && existsSync(`/proc/${pid}`), what);
    if (state === 'exited') assert.ok(exitCode !== undefined && container.finishedAtMs !== undefined && reason !== undefined, what);
    if (reason === 'MonitorLost') assert.ok(victims.has(id) && exitCode === 137, what);
    if (exits.has(id)) assert.deepEqual([state, reason], ['exited', exits.get(id)], what);
    if (did === 'failed') assert.ok(state === 'exited' && victims.has(id), what);
    if (victims.has(id)) continue;
    if (did === 'created') assert.ok(['created', 'running', 'exited'].includes(state), what);
    if (did === 'started' && long.has(id)) assert.equal(state, 'running', what);
    if (did === 'started' && !long.has(id)) assert.ok(state === 'running' || exitCode === 5, what);
    if (did === 'stopped') assert.ok(state === 'exited' && (exitCode === 137 || (!long.has(id) && exitCode === 5)), what);
  }
}

function checkSandboxes(engine: LocalEngine, { sandboxes }: Expected, when: string): void {
  for (const [id, { did }] of sandboxes) {
    const what = `${when}: sandbox ${id.slice(0, 12)} (${did}) is ${engine.sandbox(id)?.state}`;
    if (did === 'sandbox') assert.equal(engine.sandbox(id)?.state, 'ready', what);
    if (did === 'removed') assert.equal(engine.sandbox(id), undefined, what);
  }
}

/** What is on the machine belongs to what the engine knows. */
function checkNothingElse(engine: LocalEngine, scope: ResourceScope, when: string): void {
  const data = `${scope.directories[0]}/data/engine`;
  const known = engine.containers().map(({ id }) => id);
  const running = new Set(engine.containers().flatMap(({ id, state }) => (state === 'running' ? [id] : [])));
  const sandboxes = engine.sandboxes().map(({ id }) => id);
  assert.deepEqual(readdirSync(`${data}/containers`).sort(), known.sort(), `${when}: containers`);
  assert.deepEqual(readdirSync(`${data}/sandboxes`).sort(), sandboxes.sort(), `${when}: sandboxes`);
  const there = countResources(scope);
  const runs = (paths: string[]) => new Set(paths.flatMap(path => /[0-9a-f]{64}/.exec(path)?.[0] ?? []));
  const states = `${scope.directories[0]}/run/engine/crun`;
  const of = {
    bundles: new Set(readdirSync(`${scope.directories[0]}/run/engine/bundles`)),
    states: new Set(existsSync(states) ? readdirSync(states) : []),
    mounts: runs(there.mounts.filter(path => path.includes('/containers/'))),
    cgroups: runs(there.cgroups),
    monitors: runs(there.processes.filter(line => line.includes('conmon '))),
  };
  for (const [kind, ids] of Object.entries(of)) {
    assert.deepEqual(
      [...ids].filter(id => !running.has(id)),
      [],
      `${when}: ${kind} of containers that do not run`,
    );
    if (kind !== 'bundles') assert.equal(ids.size, running.size, `${when}: ${kind} of containers that run`);
  }
  const stray = there.processes.filter(line => !line.includes('conmon ') && !isInRunning(line, running));
  assert.deepEqual(stray, [], `${when}: processes of containers that do not run`);
}

/** A process that has ended meanwhile is none. */
function isInRunning(line: string, running: ReadonlySet<string>): boolean {
  const [pid] = line.split(' ');
  try {
    const cgroup = readFileSync(`/proc/${pid}/cgroup`, 'utf8');
    // One that waits to be reaped is in no group any more.
    return [...running].some(id => cgroup.includes(id)) || identify(Number(pid)) === undefined;
  } catch {
    return true;
  }
}

/** The network pool removes what nobody uses; the test's simple one is told. */
async function unpinAll(directory: string): Promise<void> {
  const networks = new LoopbackNetworks(`${directory}/netns`);
  for (const file of readdirSync(`${directory}/netns`)) await networks.unpinNamespaces(file.split('.')[0] ?? '');
}
