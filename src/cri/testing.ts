import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { newNameSuffix, silentLog, systemClock } from '#base/index.ts';
import type { LocalEngine } from '#engine/local-engine.ts';
import { openEngine } from '#engine/open-engine.ts';
import { removeInstance } from '#engine/remove-instance.ts';
import { LoopbackNetworks } from '#engine/testing.ts';
import { buildImage, buildLayout, buildTar } from '#images/fixtures.ts';
import type { ImageStore } from '#images/image-store.ts';
import { openImages } from '#images/images.ts';
import { Census } from '#tests/resources.ts';
import { GrpcClient } from '#wire/grpc/client.ts';
import type { CriContext } from './context.ts';
import { startCri } from './index.ts';
import { criSchema, IMAGE_SERVICE, RUNTIME_SERVICE } from './schema.ts';
import type { ContainerConfig, ImageService, PodSandboxConfig, RuntimeService } from './types.gen.ts';

const APPLETS =
  'sh cat echo sleep ls id env pwd true false kill ps mount hostname stat touch mkdir head tail seq grep test stty dd yes'.split(' ');

/** For tests: real images and a real engine behind a `cri.sock` of their own; loopback networks. */
export class CriBench implements AsyncDisposable {
  readonly directory = mkdtempSync(join(tmpdir(), 'umiak-cri-'));
  readonly instance = `cri${newNameSuffix(5)}`;
  readonly socketPath = join(this.directory, 'cri.sock');
  readonly runtime: GrpcClient<RuntimeService>;
  readonly imageService: GrpcClient<ImageService>;
  readonly #more: Partial<CriContext>;
  #stack = new AsyncDisposableStack();
  #engine: LocalEngine | undefined;
  #images: ImageStore | undefined;
  /** What is there without sandboxes. */
  #census: Census | undefined;

  private constructor(more: Partial<CriContext>) {
    this.#more = more;
    this.runtime = new GrpcClient<RuntimeService>({ schema: criSchema, service: RUNTIME_SERVICE, socketPath: this.socketPath });
    this.imageService = new GrpcClient<ImageService>({ schema: criSchema, service: IMAGE_SERVICE, socketPath: this.socketPath });
  }

  static async open(more: Partial<CriContext> = {}): Promise<CriBench> {
    const bench = new CriBench(more);
    try {
      await bench.start();
      await bench.#images?.load(bench.#writeBusybox());
      // The group of all sandboxes is made with the first container, and stays.
      const podSandboxId = await bench.sandbox();
      await bench.running(podSandboxId);
      await bench.runtime.call('RemovePodSandbox', { podSandboxId });
      bench.#census = new Census({ instance: bench.instance, directories: [bench.directory] }, { files: false, descriptors: false });
    } catch (error) {
      await bench[Symbol.asyncDispose]();
      throw error;
    }
    return bench;
  }

  get engine(): LocalEngine {
    return this.#engine!;
  }

  get images(): ImageStore {
    return this.#images!;
  }

