import type { DockerRequest } from '../request.ts';
import type { DockerContainer, Streams } from '../rooms.ts';
import { serveAttach, serveAttachWebSocket } from './attach.ts';
import { ExecCalls } from './exec-calls.ts';
import { ExecRegistry } from './exec-registry.ts';
import { planLogConfig } from './log-config.ts';
import { LogDrivers } from './log-drivers/log-drivers.ts';
import { serveLogs } from './logs.ts';
import { serveResize } from './resize.ts';
import type { StreamsRoom } from './room.ts';

/** The streams room of the docker face: attach, exec, logs, resize. */
export class DockerStreams implements Streams, AsyncDisposable {
  readonly execs: ExecCalls;
  readonly #room: StreamsRoom;
  readonly #registry: ExecRegistry;
  readonly #drivers: LogDrivers;
  readonly #subscription: Disposable;

  constructor(room: StreamsRoom) {
    this.#room = room;
    this.#registry = new ExecRegistry(room);
    this.execs = new ExecCalls(room, this.#registry);
    this.#drivers = new LogDrivers(room, room);
    this.#subscription = room.engine.subscribe(event => {
      if (event.type !== 'container') return;
      if (event.action === 'exited') this.#registry.dropWaiting(event.container.id);
      if (event.action === 'removed') this.#registry.dropAll(event.container.id);
    });
  }

  /** Once the containers room is open: log drivers go on with what there is. */
  resume(): void {
    this.#drivers.resume();
  }

  attach(request: DockerRequest): Promise<void> {
    return serveAttach(this.#room, request);
  }

  attachWebSocket(request: DockerRequest): Promise<void> {
    return serveAttachWebSocket(this.#room, request);
  }

  logs(request: DockerRequest): Promise<void> {
    return serveLogs(this.#room, request);
  }

  resize(request: DockerRequest): void {
    serveResize(this.#room, request);
  }

  planLogConfig(asked: Parameters<Streams['planLogConfig']>[0]): DockerContainer['data']['hostConfig']['LogConfig'] {
    return planLogConfig(asked);
  }

  planEngineLog({ Type }: DockerContainer['data']['hostConfig']['LogConfig']): 'none' | undefined {
    return Type === 'none' ? 'none' : undefined;
  }

  execIdsOf(id: string): string[] | null {
    const ids = this.#registry.idsOf(id);
    return ids.length > 0 ? ids : null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#subscription[Symbol.dispose]();
    this.#registry[Symbol.dispose]();
    await this.#drivers[Symbol.asyncDispose]();
  }
}
