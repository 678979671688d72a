import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { systemClock } from '#base/clock.ts';
import { createLog } from '#base/log.ts';
import { unmountBelow } from '#linux/unmount-below.ts';
import type { Container, EngineEvent } from '../engine.ts';
import { EngineBench } from '../test-bench.ts';
import type { Health, HealthCheck } from './health-verdict.ts';
import type { RestartPolicy } from './restart-policy.ts';
import { type Notes, type Supervised, Supervisor } from './supervisor.ts';

const WAIT_MS = 20_000;

let bootId = 'first';
let bench: EngineBench;
let supervisor: Supervisor | undefined;
const told: [id: string, status: Health['status']][] = [];
const listeners = new Set<() => void>();

/** A new agent over what an earlier one left: the engine opens, the face's supervision takes over. */
async function openAgent(): Promise<Supervisor> {
  await supervisor?.[Symbol.asyncDispose]();
  await bench.open();
  const { engine } = bench;
  const made = new Supervisor({
    engine,
    read: ({ config }) => config.ownerData as Supervised | undefined,
    async note(id, notes: Partial<Notes>) {
      await engine.setOwnerData(id, { ...(engine.container(id)?.config.ownerData as Supervised), ...notes });
    },
    async start(id, isWanted) {
      if (!isWanted()) return;
      await engine.startSandbox(engine.container(id)?.config.sandboxId ?? '');
      await engine.startContainer(id);
    },
    onHealth({ id }, { status }) {
      told.push([id, status]);
      for (const listener of listeners) listener();
    },
    clock: systemClock,
    log: createLog({ level: 'error' }),
  });
  supervisor = made;
  await made.resume();
  return made;
}

before(async () => {
  bench = new EngineBench('supervision', 'crun', {
    get bootId() {
      return bootId;
    },
  });
  await openAgent();
});
after(async () => {
  await supervisor?.[Symbol.asyncDispose]();
  await bench[Symbol.asyncDispose]();
});

async function run(script: string, policy: RestartPolicy, check?: HealthCheck): Promise<Container> {
  const asks: Supervised = { policy, check, restartCount: 0, wasStopped: false };
  const sandbox = await bench.sandbox({ owner: 'docker', onDemand: true });
  await bench.engine.startSandbox(sandbox.id);
  return await bench.start(script, { ownerData: asks }, sandbox);
}

/** Resolves once it is so, looked at after each event. */
async function until(what: string, isSo: () => boolean): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const look = () => isSo() && resolve();
  using _ = bench.engine.subscribe((_: EngineEvent) => look());
  listeners.add(look);
  const timer = setTimeout(() => reject(new Error(`not within ${WAIT_MS} ms: ${what}`)), WAIT_MS);
  look();
  try {
    await promise;
  } finally {
    clearTimeout(timer);
    listeners.delete(look);
  }
}

const now = ({ id }: Container) => bench.engine.container(id) ?? assert.fail('it is gone');
const countOf = (container: Container) => (now(container).config.ownerData as Supervised).restartCount;
const isNewRun = (container: Container) => now(container).state === 'running' && now(container).startedAtMs !== container.startedAtMs;

describe('restarts of real containers', () => {
  it('on-failure: as often as it may, then no more', async () => {
    const container = await run('exit 3', { policy: 'on-failure', maximumRetries: 2 });
    await until(
      'its last end',
      () => countOf(container) === 2 && now(container).state === 'exited' && !supervisor?.isRestarting(now(container)),
    );
    assert.equal(now(container).exitCode, 3);
  });

  it('over an agent that ends: what ended meanwhile and what a person stopped', async () => {
    const always = await run('sleep 1000', { policy: 'always' });
    const stopped = await run('sleep 1000', { policy: 'unless-stopped' });
    await supervisor?.stopping(stopped);
    await bench.engine.stopContainer(stopped.id, { graceMs: 0 });
    await supervisor?.[Symbol.asyncDispose]();
    await bench.engine.killContainer(always.id, 'SIGKILL');
    await bench.exited(always.id);
    await openAgent();
    assert.ok(isNewRun(always));
    assert.equal(now(stopped).state, 'exited');
  });

  it('over a reboot, where nothing ended by itself', async () => {
    const container = await run('sleep 1000', { policy: 'unless-stopped' });
    const other = await run('sleep 1000', { policy: 'no' });
    await bench.engine.killContainer(container.id, 'SIGKILL');
    await bench.engine.killContainer(other.id, 'SIGKILL');
    bootId = 'second';
    unmountBelow(`${bench.directory}/netns`); // as a reboot does
    await openAgent();
    assert.ok(isNewRun(container));
    assert.equal(now(other).state, 'exited');
  });
});

describe('health of real containers', () => {
  it('starting, healthy, unhealthy; with a new agent too', async () => {
    const check = { test: ['CMD-SHELL', 'echo "it is $(cat /state)"; test -e /state'], intervalMs: 100, retries: 2 };
    const container = await run('sleep 0.2; echo well > /state; sleep 1000', { policy: 'no' }, check);
    const statusOf = () => supervisor?.healthOf(now(container))?.status;
    assert.equal(statusOf(), 'starting');
    await until('healthy', () => statusOf() === 'healthy');
    assert.equal(supervisor?.healthOf(now(container))?.log.at(-1)?.output, 'it is well\n');
    await openAgent();
    assert.equal(statusOf(), 'healthy');
    await bench.engine.execSync(container.id, { command: ['rm', '/state'], timeoutMs: WAIT_MS });
    await until('unhealthy', () => statusOf() === 'unhealthy');
    assert.deepEqual(
      told.filter(([id]) => id === container.id).map(([, status]) => status),
      ['healthy', 'unhealthy'],
    );
    await bench.engine.stopContainer(container.id, { graceMs: 0 });
    assert.equal(statusOf(), 'unhealthy');
  });

  it('a probe that does not end is killed, and has failed', async () => {
    const check = { test: ['CMD', 'sh', '-c', 'echo so far; sleep 1000'], intervalMs: 50, timeoutMs: 200, retries: 1 };
    const container = await run('sleep 1000', { policy: 'no' }, check);
    await until('unhealthy', () => supervisor?.healthOf(now(container))?.status === 'unhealthy');
    const { exitCode, output } = supervisor?.healthOf(now(container))?.log[0] ?? {};
    assert.deepEqual([exitCode, output], [-1, 'Health check exceeded timeout (200ms): so far\n']);
  });
});
