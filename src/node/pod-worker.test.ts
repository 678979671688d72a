import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { ManualClock, silentLog, UmiakError } from '#base/index.ts';
import type { Container, ContainerConfig, Sandbox, SandboxConfig } from '#engine/engine.ts';
import type { Pod } from '#kinds/pod.ts';
import { type ContainerSpec, ImageError, type PreparedVolume, type ProbeKind } from './parts.ts';
import { PodWorker, type PodWorkerParts } from './pod-worker.ts';
import { SandboxPlanner } from './sandbox-config.ts';
import { podOf } from './testing.ts';

type Status = NonNullable<Pod['status']>;
type Planned = Parameters<PodWorkerParts['planner']['plan']>[0];

/** A test double that keeps the engine's rules on records and runs nothing; a script ends containers. */
class ScriptedEngine {
  readonly clock: ManualClock;
  readonly calls: string[] = [];
  readonly #sandboxes = new Map<string, Sandbox>();
  readonly #containers = new Map<string, Container>();
  /** What fails next, by call. */
  failing: Record<string, UmiakError | undefined> = {};
  /** Containers by name that do not end when they are asked to. */
  readonly stubborn = new Set<string>();
  #next = 0;

  constructor(clock: ManualClock) {
    this.clock = clock;
  }

  #call(name: string, what: string): void {
    this.calls.push(`${name} ${what}`);
    const error = this.failing[name];
    delete this.failing[name];
    if (error) throw error;
  }

  async createSandbox(config: SandboxConfig): Promise<Sandbox> {
    this.#call('createSandbox', String(config.metadata.attempt));
    const sandbox: Sandbox = {
      id: `s${config.metadata.attempt}`,
      config,
      state: 'ready',
      createdAtMs: this.clock.now(),
      address: '10.42.0.2',
    };
    this.#sandboxes.set(sandbox.id, sandbox);
    return sandbox;
  }

  async stopSandbox(id: string): Promise<void> {
    this.#call('stopSandbox', id);
    for (const each of this.containers({ sandboxId: id })) this.end(each.config.metadata.name, 137);
    const sandbox = this.#sandboxes.get(id);
    if (sandbox) this.#sandboxes.set(id, { ...sandbox, state: 'notready' });
  }

  async removeSandbox(id: string): Promise<void> {
    this.#call('removeSandbox', id);
    for (const each of this.containers({ sandboxId: id })) this.#containers.delete(each.id);
    this.#sandboxes.delete(id);
  }

  sandboxes = () => [...this.#sandboxes.values()];
  sandbox = (id: string) => this.#sandboxes.get(id);
  container = (id: string) => this.#containers.get(id);
  containers = ({ sandboxId }: { sandboxId?: string } = {}) =>
    [...this.#containers.values()].filter(({ config }) => sandboxId === undefined || config.sandboxId === sandboxId);

  async createContainer(config: ContainerConfig): Promise<Container> {
    const { name, attempt } = config.metadata;
    this.#call('createContainer', `${name}/${attempt}`);
    const id = `${name}-${attempt}-${this.#next++}`;
    const made: Container = {
      id,
      owner: 'node',
      config,
      imageId: 'sha256:i',
      imageRef: 'i',
      state: 'created',
      createdAtMs: this.clock.now(),
    };
    this.#containers.set(id, made);
    return made;
  }

  async startContainer(id: string): Promise<Container> {
    const container = this.#need(id);
    try {
      this.#call('startContainer', container.config.metadata.name);
    } catch (error) {
      this.#containers.set(id, { ...container, state: 'exited', exitCode: 128, reason: 'StartError', finishedAtMs: this.clock.now() });
      throw error;
    }
    return this.#put({ ...container, state: 'running', startedAtMs: this.clock.now() });
  }

  async stopContainer(id: string, { graceMs }: { graceMs: number }): Promise<Container> {
    const { config, state } = this.#need(id);
    this.#call('stopContainer', `${config.metadata.name} ${graceMs}`);
    if (state === 'running' && this.stubborn.has(config.metadata.name))
      await new Promise<void>(resolve => this.clock.after(graceMs, resolve));
    this.end(config.metadata.name, this.stubborn.has(config.metadata.name) ? 137 : 0);
    return this.#need(id);
  }

  async removeContainer(id: string): Promise<void> {
    this.#call('removeContainer', id);
    this.#containers.delete(id);
  }

  /** A running container ends by itself. */
  end(name: string, exitCode: number): void {
    for (const each of this.#containers.values())
      if (each.config.metadata.name === name && each.state === 'running')
        this.#put({ ...each, state: 'exited', exitCode, reason: exitCode ? 'Error' : 'Completed', finishedAtMs: this.clock.now() });
  }

  /** As after a boot: everything has ended, no sandbox is ready. */
  reboot(): void {
    for (const each of this.#containers.values()) this.end(each.config.metadata.name, 137);
    for (const sandbox of this.#sandboxes.values()) this.#sandboxes.set(sandbox.id, { ...sandbox, state: 'notready' });
  }

  #need(id: string): Container {
    const container = this.#containers.get(id);
    if (!container) throw new UmiakError('NotFound', `there is no container ${id}`);
    return container;
  }

  #put(container: Container): Container {
    this.#containers.set(container.id, container);
    return container;
  }
}

let clock: ManualClock;
let engine: ScriptedEngine;
let events: string[];
let verdicts: Map<string, boolean | undefined>;
let released: number;
let status: Status | undefined;
let parts: PodWorkerParts;
let volumes: { prepare: () => Promise<Map<string, PreparedVolume>> };
let images: { ensure: (pod: Pod, container: ContainerSpec, signal?: AbortSignal) => Promise<{ imageId: string; pulled: boolean }> };
let hooks: { log: string[]; preStop?: Promise<void>; postStart?: () => Promise<void> };

beforeEach(() => {
  clock = new ManualClock();
  engine = new ScriptedEngine(clock);
  events = [];
  verdicts = new Map();
  released = 0;
  status = undefined;
  hooks = { log: [] };
  volumes = { prepare: async () => new Map() };
  images = { ensure: async () => ({ imageId: 'sha256:i', pulled: false }) };
  const dns = { servers: [], searches: [], options: [] };
  parts = {
    engine,
    volumes: { prepare: () => volumes.prepare(), release: async () => void released++ },
    planner: {
      plan: async ({ container, sandbox, attempt }: Planned) => ({
        sandboxId: sandbox.id,
        metadata: { name: container.name, attempt },
        image: 'i',
      }),
      resources: () => ({}),
    },
    runtimeOf: async () => undefined,
    sandboxes: new SandboxPlanner({ clusterDns: '', clusterDomain: 'c', hostDns: dns, podLogDirectory: '/nonexistent/umiak-test' }),
    prober: {
      watch: () => {},
      forget: () => {},
      verdict: (id: string, kind: ProbeKind) => {
        const name = engine.container(id)?.config.metadata.name ?? '';
        return verdicts.has(`${name}/${kind}`) ? verdicts.get(`${name}/${kind}`) : true;
      },
    },
    images: { ensure: (pod: Pod, container: ContainerSpec, signal?: AbortSignal) => images.ensure(pod, container, signal) },
    statuses: { put: (_: Pod, next: Status) => void told(next), said: () => status, settled: async () => {} },
    events: {
      normal: (_: unknown, reason: string, message: string) => void events.push(`${reason}: ${message}`),
      warning: (_: unknown, reason: string, message: string) => void events.push(`${reason}: ${message}`),
    },
    hooks: {
      postStart: async (_pod: Pod, container: ContainerSpec) => {
        hooks.log.push(`postStart ${container.name}`);
        await hooks.postStart?.();
      },
      preStop: async (_pod: Pod, container: ContainerSpec) => {
        hooks.log.push(`preStop ${container.name}`);
        await hooks.preStop;
        return {};
      },
      terminationMessage: async () => undefined,
    },
    hostAddress: '192.0.2.1',
    clock,
    log: silentLog,
  } as unknown as PodWorkerParts;
});

function told(next: Status): void {
  status = next;
}

/** The pod as the API would show it now. */
const shown = (pod: Pod): Pod => (status ? { ...pod, status } : pod);
const state = (name = 'main') =>
  [...(status?.containerStatuses ?? []), ...(status?.initContainerStatuses ?? [])].find(each => each.name === name)?.state;
const turns = async () => {
  for (let i = 0; i < 5; i++) await new Promise(setImmediate);
};
const names = (...all: string[]) => ({ containers: all.map(name => ({ name, image: 'i' })) });

describe('a pod’s life', () => {
  test('from nothing to Running in one sync', async () => {
    const worker = new PodWorker('uid-1', parts);
    assert.equal(await worker.sync(podOf(names('a', 'b'))), undefined);
    assert.deepEqual(engine.calls.slice(0, 1), ['createSandbox 0']);
    assert.equal(status?.phase, 'Running');
    assert.equal(status?.podIP, '10.42.0.2');
    assert.deepEqual(
      status?.conditions?.map(({ type, status: is }) => `${type}=${is}`),
      ['PodScheduled=True', 'PodReadyToStartContainers=True', 'Initialized=True', 'ContainersReady=True', 'Ready=True'],
    );
    assert.ok(events.includes('Started: Started container a'));
  });

  test('a crash is restarted at once, then with a growing back-off that is told', async () => {
    const worker = new PodWorker('uid-1', parts);
    const pod = podOf();
    await worker.sync(pod);
    engine.end('main', 1);
    await worker.sync(shown(pod));
    assert.ok(state()?.running);
    engine.end('main', 1);
    assert.equal(await worker.sync(shown(pod)), 10_000);
    assert.equal(state()?.waiting?.reason, 'CrashLoopBackOff');
    assert.equal(events.filter(event => event.startsWith('BackOff: Back-off restarting failed container main')).length, 1);
    clock.advance(10_000);
    await worker.sync(shown(pod));
    assert.ok(state()?.running);
    assert.equal(status?.containerStatuses?.[0]?.restartCount, 2);
    await worker.sync(shown(pod));
    assert.equal(engine.containers().length, 2, 'of the dead only the last is kept');
  });

  test('a worker that knows nothing goes on where the records stand', async () => {
    const pod = podOf();
    await new PodWorker('uid-1', parts).sync(pod);
    const before = engine.calls.length;
    await new PodWorker('uid-1', parts).sync(shown(pod));
    assert.equal(engine.calls.length, before);
    engine.reboot();
    await new PodWorker('uid-1', parts).sync(shown(pod));
    assert.ok(engine.calls.includes('createSandbox 1'));
    assert.ok(state()?.running);
  });

  test('a pod that has ended lets go of its sandbox and volumes', async () => {
    const worker = new PodWorker('uid-1', parts);
    const pod = podOf({ restartPolicy: 'Never' });
    await worker.sync(pod);
    engine.end('main', 3);
    await worker.sync(shown(pod));
    assert.equal(status?.phase, 'Failed');
    assert.equal(state()?.terminated?.exitCode, 3);
    assert.ok(engine.calls.includes('stopSandbox s0'));
    assert.equal(released, 1);
  });

  test('its end is told only when its sidecars have ended too', async () => {
    const worker = new PodWorker('uid-1', parts);
    const pod = podOf({ restartPolicy: 'Never', initContainers: [{ name: 'side', image: 'i', restartPolicy: 'Always' }] });
    await worker.sync(pod);
    await worker.sync(shown(pod));
    engine.stubborn.add('side');
    engine.end('main', 0);
    await worker.sync(shown(pod));
    assert.equal(status?.phase, 'Running');
    await turns();
    clock.advance(30_000);
    await turns();
    await worker.sync(shown(pod));
    assert.equal(status?.phase, 'Succeeded');
  });

  test('its deadline: failed, with the reason, once nothing runs', async () => {
    const worker = new PodWorker('uid-1', parts);
    const pod = podOf({ activeDeadlineSeconds: 60 });
    await worker.sync(pod);
    assert.equal(await worker.sync(shown(pod)), 60_000);
    clock.advance(60_000);
    await worker.sync(shown(pod));
    await turns();
    await worker.sync(shown(pod));
    assert.deepEqual([status?.phase, status?.reason], ['Failed', 'DeadlineExceeded']);
    assert.equal(state()?.terminated?.exitCode, 0);
  });
});

describe('what goes wrong', () => {
  test('an image: shown, told, tried again when the puller says', async () => {
    images.ensure = async () => {
      throw new ImageError('ImagePullBackOff', 'Back-off pulling image "i"', { retryInMs: 7_000 });
    };
    const worker = new PodWorker('uid-1', parts);
    assert.equal(await worker.sync(podOf()), 7_000);
    assert.equal(state()?.waiting?.reason, 'ImagePullBackOff');
    assert.equal(status?.phase, 'Pending');
    assert.ok(events.includes('Failed: Error: ImagePullBackOff'));
    images.ensure = async () => ({ imageId: 'sha256:i', pulled: true });
    await worker.sync(podOf());
    assert.ok(state()?.waiting, 'not before its time');
    worker.retryNow();
    await worker.sync(podOf());
    assert.ok(state()?.running);
  });

  test('a ConfigMap that is missing: CreateContainerConfigError', async () => {
    parts.planner.plan = () => Promise.reject(new UmiakError('NotFound', 'configmap "x" not found'));
    await new PodWorker('uid-1', parts).sync(podOf());
    assert.deepEqual(state()?.waiting, { reason: 'CreateContainerConfigError', message: 'configmap "x" not found' });
    assert.ok(events.includes('Failed: Error: configmap "x" not found'));
  });

  test('a volume: told once a try, the container waits', async () => {
    volumes.prepare = () => Promise.reject(new UmiakError('NotFound', 'MountVolume.SetUp failed for volume "v" : secret "s" not found'));
    const worker = new PodWorker('uid-1', parts);
    assert.equal(await worker.sync(podOf(names('a', 'b'))), 2_000);
    await worker.sync(podOf(names('a', 'b')));
    assert.equal(events.filter(event => event.startsWith('FailedMount')).length, 1);
    assert.equal(state('a')?.waiting?.reason, 'ContainerCreating');
    volumes.prepare = async () => new Map();
    worker.retryNow();
    await worker.sync(podOf(names('a', 'b')));
    assert.ok(state('b')?.running);
  });

  test('a command that can’t run: the reason stands in its last state', async () => {
    engine.failing.startContainer = new UmiakError('Invalid', 'exec: "nope": not found');
    const worker = new PodWorker('uid-1', parts);
    await worker.sync(podOf());
    assert.deepEqual(state()?.waiting, { reason: 'RunContainerError', message: 'exec: "nope": not found' });
    assert.equal(status?.containerStatuses?.[0]?.lastState?.terminated?.reason, 'StartError');
  });

  test('a sandbox: told, and tried again later, not at once', async () => {
    engine.failing.createSandbox = new UmiakError('InternalError', 'no address is left');
    const worker = new PodWorker('uid-1', parts);
    assert.equal(await worker.sync(podOf()), 2_000);
    await worker.sync(podOf());
    assert.equal(engine.calls.length, 1);
    clock.advance(2_000);
    await worker.sync(podOf());
    assert.ok(state()?.running);
  });

  test('a liveness probe: killed with its own grace, in the background, restarted', async () => {
    const livenessProbe = { exec: { command: ['x'] }, terminationGracePeriodSeconds: 5 };
    const pod = podOf({ containers: [{ name: 'main', image: 'i', livenessProbe }] });
    const worker = new PodWorker('uid-1', parts);
    await worker.sync(pod);
    engine.stubborn.add('main');
    verdicts.set('main/liveness', false);
    await worker.sync(shown(pod));
    await worker.sync(shown(pod));
    assert.deepEqual(
      events.filter(event => event.startsWith('Killing')),
      ['Killing: Container main failed liveness probe, will be restarted'],
    );
    assert.equal(engine.calls.filter(call => call.startsWith('stopContainer')).join(), 'stopContainer main 5000');
    verdicts.clear();
    clock.advance(5_000);
    await turns();
    await worker.sync(shown(pod));
    assert.equal(status?.containerStatuses?.[0]?.restartCount, 1);
  });

  test('a container that can’t be stopped ends neither the process nor the tries', async () => {
    const pod = podOf();
    const worker = new PodWorker('uid-1', parts);
    await worker.sync(pod);
    verdicts.set('main/liveness', false);
    engine.failing.stopContainer = new UmiakError('InternalError', 'stuck');
    await worker.sync(shown(pod));
    await turns();
    await worker.sync(shown(pod));
    await turns();
    assert.equal(engine.calls.filter(call => call.startsWith('stopContainer')).length, 2);
    assert.equal(engine.containers()[0]?.state, 'exited');
  });

  test('a postStart hook: the container is killed', async () => {
    hooks.postStart = () => Promise.reject(new UmiakError('InternalError', 'it failed'));
    const lifecycle = { postStart: { exec: { command: ['x'] } } };
    await new PodWorker('uid-1', parts).sync(podOf({ containers: [{ name: 'main', image: 'i', lifecycle }] }));
    await turns();
    assert.ok(events.includes('FailedPostStartHook: it failed'));
    assert.equal(engine.containers()[0]?.state, 'exited');
  });
});

describe('the end', () => {
  const withHook = { lifecycle: { preStop: { sleep: { seconds: 5 } } } };

  test('containers within the grace, then sidecars in reverse order, then everything goes', async () => {
    const side = (name: string) => ({ name, image: 'i', restartPolicy: 'Always' });
    const pod = podOf({ ...names('main'), initContainers: [side('one'), side('two')] });
    const worker = new PodWorker('uid-1', parts);
    for (let i = 0; i < 3; i++) await worker.sync(shown(pod));
    await worker.terminate(shown(pod), 30_000);
    const stops = engine.calls.filter(call => call.startsWith('stopContainer')).map(call => call.split(' ')[1]);
    assert.deepEqual(stops, ['main', 'two', 'one']);
    assert.equal(status?.phase, 'Succeeded');
    assert.deepEqual([engine.sandboxes().length, released], [0, 1]);
  });

  test('a container that failed makes the pod Failed; one that never ran too', async () => {
    const pod = podOf();
    const worker = new PodWorker('uid-1', parts);
    await worker.sync(pod);
    engine.stubborn.add('main');
    const ending = worker.terminate(shown(pod), 1_000);
    await turns();
    clock.advance(1_000);
    await ending;
    assert.equal(status?.phase, 'Failed');
    assert.equal(state()?.terminated?.exitCode, 137);
    await new PodWorker('uid-1', parts).terminate(podOf(), 1_000);
    assert.equal(status?.phase, 'Failed');
  });

  test('preStop runs once, also when a second request is more impatient', async () => {
    const hook = Promise.withResolvers<void>();
    hooks.preStop = hook.promise;
    const pod = podOf({ containers: [{ name: 'main', image: 'i', ...withHook }] });
    const worker = new PodWorker('uid-1', parts);
    await worker.sync(pod);
    const patient = worker.terminate(shown(pod), 60_000);
    const impatient = worker.terminate(shown(pod), 1_000);
    await turns();
    clock.advance(1_000);
    await impatient;
    assert.deepEqual(hooks.log, ['preStop main']);
    assert.equal(
      engine.calls.find(call => call.startsWith('stopContainer')),
      'stopContainer main 2000',
    );
    hook.resolve();
    await patient;
  });

  test('a pull under way does not keep a pod from ending', async () => {
    let signal: AbortSignal | undefined;
    images.ensure = (_pod, _container, given) => {
      signal = given;
      return new Promise(() => {});
    };
    const worker = new PodWorker('uid-1', parts);
    const syncing = worker.sync(podOf());
    await turns();
    worker.abandon();
    assert.equal(await syncing, undefined);
    assert.equal(signal?.aborted, true);
    assert.equal(
      events.some(event => event.startsWith('Failed')),
      false,
    );
    await worker.terminate(podOf(), 1_000);
    assert.equal(engine.sandboxes().length, 0);
  });

  test('a second end of a pod that finalizers keep says the same as the first', async () => {
    const pod = podOf({ restartPolicy: 'Never' });
    const worker = new PodWorker('uid-1', parts);
    await worker.sync(pod);
    engine.end('main', 4);
    await worker.terminate(shown(pod), 1_000);
    const first = status;
    await worker.terminate(shown(pod), 1_000);
    assert.deepEqual(status?.containerStatuses, first?.containerStatuses);
    assert.equal(status?.phase, 'Failed');
  });
});
