import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ManualClock, silentLog, UmiakError } from '#base/index.ts';
import type { Container, EngineEvent } from '#engine/engine.ts';
import type { Pod } from '#kinds/pod.ts';
import type { ContainerSpec, ProbeKind } from './parts.ts';
import { LocalProber } from './prober.ts';

type Probe = NonNullable<ContainerSpec['livenessProbe']>;

/** Time that counts itself: how many timers are set. */
class CountingClock extends ManualClock {
  readonly pending = new Set<Disposable>();

  override after(ms: number, run: () => void): Disposable {
    const timer = super.after(ms, () => {
      this.pending.delete(handle);
      run();
    });
    const handle = {
      [Symbol.dispose]: () => {
        timer[Symbol.dispose]();
        this.pending.delete(handle);
      },
    };
    this.pending.add(handle);
    return handle;
  }
}

/** A prober over containers that are said to run, whose exec probes end as told. */
class Stage implements AsyncDisposable {
  readonly clock = new CountingClock();
  readonly containers = new Map<string, Container>();
  readonly events: string[] = [];
  readonly verdicts: string[] = [];
  readonly commands: { id: string; command: string[]; timeoutMs: number; maxBytes?: number; atMs: number }[] = [];
  exec: (id: string) => Promise<{ exitCode: number; output: string }> = async () => ({ exitCode: 0, output: '' });
  readonly #listeners = new Set<(event: EngineEvent) => void>();
  readonly #began = this.clock.now();
  readonly prober = new LocalProber({
    engine: {
      container: id => this.containers.get(id),
      execSync: (id, options) => {
        this.commands.push({ id, ...options, atMs: this.clock.now() - this.#began });
        return this.exec(id);
      },
      subscribe: listener => {
        this.#listeners.add(listener);
        return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
      },
    },
    events: { warning: (about, reason, message) => void this.events.push(`${about.metadata.name} ${reason}: ${message}`) },
    onVerdict: uid => void this.verdicts.push(uid),
    clock: this.clock,
    log: silentLog,
    random: () => 0.5,
  });

  run(id: string, { startedAgoMs = 0 } = {}): Container {
    const startedAtMs = this.clock.now() - startedAgoMs;
    const config = { sandboxId: 's', metadata: { name: 'main', attempt: 0 }, image: 'i' };
    const container: Container = {
      id,
      owner: 'node',
      config,
      imageId: '',
      imageRef: '',
      state: 'running',
      createdAtMs: startedAtMs,
      startedAtMs,
    };
    this.containers.set(id, container);
    return container;
  }

  watch(id: string, probes: Partial<Record<ProbeKind, Probe>>, more: Partial<ContainerSpec> = {}, status?: Pod['status']): void {
    if (!this.containers.has(id)) this.run(id);
    const container: ContainerSpec = { name: 'main', ...more };
    for (const [kind, probe] of Object.entries(probes)) Object.assign(container, { [`${kind}Probe`]: probe });
    const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'web', uid: `uid-${id}` }, spec: { containers: [container] }, status };
    this.prober.watch({ pod: pod as unknown as Pod, container, containerId: id, address: '127.0.0.1' });
  }

  happen(action: 'exited' | 'removed', id: string): void {
    const container = { ...this.containers.get(id)!, state: 'exited' as const };
    if (action === 'removed') this.containers.delete(id);
    else this.containers.set(id, container);
    for (const listener of this.#listeners) listener({ type: 'container', action, container });
  }

  /** Lets time pass second by second, and what it sets off come to its end. */
  async pass(ms: number): Promise<void> {
    for (let left = ms; left >= 0; left -= 1000) {
      this.clock.advance(left === ms ? 0 : 1000);
      await sleep(0);
      await sleep(0);
    }
  }

  get listeners(): number {
    return this.#listeners.size;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.prober[Symbol.asyncDispose]();
  }
}

async function until(what: string, isTrue: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 10_000; !isTrue(); await sleep(1)) assert.ok(Date.now() < deadline, `waited in vain for ${what}`);
}

const exec = (more: Partial<Probe> = {}): Probe => ({ exec: { command: ['check'] }, ...more });
const fails = async () => ({ exitCode: 1, output: 'not well' });