  /** What an agent does when it starts, as far as CRI needs it. */
  async start(): Promise<void> {
    const stack = this.#stack;
    const [dataDir, runDir] = [join(this.directory, 'data'), join(this.directory, 'run')];
    const images = stack.use(
      await openImages({ dataDir, log: silentLog, isInUse: id => this.#engine?.usesImage(id) ?? true, workers: { workers: 1 } }),
    );
    this.#images = images;
    const source = {
      async resolve(reference: string) {
        const record = await images.inspect(reference);
        const lowerDirs = await images.ensureUnpacked(record.id);
        return { imageId: record.id, reference: record.repoTags[0] ?? record.id, config: record.config.config ?? {}, lowerDirs };
      },
    };
    const networks = new LoopbackNetworks(join(this.directory, 'pins'));
    this.#engine = stack.use(await openEngine({ dataDir, runDir, instance: this.instance, images: source, networks, log: silentLog }));
    stack.use(
      await startCri({
        socketPath: this.socketPath,
        engine: this.#engine,
        images,
        version: '0.0.0',
        scope: 'all',
        network: 'pod',
        networkStatus: async () => ({ isReady: true, reason: '', message: '' }),
        resolvConf: '/etc/resolv.conf',
        dataDir,
        clock: systemClock,
        log: silentLog,
        ...this.#more,
      }),
    );
  }

  /** Ends what an agent's end ends; containers go on. */
  async stop(): Promise<void> {
    await this.#stack[Symbol.asyncDispose]();
    this.#stack = new AsyncDisposableStack();
  }

  /** A sandbox as kubelets ask for them: one PID namespace a container. Returns its id. */
  async sandbox(more: Partial<PodSandboxConfig> = {}): Promise<string> {
    const config = sandboxConfig({ logDirectory: join(this.directory, 'logs'), ...more });
    return (await this.runtime.call('RunPodSandbox', { config })).podSandboxId ?? '';
  }

  /** A container of busybox, created; returns its id. */
  async container(podSandboxId: string, more: Partial<ContainerConfig> = {}): Promise<string> {
    return (await this.runtime.call('CreateContainer', { podSandboxId, config: containerConfig(more) })).containerId ?? '';
  }

  /** The same, started. */
  async running(podSandboxId: string, more: Partial<ContainerConfig> = {}): Promise<string> {
    const containerId = await this.container(podSandboxId, more);
    await this.runtime.call('StartContainer', { containerId });
    return containerId;
  }

  /** What a shell in a container prints. */
  async sh(containerId: string, script: string): Promise<string> {
    const { stdout } = await this.runtime.call('ExecSync', { containerId, cmd: ['sh', '-c', script] });
    return Buffer.from(stdout ?? []).toString();
  }

  #writeBusybox(): string {
    const path = join(this.directory, 'busybox.tar');
    const files = [
      { name: 'bin/' },
      { name: 'bin/busybox', content: readFileSync('/bin/busybox'), mode: 0o755 },
      ...APPLETS.map(name => ({ name: `bin/${name}`, type: 'symlink' as const, linkName: 'busybox' })),
      { name: 'etc/' },
      { name: 'etc/passwd', content: 'root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1001::/home/web:/bin/sh\n' },
      { name: 'etc/group', content: 'root:x:0:\nweb:x:1001:\nextra:x:2000:web\n' },
      { name: 'tmp/', mode: 0o1777 },
    ];
    const image = buildImage([buildTar(files)], { Cmd: ['sleep', '1000'], Env: ['PATH=/bin'], User: '1000:1001' });
    mkdirSync(this.directory, { recursive: true });
    writeFileSync(path, buildLayout(image, 'docker.io/library/busybox:test'));
    return path;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { id } of this.#engine?.sandboxes() ?? []) await this.#engine?.removeSandbox(id);
    for (const client of [this.runtime, this.imageService]) client[Symbol.dispose]();
    try {
      await this.#census?.settle();
    } finally {
      await this.stop();
      await removeInstance({ dataDir: join(this.directory, 'data'), runDir: join(this.directory, 'run'), instance: this.instance });
      rmSync(this.directory, { recursive: true, force: true });
    }
  }
}

/** A sandbox's configuration; each has a name of its own. */
export function sandboxConfig(more: Partial<PodSandboxConfig> = {}): PodSandboxConfig {
  return {
    metadata: { name: `pod-${newNameSuffix()}`, namespace: 'default', uid: newNameSuffix(10), attempt: 0 },
    linux: { securityContext: { namespaceOptions: { pid: 'CONTAINER' } } },
    ...more,
  };
}

/** A container's configuration: busybox as root, asleep. */
export function containerConfig(more: Partial<ContainerConfig> = {}): ContainerConfig {
  return {
    metadata: { name: 'main', attempt: 0 },
    image: { image: 'docker.io/library/busybox:test' },
    command: ['sh', '-c', 'trap "exit 0" TERM; sleep 1000 & wait'],
    linux: { securityContext: { runAsUser: { value: 0 }, namespaceOptions: { pid: 'CONTAINER' } } },
    ...more,
  };
}
