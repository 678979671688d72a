import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { createLog, ManualClock, UmiakError } from '#base/index.ts';
import type { Container, EngineEvent } from '../engine.ts';
import { type Notes, type Supervised, Supervisor } from './supervisor.ts';

/** A face with one container, and an engine that only says what happened. */
class Scene implements AsyncDisposable {
  readonly clock = new ManualClock();
  readonly told: string[] = [];
  starts = 0;
  failsToStart = false;
  probe: () => Promise<{ exitCode: number; output: string }> = async () => ({ exitCode: 0, output: 'ok' });
  asks: Supervised;
  container: Container;
  supervisor: Supervisor;
  #listener: ((event: EngineEvent) => void) | undefined;

  constructor(asks: Partial<Supervised>) {
    this.asks = { policy: { policy: 'no' }, restartCount: 0, wasStopped: false, ...asks };
    const config = { sandboxId: 's', metadata: { name: 'c', attempt: 0 }, image: 'i' };
    this.container = { id: 'c', owner: 'docker', config, imageId: 'i', imageRef: 'i', state: 'created', createdAtMs: 0 };
    this.supervisor = this.open();
  }

  open(): Supervisor {
    const engine = {
      container: () => this.container,
      containers: () => [this.container],
      execSync: () => this.probe(),
      subscribe: (listener: (event: EngineEvent) => void) => {
        this.#listener = listener;
        return { [Symbol.dispose]: () => (this.#listener = undefined) };
      },
    };
    this.supervisor = new Supervisor({
      engine,
      read: () => this.asks,
      note: async (_, notes: Partial<Notes>) => {
        this.asks = { ...this.asks, ...notes };
      },
      start: async () => {
        this.starts++;
        if (this.failsToStart) throw new UmiakError('InternalError', 'no');
        this.begins();
      },
      onHealth: (_, { status }) => void this.told.push(status),
      clock: this.clock,
      log: createLog({ write: () => {} }),
    });
    return this.supervisor;
  }

  begins(): void {
    this.container = { ...this.container, state: 'running', startedAtMs: this.clock.now() };
    this.#listener?.({ type: 'container', action: 'started', container: this.container });
  }

  async ends(exitCode: number): Promise<void> {
    this.container = { ...this.container, state: 'exited', exitCode, finishedAtMs: this.clock.now() };
    this.#listener?.({ type: 'container', action: 'exited', container: this.container });
    await turn();
  }

  async passes(ms: number): Promise<void> {
    this.clock.advance(ms);
    await turn();
  }

  get isRestarting(): boolean {
    return this.supervisor.isRestarting(this.container);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.supervisor[Symbol.asyncDispose]();
  }
}

describe('Supervisor: restarts', () => {
  it('waits longer after each bad run, and counts', async () => {
    await using scene = new Scene({ policy: { policy: 'always' } });
    scene.begins();
    for (const wait of [100, 200, 400]) {
      await scene.ends(1);
      assert.ok(scene.isRestarting);
      const { starts } = scene;
      await scene.passes(wait - 1);
      assert.equal(scene.starts, starts);
      await scene.passes(1);
      assert.equal(scene.starts, starts + 1);
      assert.ok(!scene.isRestarting);
    }
    assert.equal(scene.asks.restartCount, 3);
  });

  it('ends when a person stops it, also while it waits', async () => {
    await using scene = new Scene({ policy: { policy: 'always' } });
    scene.begins();
    await scene.ends(1);
    await scene.supervisor.stopping(scene.container);
    await scene.passes(60_000);
    assert.equal(scene.starts, 0);
    assert.ok(scene.asks.wasStopped && !scene.isRestarting);
  });

  it('on-failure ends after its maximum; a person who starts it begins anew', async () => {
    await using scene = new Scene({ policy: { policy: 'on-failure', maximumRetries: 1 } });
    scene.begins();
    await scene.ends(1);
    await scene.passes(100);
    await scene.ends(1);
    await scene.passes(60_000);
    assert.deepEqual([scene.starts, scene.isRestarting], [1, false]);
    await scene.supervisor.starting(scene.container);
    assert.equal(scene.asks.restartCount, 0);
    scene.begins();
    await scene.ends(1);
    await scene.passes(100);
    assert.equal(scene.starts, 2);
  });

  it('a start that fails is a bad run', async () => {
    await using scene = new Scene({ policy: { policy: 'always' } });
    scene.begins();
    scene.failsToStart = true;
    await scene.ends(1);
    await scene.passes(100);
    scene.failsToStart = false;
    await scene.passes(199);
    assert.equal(scene.starts, 1);
    await scene.passes(1);
    assert.equal(scene.container.state, 'running');
  });

  it('a new agent starts what another one left waiting, not what a person stopped', async () => {
    await using scene = new Scene({ policy: { policy: 'unless-stopped' } });
    scene.begins();
    await scene.ends(1);
    await scene.supervisor[Symbol.asyncDispose]();
    await scene.passes(60_000);
    assert.equal(scene.starts, 0);
    await scene.open().resume();
    assert.equal(scene.starts, 1);
    await scene.supervisor.stopping(scene.container);
    await scene.ends(137);
    await scene.supervisor[Symbol.asyncDispose]();
    await scene.open().resume();
    assert.equal(scene.starts, 1);
  });

  it('a policy that changes later starts nothing by itself, and ends what waits', async () => {
    await using scene = new Scene({});
    scene.begins();
    await scene.ends(1);
    scene.asks = { ...scene.asks, policy: { policy: 'always' } };
    assert.ok(!scene.isRestarting);
    scene.begins();
    await scene.ends(1);
    assert.ok(scene.isRestarting);
    scene.asks = { ...scene.asks, policy: { policy: 'no' } };
    scene.supervisor.changed(scene.container);
    await scene.passes(60_000);
    assert.deepEqual([scene.starts, scene.isRestarting], [0, false]);
  });

  it('what a person stops while a new agent starts others stays stopped', async () => {
    await using scene = new Scene({ policy: { policy: 'always' } });
    scene.begins();
    await scene.ends(1);
    await scene.supervisor[Symbol.asyncDispose]();
    const resumed = scene.open().resume();
    assert.ok(scene.isRestarting);
    await scene.supervisor.stopping(scene.container);
    await resumed;
    assert.deepEqual([scene.starts, scene.asks.wasStopped], [0, true]);
  });

  it('one that never ran does not come', async () => {
    await using scene = new Scene({ policy: { policy: 'always' } });
    await scene.supervisor.resume();
    assert.equal(scene.starts, 0);
  });
});

describe('Supervisor: health', () => {
  const check = { test: ['CMD', 'probe'], intervalMs: 1_000, retries: 2 };
  const healthOf = ({ supervisor, container }: Scene) => supervisor.healthOf(container);

  it('starting, healthy, unhealthy, told once each; over with the run', async () => {
    await using scene = new Scene({ check });
    assert.equal(healthOf(scene), undefined);
    scene.begins();
    assert.equal(healthOf(scene)?.status, 'starting');
    await scene.passes(1_000);
    assert.equal(healthOf(scene)?.status, 'healthy');
    scene.probe = async () => ({ exitCode: 1, output: 'bad' });
    await scene.passes(1_000);
    assert.deepEqual([healthOf(scene)?.status, healthOf(scene)?.failingStreak], ['healthy', 1]);
    await scene.passes(1_000);
    await scene.passes(1_000);
    assert.deepEqual([healthOf(scene)?.status, healthOf(scene)?.failingStreak], ['unhealthy', 3]);
    assert.deepEqual(scene.told, ['healthy', 'unhealthy']);
    let probes = 0;
    scene.probe = async () => ({ exitCode: probes++, output: '' });
    await scene.ends(0);
    await scene.passes(10_000);
    assert.equal(probes, 0);
    assert.equal(healthOf(scene)?.status, 'unhealthy');
  });

  it('what is paused is not asked', async () => {
    await using scene = new Scene({ check });
    scene.begins();
    scene.container = { ...scene.container, isPaused: true };
    await scene.passes(5_000);
    assert.equal(healthOf(scene)?.log.length, 0);
    delete scene.container.isPaused;
    await scene.passes(1_000);
    assert.equal(healthOf(scene)?.status, 'healthy');
  });

  it('the next probe waits for the one before', async () => {
    await using scene = new Scene({ check });
    const { promise, resolve } = Promise.withResolvers<{ exitCode: number; output: string }>();
    let probes = 0;
    scene.probe = () => {
      probes++;
      return promise;
    };
    scene.begins();
    await scene.passes(5_000);
    assert.equal(probes, 1);
    resolve({ exitCode: 0, output: '' });
    await turn();
    await scene.passes(1_000);
    assert.equal(probes, 2);
  });

  it('long output is cut, a late probe has failed', async () => {
    await using scene = new Scene({ check: { ...check, timeoutMs: 2_000 } });
    scene.probe = async () => ({ exitCode: 0, output: 'x'.repeat(4_097) });
    scene.begins();
    await scene.passes(1_000);
    assert.equal(healthOf(scene)?.log[0]?.output, `${'x'.repeat(4_096)}...`);
    scene.probe = async () => {
      throw new UmiakError('Timeout', 'late');
    };
    await scene.passes(1_000);
    const { exitCode, output } = healthOf(scene)?.log[1] ?? {};
    assert.deepEqual({ exitCode, output }, { exitCode: -1, output: 'Health check exceeded timeout (2s)' });
  });

  it('a new agent goes on with what was found of the same run', async () => {
    await using scene = new Scene({ check });
    scene.begins();
    await scene.passes(1_000);
    await scene.supervisor[Symbol.asyncDispose]();
    await scene.open().resume();
    assert.equal(healthOf(scene)?.status, 'healthy');
    assert.deepEqual(scene.told, ['healthy']);
  });
});
