import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { createLog } from '#base/log.ts';
import { KernelChangeJournal } from '#linux/kernel-changes.ts';
import { countResources, type Resources } from '#tests/resources.ts';
import type { Container, ContainerConfig, Sandbox, SandboxConfig } from './engine.ts';
import type { LocalEngine } from './local-engine.ts';
import { applyMachine } from './machine.ts';
import { type EngineOptions, openEngine } from './open-engine.ts';
import { removeInstance } from './remove-instance.ts';
import { BusyboxImages, LoopbackNetworks } from './testing.ts';

const WAIT_MS = 20_000;

/** For tests: an engine of its own with busybox, and the few words that most tests of it are made of. */
export class EngineBench implements AsyncDisposable {
  readonly directory: string;
  readonly #runtime: 'crun' | 'runc';
  readonly #options: Partial<EngineOptions>;
  readonly #instance: string;
  readonly #kernel: KernelChangeJournal;
  #engine: LocalEngine | undefined;

  constructor(name: string, runtime: 'crun' | 'runc', options: Partial<EngineOptions> = {}) {
    this.#options = options;
    this.#instance = `${name}-${runtime}-${process.pid}`;
    this.#runtime = runtime;
    this.directory = mkdtempSync(join(tmpdir(), `${this.#instance}-`));
    chmodSync(this.directory, 0o711);
    mkdirSync(`${this.directory}/closed`, { mode: 0o700 });
    this.#kernel = new KernelChangeJournal({ holder: this.#instance });
  }

  get engine(): LocalEngine {
    assert.ok(this.#engine, 'the bench is not open');
    return this.#engine;
  }

  /** Opens the engine, or closes it and opens it again, as a new process would. */
  async open(): Promise<void> {
    if (!this.#engine) await applyMachine(this.#kernel);
    await this.#engine?.[Symbol.asyncDispose]();
    this.#engine = await openEngine({
      ...this.#dirs,
      instance: this.#instance,
      runtime: this.#runtime,
      images: new BusyboxImages(`${this.directory}/image`),
      networks: new LoopbackNetworks(`${this.directory}/netns`),
      log: createLog({ level: 'warn' }),
      ...this.#options,
    });
  }

  sandbox(config: Partial<SandboxConfig> = {}): Promise<Sandbox> {
    const metadata = { name: 'pod', namespace: 'default', uid: 'u', attempt: 0 };
    return this.engine.createSandbox({ owner: 'node', metadata, network: 'pod', ...config });
  }

  async create(script: string, config: Partial<ContainerConfig> = {}, inside?: Sandbox): Promise<Container> {
    const { id } = inside ?? (await this.sandbox());
    const metadata = { name: 'main', attempt: 0 };
    return this.engine.createContainer({ sandboxId: id, metadata, image: 'busybox', command: ['sh', '-c', script], ...config });
  }

  async start(script: string, config: Partial<ContainerConfig> = {}, inside?: Sandbox): Promise<Container> {
    return this.engine.startContainer((await this.create(script, config, inside)).id);
  }

  /** What a script said and how it ended. */
  async run(
    script: string,
    config: Partial<ContainerConfig> = {},
    inside?: Sandbox,
  ): Promise<{ container: Container; output: string; sandbox: string }> {
    const { id, config: made } = await this.start(script, config, inside);
    const container = await this.exited(id);
    return { container, output: await text(this.engine.logs(id)), sandbox: made.sandboxId };
  }

  async exited(id: string): Promise<Container> {
    const { promise, resolve, reject } = Promise.withResolvers<Container>();
    using _ = this.engine.subscribe(event => {
      if (event.type === 'container' && event.action === 'exited' && event.container.id === id) resolve(event.container);
    });
    const now = this.engine.container(id);
    if (now?.state === 'exited') return now;
    const timer = setTimeout(() => reject(new Error(`container ${id} did not end`)), WAIT_MS);
    return await promise.finally(() => clearTimeout(timer));
  }

  /** Removes all sandboxes. */
  async clear(): Promise<void> {
    for (const { id } of this.engine.sandboxes()) await this.engine.removeSandbox(id);
  }

  resources(): Resources {
    return countResources({ instance: this.#instance, directories: [this.directory] });
  }

  /** What lies on the disk is closed to everybody else, as a careful machine's is. */
  get #dirs() {
    return { dataDir: `${this.directory}/closed/data`, runDir: `${this.directory}/run` };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#engine) await this.clear();
    await this.#engine?.[Symbol.asyncDispose]();
    await removeInstance({ instance: this.#instance, ...this.#dirs });
    await this.#kernel.undoAll();
    rmSync(this.directory, { recursive: true });
  }
}
