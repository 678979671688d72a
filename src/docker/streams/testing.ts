import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { systemClock } from '#base/clock.ts';
import { UmiakError } from '#base/errors.ts';
import { createLog } from '#base/log.ts';
import type { Container, ContainerConfig } from '#engine/index.ts';
import { EngineBench } from '#engine/test-bench.ts';
import type { ImageStore } from '#images/image-store.ts';
import { startDockerApi } from '../docker-api.ts';
import type { DockerContainer, DockerData } from '../rooms.ts';
import { DockerStreams } from './docker-streams.ts';

export interface Told {
  action: string;
  attributes: Record<string, string>;
}

/** For tests: the streams room over an engine of its own, behind a docker socket, with no other room. */
export class StreamsBench implements AsyncDisposable {
  readonly bench: EngineBench;
  readonly socketPath: string;
  readonly told: Told[] = [];
  readonly restarting = new Set<string>();
  readonly #data = new Map<string, Partial<DockerData>>();
  #api: AsyncDisposable | undefined;
  #streams: DockerStreams | undefined;

  readonly #journalSocket: string | undefined;

  constructor(name: string, { journalSocket }: { journalSocket?: string } = {}) {
    this.#journalSocket = journalSocket;
    this.bench = new EngineBench(name, 'crun');
    this.socketPath = join(this.bench.directory, 'docker.sock');
  }

