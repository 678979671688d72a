import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { systemClock } from '#base/clock.ts';
import { UmiakError } from '#base/errors.ts';
import { createLog } from '#base/log.ts';
import { EngineBench } from '#engine/test-bench.ts';
import type { ImageStore } from '#images/image-store.ts';
import { startDockerApi } from '../docker-api.ts';
import type { DockerContainer, DockerData } from '../rooms.ts';
import { FilesRoom } from './files-room.ts';

const run = promisify(execFile);

/** For tests: the files room over an engine of its own, behind a docker socket, with no other room. */
export class FilesBench implements AsyncDisposable {
  readonly bench: EngineBench;
  readonly socketPath: string;
  readonly told: { action: string; attributes: Record<string, string> }[] = [];
  #api: AsyncDisposable | undefined;
  #room: FilesRoom | undefined;

  constructor(name: string) {
    this.bench = new EngineBench(name, 'crun');
    this.socketPath = join(this.bench.directory, 'docker.sock');
  }

  async open(): Promise<void> {
    await this.bench.open();
    const log = createLog({ level: 'warn' });
    const images = {} as ImageStore; // not asked for
    this.#room = new FilesRoom({
      engine: this.bench.engine,
      containers: { find: name => this.find(name) },
      images,
      events: { emit: ({ action, attributes }) => void this.told.push({ action, attributes }) },
      clock: systemClock,
    });
    this.#api = await startDockerApi({ socketPath: this.socketPath, images, version: '0', log, files: this.#room });
  }

  find(nameOrId: string): DockerContainer {
    const container = this.bench.engine.containers().find(({ id }) => id.startsWith(nameOrId));
    if (!container || nameOrId === '') throw new UmiakError('NotFound', `No such container: ${nameOrId}`);
    const { id, owner, config } = container;
    const data = {
      name: 'one',
      image: 'busybox',
      mounts: [],
      config: { Labels: {}, User: config.security?.user ?? '' },
    } as unknown as DockerData;
    return {
      id,
      sandboxId: config.sandboxId,
      owner,
      name: 'one',
      data,
      engine: container,
      sandbox: this.bench.engine.sandbox(config.sandboxId),
    };
  }

  /** The real docker command. */
  async docker(...args: string[]): Promise<Buffer> {
    const { stdout } = await run('docker', ['-H', `unix://${this.socketPath}`, ...args], { maxBuffer: 1 << 28, encoding: 'buffer' });
    return stdout;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#api?.[Symbol.asyncDispose]();
    await this.#room?.[Symbol.asyncDispose]();
    await this.bench[Symbol.asyncDispose]();
  }
}
