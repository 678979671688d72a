/** How quickly containers start: our engine beside crun alone, in one run. Usage, as root: `.bin/node bench/engine.ts [--runtime runc] [-o json]` */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { silentLog } from '#base/log.ts';
import { applyMachine, type LocalEngine, openEngine, removeInstance } from '#engine/index.ts';
import { BusyboxImages } from '#engine/testing.ts';
import { KernelChangeJournal } from '#linux/kernel-changes.ts';
import { PooledNetworks } from './subject/pooled-networks.ts';

const run = promisify(execFile);
const RUNS = 60;
const AT_ONCE = 50;
const WIDTH = 8;

const runtime = process.argv.includes('runc') ? 'runc' : 'crun';
const instance = `enginebench-${process.pid}`;
const directory = mkdtempSync(join(tmpdir(), `${instance}-`));
const dirs = { dataDir: `${directory}/data`, runDir: `${directory}/run` };
const kernel = new KernelChangeJournal({ holder: instance });
const networks = new PooledNetworks(`${directory}/netns`);
try {
  await applyMachine(kernel);
  await using engine = await openEngine({
    ...dirs,
    instance,
    runtime,
    images: new BusyboxImages(`${directory}/image`),
    networks,
    log: silentLog,
  });
  await cycle(engine);
  const steps: Record<string, number[]> = {};
  for (let i = 0; i < RUNS; i++) {
    await networks.fill(1);
    for (const [step, ms] of Object.entries(await cycle(engine))) steps[step] = [...(steps[step] ?? []), ms];
  }
  await networks.fill(AT_ONCE);
  const begun = performance.now();
  let started = 0;
  await Promise.all(
    Array.from({ length: WIDTH }, async () => {
      while (started++ < AT_ONCE) await start(engine);
    }),
  );
  const perSecond = (AT_ONCE * 1000) / (performance.now() - begun);
  for (const { id } of engine.sandboxes()) await engine.removeSandbox(id);
  const alone = await runtimeAlone();
  report({ steps, perSecond, alone });
} finally {
  await networks.drain();
  await removeInstance({ instance, ...dirs });
  await kernel.undoAll();
  rmSync(directory, { recursive: true, force: true });
}

async function start(engine: LocalEngine): Promise<{ sandboxId: string; laps: Record<string, number> }> {
  const laps: Record<string, number> = {};
  let last = performance.now();
  const first = last;
  const lap = (name: string) => {
    const now = performance.now();
    laps[name] = now - last;
    last = now;
  };
  const sandbox = await engine.createSandbox({
    owner: 'node',
    metadata: { name: 'bench', namespace: 'bench', uid: 'u', attempt: 0 },
    network: 'pod',
  });
  lap('create sandbox');
  const container = await engine.createContainer({
    sandboxId: sandbox.id,
    metadata: { name: 'main', attempt: 0 },
    image: 'busybox',
    command: ['sleep', '1000'],
    resources: { memoryLimitBytes: 128 << 20, cpuShares: 256, cpuQuotaUs: 50_000, cpuPeriodUs: 100_000, pidsLimit: 1024 },
  });
  lap('create container');
  await engine.startContainer(container.id);
  lap('start container');
  laps['sandbox to started'] = last - first;
  return { sandboxId: sandbox.id, laps };
}

async function cycle(engine: LocalEngine): Promise<Record<string, number>> {
  const { sandboxId, laps } = await start(engine);
  const begun = performance.now();
  await engine.removeSandbox(sandboxId);
  laps['stop and remove'] = performance.now() - begun;
  return laps;
}

/** `crun run` of `true` with a prepared bundle and no monitor, network, log, or limits: the floor. */
async function runtimeAlone(): Promise<number[]> {
  const bundle = `${directory}/bundle`;
  mkdirSync(bundle);
  const namespaces = ['pid', 'ipc', 'uts', 'mount', 'network'].map(type => ({ type }));
  writeFileSync(
    `${bundle}/config.json`,
    JSON.stringify({
      ociVersion: '1.0.2',
      root: { path: `${directory}/image` },
      process: { cwd: '/', user: { uid: 0, gid: 0 }, env: ['PATH=/bin'], args: ['/bin/true'] },
      mounts: [
        { destination: '/proc', type: 'proc', source: 'proc' },
        { destination: '/dev', type: 'tmpfs', source: 'tmpfs' },
      ],
      linux: { cgroupsPath: `/${instance}/alone`, namespaces },
    }),
  );
  mkdirSync(`${directory}/image/dev`, { recursive: true });
  mkdirSync(`${directory}/image/proc`, { recursive: true });
  const times: number[] = [];
  for (let i = 0; i < RUNS; i++) {
    const begun = performance.now();
    await run(runtime, ['--root', `${directory}/alone`, 'run', '-b', bundle, `alone-${process.pid}-${i}`]);
    times.push(performance.now() - begun);
  }
  return times;
}

function report({ steps, perSecond, alone }: { steps: Record<string, number[]>; perSecond: number; alone: number[] }): void {
  const rows = Object.entries({ ...steps, [`${runtime} alone`]: alone }).map(([what, times]) => ({
    what,
    p50: quantile(times, 0.5),
    p99: quantile(times, 0.99),
    ratio: quantile(times, 0.5) / quantile(alone, 0.5),
  }));
  if (process.argv.includes('json')) return void console.log(JSON.stringify({ rows, perSecond }));
  for (const { what, p50, p99, ratio } of rows)
    console.log(
      `${what.padEnd(20)} p50 ${p50.toFixed(1).padStart(6)} ms  p99 ${p99.toFixed(1).padStart(6)} ms  ${ratio.toFixed(2)} × ${runtime} alone`,
    );
  console.log(`${AT_ONCE} at ${WIDTH} at a time: ${perSecond.toFixed(0)} a second`);
}

function quantile(times: readonly number[], share: number): number {
  const sorted = [...times].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!;
}
