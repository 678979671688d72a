import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { UmiakError } from '#base/errors.ts';
import { createLog } from '#base/log.ts';
import type { Container, EngineEvent, LocalEngine } from '#engine/index.ts';
import type { DockerData, Networks, Volumes } from '../rooms.ts';
import { planConfig, planHostConfig } from './config.ts';
import { Containers } from './containers.ts';

const ID = 'a'.repeat(64);

function dataOf(change: Partial<DockerData> = {}, { AutoRemove = false } = {}): DockerData {
  const hostConfig = planHostConfig({ NetworkMode: 'none', AutoRemove }, { runtime: 'crun', cgroupns: 'private' });
  const config = planConfig({ Cmd: ['x'], Image: 'i' }, {}, ID);
  return { name: 'one', image: 'i', config, hostConfig, platform: 'linux', path: 'x', args: [], endpoints: {}, mounts: [], ...change };
}

/** An engine with one container that does not run; records are written a while after that is asked for. */
class OneContainer {
  readonly steps: string[] = [];
  /** Undefined once it is gone. */
  container: Container | undefined;
  tell: (event: EngineEvent) => void = () => {};

  constructor(ownerData: DockerData) {
    const config = { sandboxId: 's', metadata: { name: 'one', attempt: 0 }, image: 'i', ownerData };
    this.container = { id: ID, owner: 'docker', config, imageId: 'i', imageRef: 'i', state: 'exited', startedAtMs: 1, createdAtMs: 1 };
  }

  open(): Containers {
    const engine = {
      containers: () => (this.container ? [this.container] : []),
      container: (id: string) => (id === ID ? this.container : undefined),
      sandbox: () => undefined,
      sandboxes: () => [],
      subscribe: (tell: (event: EngineEvent) => void) => {
        this.tell = tell;
        return { [Symbol.dispose]() {} };
      },
      setSandboxFiles: async () => {},
      stopSandbox: async () => {},
      removeSandbox: async () => void this.steps.push('sandbox'),
      removeContainer: async () => {
        this.steps.push('container');
        this.remove();
      },
      setOwnerData: async (_id: string, ownerData: DockerData) => {
        await new Promise(setImmediate);
        if (!this.container) throw new UmiakError('NotFound', 'gone');
        this.steps.push(ownerData.isLeaving ? 'leaving' : 'change');
        this.container = { ...this.container, config: { ...this.container.config, ownerData } };
      },
    };
    const log = createLog({ level: 'error', write: () => {} });
    return new Containers({ engine: engine as unknown as LocalEngine, images: {} as never, events: { emit() {} }, log });
  }

  /** Somebody else removes it. */
  remove(): void {
    const { container } = this;
    this.container = undefined;
    if (container) this.tell({ type: 'container', action: 'removed', container });
  }

  rooms() {
    const volumes = { unmount: async () => {}, removed: async () => void this.steps.push('volumes') };
    return { networks: { disconnectAll: async () => {} } as unknown as Networks, volumes: volumes as unknown as Volumes };
  }
}

describe('containers', () => {
  it('keep all that is changed at once', async () => {
    const containers = new OneContainer(dataOf()).open();
    await Promise.all([
      containers.change(ID, data => ({ ...data, restartCount: 3 })),
      containers.change(ID, data => ({ ...data, wasStopped: true })),
      containers.change(ID, data => ({ ...data, name: 'two' })),
    ]);
    const { restartCount, wasStopped, name } = containers.find(ID).data;
    assert.deepEqual([restartCount, wasStopped, name], [3, true, 'two']);
  });

  it('leave no name behind when they go while they are renamed', async () => {
    const engine = new OneContainer(dataOf());
    const containers = engine.open();
    await containers.open(engine.rooms());
    const renaming = containers.rename('one', 'two');
    setImmediate(() => engine.remove());
    await assert.rejects(renaming, { reason: 'NotFound' });
    for (const name of ['one', 'two', ID]) assert.throws(() => containers.find(name), new RegExp(`No such container: ${name}`));
    engine.container = new OneContainer(dataOf()).container;
    await assert.rejects(containers.create({}, { name: 'one', apiMinor: 51 }), /no image was named/); // its name is free
  });

  it('that are renamed before they are told of leave no name behind', async () => {
    const engine = new OneContainer(dataOf());
    const { container } = engine;
    const containers = engine.open();
    await containers.open(engine.rooms());
    await containers.rename('one', 'two');
    if (container) engine.tell({ type: 'container', action: 'created', container });
    assert.equal(containers.find('two').id, ID);
    engine.remove();
    for (const name of ['one', 'two'])
      assert.throws(() => containers.find(name), { reason: 'NotFound', message: `No such container: ${name}` });
    assert.throws(() => containers.find(''), { reason: 'BadRequest', message: 'invalid name or ID supplied: ""' });
    for (const name of ['one', 'two']) await assert.rejects(containers.create({}, { name, apiMinor: 51 }), /no image was named/);
  });

  const point = { Type: 'volume' as const, Name: 'v', Source: '/v', Destination: '/d', Mode: '', RW: true, Propagation: '' };

  it('with --rm say so before their anonymous volumes go, and go last', async () => {
    const engine = new OneContainer(dataOf({ mounts: [{ point, isAnonymous: true }] }, { AutoRemove: true }));
    const containers = engine.open();
    await containers.open(engine.rooms());
    assert.deepEqual(engine.steps, ['leaving', 'volumes', 'container', 'sandbox']);
  });

  it('that were leaving when the agent was killed go at the next start', async () => {
    const data = dataOf({ mounts: [{ point, isAnonymous: true }], isLeaving: true });
    const engine = new OneContainer(data);
    const containers = engine.open();
    assert.deepEqual([...containers.users()], []); // the volume is nobody's any more
    await containers.open(engine.rooms());
    assert.deepEqual([engine.container, engine.steps.at(-1)], [undefined, 'sandbox']);
  });
});
