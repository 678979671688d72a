/**
 * What many running containers cost: a start beside 250 of them against one beside none, memory of each with its monitor, an engine opened over all,
 * all of their statistics. Usage, as root: `.bin/node --expose-gc bench/running.ts`
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLog } from '#base/log.ts';
import { applyMachine, type LocalEngine, openEngine, removeInstance } from '#engine/index.ts';
import { BusyboxImages } from '#engine/testing.ts';
import { findProcesses } from '#engine/world.ts';
import { KernelChangeJournal } from '#linux/kernel-changes.ts';
import { PooledNetworks } from './subject/pooled-networks.ts';
import { quantile, report } from './table.ts';

const RUNNING = 250;
const CYCLES = 60;
const BATCH = 50;
const AT_ONCE = 8;

const instance = `runbench${process.pid}`;
const directory = mkdtempSync(join(tmpdir(), `${instance}-`));
const dirs = { dataDir: `${directory}/data`, runDir: `${directory}/run` };
const kernel = new KernelChangeJournal({ holder: instance });
const networks = new PooledNetworks(`${directory}/netns`);
const images = new BusyboxImages(`${directory}/image`);
const open = () => openEngine({ ...dirs, instance, images, networks, log: silentLog });

await applyMachine(kernel);
let engine = await open();
try {
  await cycles(5);
  const alone = await cycles(CYCLES);
  report({
    what: 'engine: request to running process with conmon, p50',
    unit: 'ms',
    better: 'less',
    target: 20,
    ours: quantile(alone, 0.5),
  });
  report({
    what: 'engine: request to running process with conmon, p99',
    unit: 'ms',
    better: 'less',
    target: 32,
    ours: quantile(alone, 0.99),
  });
  const perSecond = await startMany(BATCH);
  report({ what: `${BATCH} starts, ${AT_ONCE} at a time`, unit: '/s', better: 'more', target: 60, ours: perSecond });
  for (const { id } of engine.sandboxes()) await engine.removeSandbox(id);
  const before = residentMb();
  await startMany(RUNNING);
  const monitors = findProcesses(`${dirs.runDir}/engine/bundles/`);
  const ofMonitors = monitors.reduce((sum, { pid }) => sum + proportionalMb(pid), 0);
  const each = (residentMb() - before + ofMonitors) / RUNNING;
  report({ what: `memory of a running container, monitor included, of ${RUNNING}`, unit: 'MB', better: 'less', target: 2.5, ours: each });
  const beside = await cycles(CYCLES);
  const ratio = quantile(beside, 0.5) / quantile(alone, 0.5);
  report({ what: `start with ${RUNNING} running, of one with none, p50`, unit: '×', better: 'less', target: 1.5, ours: ratio });
  const asked = performance.now();
  await Promise.all(engine.containers().map(({ id }) => engine.stats(id)));
  report({ what: `statistics of ${RUNNING} containers`, unit: 'ms', better: 'less', ours: performance.now() - asked });
  await engine[Symbol.asyncDispose]();
  const opened = performance.now();
  engine = await open();
  report({
    what: `engine opened over ${RUNNING} running containers`,
    unit: 's',
    better: 'less',
    target: 1.5,
    ours: (performance.now() - opened) / 1000,
  });
} finally {
  await engine[Symbol.asyncDispose]();
  await networks.drain();
  await removeInstance({ instance, ...dirs });
  for (const id of [...networks.inUse]) await networks.unpinNamespaces(id);
  await kernel.undoAll();
  rmSync(directory, { recursive: true, force: true });
}

/** Starts and removes one after another; how long each start took. */
async function cycles(count: number): Promise<number[]> {
  const times: number[] = [];
  for (let i = 0; i < count; i++) {
    await networks.fill(1);
    const began = performance.now();
    const id = await start(engine);
    times.push(performance.now() - began);
    await engine.removeSandbox(id);
  }
  return times;
}

/** How many a second. */
async function startMany(count: number): Promise<number> {
  await networks.fill(count);
  const began = performance.now();
  let started = 0;
  const worker = async () => {
    while (started++ < count) await start(engine);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return (count * 1000) / (performance.now() - began);
}

async function start(its: LocalEngine): Promise<string> {
  const metadata = { name: 'bench', namespace: 'bench', uid: 'u', attempt: 0 };
  const { id: sandboxId } = await its.createSandbox({ owner: 'node', metadata, network: 'pod' });
  const resources = { memoryLimitBytes: 128 << 20, cpuShares: 256, pidsLimit: 1024 };
  const what = { sandboxId, metadata: { name: 'main', attempt: 0 }, image: 'busybox', command: ['sleep', '1000'], resources };
  await its.startContainer((await its.createContainer(what)).id);
  return sandboxId;
}

function residentMb(): number {
  globalThis.gc?.();
  return process.memoryUsage.rss() / 2 ** 20;
}

function proportionalMb(pid: number): number {
  return Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1] ?? 0) / 1024;
}