  get streams(): DockerStreams {
    if (!this.#streams) throw new Error('the bench is not open');
    return this.#streams;
  }

  async open(): Promise<void> {
    await this.bench.open();
    await this.openApi();
  }

  /** Opens the docker face, or closes it and opens it again. */
  async openApi(): Promise<void> {
    await this.closeApi();
    const log = createLog({ level: 'error' });
    const lookup = { find: (name: string) => this.find(name), all: () => this.bench.engine.containers().map(({ id }) => this.find(id)) };
    this.#streams = new DockerStreams({
      engine: this.bench.engine,
      containers: lookup,
      events: { emit: ({ action, attributes }) => void this.told.push({ action, attributes }) },
      isRestarting: id => this.restarting.has(id),
      clock: systemClock,
      log,
      journalSocket: this.#journalSocket,
    });
    this.#streams.resume();
    const images = {} as ImageStore; // not asked for
    this.#api = await startDockerApi({ socketPath: this.socketPath, images, version: '0', log, streams: this.#streams });
  }

  async closeApi(): Promise<void> {
    await this.#api?.[Symbol.asyncDispose]();
    await this.#streams?.[Symbol.asyncDispose]();
    this.#api = undefined;
    this.#streams = undefined;
  }

  find(nameOrId: string): DockerContainer {
    const container = this.bench.engine.containers().find(({ id }) => id.startsWith(nameOrId));
    if (!container || nameOrId === '') throw new UmiakError('NotFound', `No such container: ${nameOrId}`);
    const { id, owner, config } = container;
    const { tty = false, stdin = false, stdinOnce = false } = config;
    const data = {
      name: 'one',
      image: 'busybox',
      path: 'sh',
      args: [],
      ...this.#data.get(id),
      config: { Labels: {}, Env: [], ...this.#data.get(id)?.config, Tty: tty, OpenStdin: stdin, StdinOnce: stdinOnce },
      hostConfig: { LogConfig: { Type: 'json-file', Config: {} }, ...this.#data.get(id)?.hostConfig },
    } as unknown as DockerData;
    return { id, sandboxId: config.sandboxId, owner, name: 'one', data, engine: container, sandbox: undefined };
  }

  /** What docker's own record would say. */
  describe(id: string, data: { config?: object; hostConfig?: object }): void {
    this.#data.set(id, data as Partial<DockerData>);
  }

  create(script: string, config: Partial<ContainerConfig> = {}): Promise<Container> {
    return this.bench.create(script, config);
  }

  start(script: string, config: Partial<ContainerConfig> = {}): Promise<Container> {
    return this.bench.start(script, config);
  }

  /** One plain call; the connection is its own. */
  async call(method: string, path: string, body?: unknown): Promise<{ status: number; head: string; body: Buffer }> {
    const wire = this.dial();
    const text = body === undefined ? '' : JSON.stringify(body);
    wire.write(`${method} ${path} HTTP/1.1\r\nHost: d\r\nConnection: close\r\nContent-Type: application/json\r\n`);
    wire.write(`Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`);
    const { status, head } = await wire.head();
    const rest = await wire.rest();
    return { status, head, body: /transfer-encoding: chunked/i.test(head) ? unchunk(rest) : rest };
  }

  async json(method: string, path: string, body?: unknown): Promise<{ status: number; json: Record<string, unknown> }> {
    const { status, body: bytes } = await this.call(method, path, body);
    return { status, json: bytes.length > 0 ? (JSON.parse(bytes.toString()) as Record<string, unknown>) : {} };
  }

  dial(): Wire {
    return new Wire(connect({ path: this.socketPath, allowHalfOpen: true }));
  }

  /** A call that takes its connection over, with an upgrade or without. */
  async hijack(path: string, { upgrade = true, body }: { upgrade?: boolean; body?: unknown } = {}): Promise<Wire> {
    const wire = this.dial();
    const text = body === undefined ? '' : JSON.stringify(body);
    const asks = upgrade ? 'Connection: Upgrade\r\nUpgrade: tcp\r\n' : '';
    wire.write(
      `POST ${path} HTTP/1.1\r\nHost: d\r\n${asks}Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
    );
    return wire;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.closeApi();
    await this.bench[Symbol.asyncDispose]();
  }
}

/** A raw connection: what comes is kept until asked for. */
export class Wire {
  readonly socket: Socket;
  #chunks: Buffer[] = [];
  #isOver = false;
  #wake: () => void = () => {};

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#wake();
    });
    socket.on('error', () => {});
    for (const event of ['end', 'close'])
      socket.on(event, () => {
        this.#isOver = true;
        this.#wake();
      });
  }

  write(data: string | Buffer): void {
    this.socket.write(data);
  }

  /** Says no more, and still listens. */
  end(): void {
    this.socket.end();
  }

  vanish(): void {
    this.socket.destroy();
  }

  get #got(): Buffer {
    if (this.#chunks.length > 1) this.#chunks = [Buffer.concat(this.#chunks)];
    return this.#chunks[0] ?? Buffer.alloc(0);
  }

  /** Waits until what came satisfies, or nothing more comes. */
  async until(isThere: ((got: Buffer) => boolean) | undefined, ms = 15_000): Promise<Buffer> {
    const deadline = Date.now() + ms;
    while (!isThere?.(this.#got) && !this.#isOver) {
      const left = deadline - Date.now();
      if (left <= 0) throw new Error(`did not come within ${ms} ms; there is ${JSON.stringify(this.#got.toString().slice(-500))}`);
      const { promise, resolve } = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, left);
      this.#wake = resolve;
      await promise;
      clearTimeout(timer);
    }
    return this.#got;
  }

  /** Waits for these words in what came behind the head. */
  async says(words: string): Promise<void> {
    const got = await this.until(bytes => bytes.includes(words));
    if (!got.includes(words)) throw new Error(`it ended without ${JSON.stringify(words)}: ${JSON.stringify(got.toString().slice(-500))}`);
  }

  /** The head of the answer, taken away from what came. */
  async head(): Promise<{ status: number; head: string }> {
    const got = await this.until(bytes => bytes.includes('\r\n\r\n'));
    const end = got.indexOf('\r\n\r\n') + 4;
    const head = got.toString('latin1', 0, end);
    this.#chunks = [got.subarray(end)];
    return { status: Number(/^HTTP\/1\.1 (\d+)/.exec(head)?.[1]), head };
  }

  /** All to the end. */
  async rest(): Promise<Buffer> {
    return await this.until(undefined);
  }
}

/** What came in docker's frames: both streams. */
export function unframe(bytes: Buffer): { stdout: string; stderr: string; frames: number } {
  const parts: Record<number, Buffer[]> = { 1: [], 2: [] };
  let frames = 0;
  for (let at = 0; at < bytes.length; frames++) {
    const length = bytes.readUInt32BE(at + 4);
    parts[bytes[at] ?? 0]?.push(bytes.subarray(at + 8, at + 8 + length));
    at += 8 + length;
  }
  return { stdout: Buffer.concat(parts[1] ?? []).toString(), stderr: Buffer.concat(parts[2] ?? []).toString(), frames };
}

function unchunk(bytes: Buffer): Buffer {
  const chunks: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf('\r\n', at);
    const size = Number.parseInt(bytes.toString('latin1', at, end), 16);
    if (!(size > 0)) break;
    chunks.push(bytes.subarray(end + 2, end + 2 + size));
    at = end + 2 + size + 2;
  }
  return Buffer.concat(chunks);
}