describe('the prober', () => {
  let stage = new Stage();
  afterEach(async () => {
    await stage[Symbol.asyncDispose]();
    assert.equal(stage.clock.pending.size, 0, 'a timer was left');
    assert.equal(stage.listeners, 0);
    stage = new Stage();
  });
  const verdicts = (id: string) => (['startup', 'liveness', 'readiness'] as const).map(kind => stage.prober.verdict(id, kind));

  test('a container without probes is well and costs no timer', () => {
    stage.watch('a', {});
    assert.deepEqual(verdicts('a'), [true, true, true]);
    assert.equal(stage.clock.pending.size, 0);
  });

  test('ready once the first probe says so, which comes at once', async () => {
    stage.watch('a', { readiness: exec() });
    assert.deepEqual(verdicts('a'), [true, true, false]);
    await stage.pass(0);
    assert.deepEqual(verdicts('a'), [true, true, true]);
    assert.deepEqual(stage.verdicts, ['uid-a']);
    assert.deepEqual(stage.events, []);
  });

  test('initial delay and period', async () => {
    stage.watch('a', { readiness: exec({ initialDelaySeconds: 3, periodSeconds: 5 }) });
    await stage.pass(14_000);
    assert.deepEqual(
      stage.commands.map(({ atMs }) => atMs),
      [3000, 8000, 13_000],
    );
  });

  test('not ready after enough failures, each an event; ready again', async () => {
    stage.watch('a', { readiness: exec({ periodSeconds: 1, failureThreshold: 3 }) });
    await stage.pass(0);
    stage.exec = fails;
    await stage.pass(2000);
    assert.equal(stage.prober.verdict('a', 'readiness'), true);
    assert.equal(stage.prober.message('a', 'readiness'), undefined);
    await stage.pass(1000);
    assert.equal(stage.prober.verdict('a', 'readiness'), false);
    assert.equal(stage.prober.message('a', 'readiness'), 'not well');
    assert.deepEqual(stage.events, Array(3).fill('web Unhealthy: Readiness probe failed: not well'));
    stage.exec = async () => ({ exitCode: 0, output: '' });
    await stage.pass(1000);
    assert.equal(stage.prober.verdict('a', 'readiness'), true);
    assert.equal(stage.verdicts.length, 3, 'only changes are told');
  });

  test('startup comes first: the others wait for it and begin when it has passed', async () => {
    stage.exec = fails;
    const named = (name: string, more: Partial<Probe> = {}): Probe => ({ exec: { command: [name] }, periodSeconds: 1, ...more });
    stage.watch('a', { startup: named('startup', { failureThreshold: 9 }), liveness: named('liveness'), readiness: named('readiness') });
    assert.deepEqual(verdicts('a'), [undefined, true, false]);
    await stage.pass(2000);
    assert.deepEqual(
      stage.commands.map(({ command }) => command[0]),
      ['startup', 'startup', 'startup'],
    );
    stage.exec = async () => ({ exitCode: 0, output: '' });
    await stage.pass(1000);
    await stage.pass(0);
    assert.deepEqual(verdicts('a'), [true, true, true]);
    await stage.pass(1000);
    assert.deepEqual(new Set(stage.commands.slice(4).map(({ command }) => command[0])), new Set(['liveness', 'readiness']));
  });

  test('a startup or liveness probe that has failed asks no more', async () => {
    stage.exec = fails;
    stage.watch('a', { startup: exec({ periodSeconds: 1, failureThreshold: 2 }) });
    stage.watch('b', { liveness: exec({ periodSeconds: 1, failureThreshold: 2 }) });
    await stage.pass(5000);
    assert.equal(stage.prober.verdict('a', 'startup'), false);
    assert.equal(stage.prober.verdict('b', 'liveness'), false);
    assert.equal(stage.commands.length, 4);
    assert.equal(stage.clock.pending.size, 0);
  });

  test('exec: what is passed on, what a timeout and an engine that fails mean', async () => {
    stage.watch(
      'a',
      {
        liveness: exec({
          exec: { command: ['check', '$(MODE)', '$(NOT_SET)'] },
          timeoutSeconds: 7,
          periodSeconds: 10,
          failureThreshold: 1,
        }),
      },
      { env: [{ name: 'MODE', value: 'deep' }] },
    );
    stage.exec = async () => Promise.reject(new UmiakError('InternalError', 'no runtime'));
    await stage.pass(0);
    const { command, timeoutMs, maxBytes } = stage.commands[0]!;
    assert.deepEqual([command, timeoutMs, maxBytes], [['check', 'deep', '$(NOT_SET)'], 7000, 10_240]);
    assert.equal(stage.prober.verdict('a', 'liveness'), true, 'nothing was learned');
    assert.deepEqual(stage.events, ['web Unhealthy: Liveness probe errored and resulted in unknown state: no runtime']);
    stage.exec = async () => Promise.reject(new UmiakError('Timeout', 'killed'));
    await stage.pass(10_000);
    assert.equal(stage.prober.verdict('a', 'liveness'), false);
    assert.match(stage.prober.message('a', 'liveness') ?? '', /^command timed out: check .* after 7s$/);
  });

  test('a forgotten container has no timers, and keeps its last verdicts until it is removed', async () => {
    stage.exec = fails;
    stage.watch('a', { readiness: exec(), liveness: exec() });
    await stage.pass(0);
    stage.prober.forget('a');
    assert.equal(stage.clock.pending.size, 0);
    assert.equal(stage.prober.verdict('a', 'readiness'), false, 'ending does not make it ready');
    stage.happen('removed', 'a');
    assert.equal(stage.prober.verdict('a', 'readiness'), true);
  });

  test('a container that ends is left alone, even with a probe under way', async () => {
    const { promise, resolve } = Promise.withResolvers<{ exitCode: number; output: string }>();
    stage.exec = () => promise;
    stage.watch('a', { readiness: exec({ failureThreshold: 1 }) });
    await stage.pass(0);
    stage.happen('exited', 'a');
    resolve({ exitCode: 137, output: 'killed' });
    await stage.pass(20_000);
    assert.deepEqual([stage.commands.length, stage.events.length, stage.verdicts.length], [1, 0, 0]);
    stage.watch('a', { readiness: exec() });
    assert.equal(stage.clock.pending.size, 0, 'what does not run is not probed');
  });

  test('watching again changes nothing; one probe at a time however slow', async () => {
    const { promise, resolve } = Promise.withResolvers<{ exitCode: number; output: string }>();
    stage.exec = () => promise;
    for (let again = 0; again < 3; again++) stage.watch('a', { readiness: exec({ periodSeconds: 1, timeoutSeconds: 60 }) });
    await stage.pass(10_000);
    assert.equal(stage.commands.length, 1);
    resolve({ exitCode: 0, output: '' });
    await stage.pass(0);
    await stage.pass(0);
    assert.equal(stage.commands.length, 2, 'the next is overdue and comes at once');
  });

  test('taken over from an earlier agent: verdicts go on, probes are spread over the period', async () => {
    stage.run('a', { startedAgoMs: 60_000 });
    const status = { containerStatuses: [{ name: 'main', containerID: 'umiak://a', ready: true, started: true }] } as Pod['status'];
    stage.watch('a', { startup: exec(), readiness: exec({ periodSeconds: 8, initialDelaySeconds: 5 }) }, {}, status);
    assert.deepEqual(verdicts('a'), [true, true, true]);
    await stage.pass(5000);
    assert.deepEqual(
      stage.commands.map(({ atMs }) => atMs),
      [4000],
    );
    stage.run('b', { startedAgoMs: 60_000 });
    stage.watch('b', { readiness: exec({ initialDelaySeconds: 5 }) }, {}, status);
    assert.equal(stage.prober.verdict('b', 'readiness'), false, "another container's status says nothing");
    await stage.pass(0);
    assert.equal(stage.prober.verdict('b', 'readiness'), true, 'what is not ready is asked at once');
  });

  test('a hundred containers by HTTP: all ready, one sick one not; time is up by the clock', async () => {
    let hanging = 0;
    const server: Server = createServer((request, response) => {
      if (request.url === '/hang') hanging += 1;
      else response.writeHead(request.url === '/sick' ? 503 : 200).end();
    });
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
    try {
      const { port } = server.address() as AddressInfo;
      const web = (path: string): Probe => ({ httpGet: { path, port }, failureThreshold: 1, timeoutSeconds: 2 });
      for (let index = 0; index < 100; index++) stage.watch(`c${index}`, { readiness: web('/') });
      stage.watch('sick', { liveness: web('/sick') });
      stage.watch('slow', { liveness: web('/hang') });
      stage.clock.advance(0);
      await until('all verdicts', () => stage.verdicts.length === 101 && hanging === 1);
      for (let index = 0; index < 100; index++) assert.equal(stage.prober.verdict(`c${index}`, 'readiness'), true);
      assert.equal(stage.prober.verdict('slow', 'liveness'), true);
      stage.clock.advance(2000);
      await until('the slow one to fail', () => stage.prober.verdict('slow', 'liveness') === false);
      assert.deepEqual(stage.events.toSorted(), [
        `web Unhealthy: Liveness probe failed: Get "http://127.0.0.1:${port}/hang": context deadline exceeded (Client.Timeout exceeded while awaiting headers)`,
        'web Unhealthy: Liveness probe failed: HTTP probe failed with statuscode: 503',
      ]);
      assert.equal(stage.commands.length, 0);
    } finally {
      server.closeAllConnections();
      await new Promise(resolve => server.close(resolve));
    }
  });
});
