import type { IncomingMessage, Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { type Clock, isUmiakError, type Log, messageOf, systemClock, UmiakError } from '#base/index.ts';
import { codeOf } from '#base/reason-codes.ts';
import type { Container, Engine } from '#engine/engine.ts';
import type { WantedStreams } from '#engine/streaming/session.ts';
import { serveForwardUpgrade, serveSessionUpgrade } from '#engine/streaming/upgrade.ts';
import { createServer } from '#wire/http.ts';
import { refuseUpgrade } from '#wire/upgrade.ts';
import { StreamingTokens } from './streaming-tokens.ts';

export interface StreamingServerOptions {
  engine: Pick<Engine, 'container' | 'sandbox' | 'exec' | 'attach' | 'dial'>;
  clock?: Clock;
  log: Log;
}

/** Whose process or streams, and which of them; ids are whole ones. */
export interface ExecRequest extends WantedStreams {
  containerId: string;
  command: string[];
}

export interface AttachRequest extends WantedStreams {
  containerId: string;
}

export interface PortForwardRequest {
  sandboxId: string;
  /** For clients that speak WebSocket with channels for each port; others name theirs as they go. */
  ports: number[];
}

type Asked =
  | { verb: 'exec' | 'attach'; containerId: string; command: string[]; wanted: WantedStreams }
  | { verb: 'portforward'; sandboxId: string; ports: number[] };

/** Anybody on the machine can connect: the process keeps descriptors for its containers. */
const MOST_CONNECTIONS = 1_000;
/** A request's head takes no longer. */
const HEADERS_MS = 10_000;

/**
 * CRI's streaming server: `Exec`, `Attach` and `PortForward` are answered with a URL that opens once, within a minute. It listens on a free
 * port of 127.0.0.1 from the first of them on; an agent that nobody asks for streams has no listener. Who knows a URL may use it: its token is
 * random, and only who may use `cri.sock` gets one.
 */
export class StreamingServer implements AsyncDisposable {
  readonly #engine: StreamingServerOptions['engine'];
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #tokens: StreamingTokens<Asked>;
  readonly #sockets = new Set<Duplex>();
  #listening: Promise<{ server: Server; port: number }> | undefined;

  constructor({ engine, clock = systemClock, log }: StreamingServerOptions) {
    this.#engine = engine;
    this.#clock = clock;
    this.#log = log;
    this.#tokens = new StreamingTokens(clock);
  }

  /** @throws `NotFound`, `Conflict` unless the container runs, `BadRequest`, `TooManyRequests` */
  async exec({ containerId, command, ...wanted }: ExecRequest): Promise<string> {
    if (command.length === 0) throw new UmiakError('BadRequest', 'cmd must not be empty');
    return await this.#session({ verb: 'exec', containerId, command, wanted });
  }

  /** @throws `NotFound`, `Conflict` unless the container runs, `BadRequest`, `TooManyRequests` */
  async attach({ containerId, ...wanted }: AttachRequest): Promise<string> {
    return await this.#session({ verb: 'attach', containerId, command: [], wanted });
  }

  /** @throws `NotFound`, `Conflict` unless the sandbox is ready, `TooManyRequests` */
  async portForward({ sandboxId, ports }: PortForwardRequest): Promise<string> {
    const sandbox = this.#engine.sandbox(sandboxId);
    if (!sandbox) throw new UmiakError('NotFound', `sandbox ${sandboxId} does not exist`);
    if (sandbox.state !== 'ready') throw new UmiakError('Conflict', `sandbox ${sandboxId} is not ready`);
    return await this.#issue({ verb: 'portforward', sandboxId, ports });
  }

  async #session(asked: Extract<Asked, { containerId: string }>): Promise<string> {
    const { tty, stdin, stdout, stderr } = asked.wanted;
    if (tty && stderr) throw new UmiakError('BadRequest', 'tty and stderr cannot both be true');
    if (!stdin && !stdout && !stderr) throw new UmiakError('BadRequest', 'one of stdin, stdout, or stderr must be set');
    this.#running(asked.containerId);
    return await this.#issue(asked);
  }

  #running(id: string): Container {
    const container = this.#engine.container(id);
    if (!container) throw new UmiakError('NotFound', `container ${id} does not exist`);
    if (container.state !== 'running') throw new UmiakError('Conflict', `container ${id} is ${container.state}, not running`);
    return container;
  }

  async #issue(asked: Asked): Promise<string> {
    const token = this.#tokens.issue(asked);
    this.#listening ??= this.#listen();
    const { port } = await this.#listening;
    return `http://127.0.0.1:${port}/${asked.verb}/${token}`;
  }

  async #listen(): Promise<{ server: Server; port: number }> {
    const server = createServer({ headersTimeout: HEADERS_MS, requestTimeout: HEADERS_MS, connectionsCheckingInterval: HEADERS_MS });
    server.maxConnections = MOST_CONNECTIONS;
    server.on('request', (request, response) => {
      response.statusCode = readPath(request) ? 400 : 404;
      response.setHeader('content-type', 'text/plain; charset=utf-8');
      response.end(readPath(request) ? 'Upgrade request required\n' : '404 page not found\n');
    });
    server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      this.#serve(request, socket, head).catch(error => {
        const status = isUmiakError(error) ? codeOf(error.reason) : 500;
        if (status === 500) this.#log.warn('a CRI stream failed', { error });
        refuseUpgrade(socket, status, messageOf(error));
      });
    });
    server.on('connection', socket => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    try {
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen(0, '127.0.0.1', resolve);
      });
    } catch (cause) {
      this.#listening = undefined;
      throw new UmiakError('ServiceUnavailable', 'the streaming server can not listen on 127.0.0.1', { cause });
    }
    return { server, port: (server.address() as AddressInfo).port };
  }

  async #serve(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const path = readPath(request);
    const asked = path && this.#tokens.redeem(path.token);
    if (!asked || asked.verb !== path.verb) throw new UmiakError('NotFound', '404 page not found');
    const upgrade = { request, socket, head, clock: this.#clock };
    if (asked.verb === 'portforward') {
      const { sandboxId, ports } = asked;
      return await serveForwardUpgrade(port => this.#engine.dial(sandboxId, port), ports.map(String), upgrade);
    }
    const { verb, command, wanted, containerId } = asked;
    await serveSessionUpgrade(this.#engine, { verb, command, wanted, choose: () => this.#running(containerId) }, upgrade);
  }

  /** Ends all streams; what runs in containers goes on, but for commands whose client this was. */
  async [Symbol.asyncDispose](): Promise<void> {
    const listening = await this.#listening?.catch(() => undefined);
    if (!listening) return;
    const closed = new Promise(resolve => listening.server.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}

/** `/exec/TOKEN`, `/attach/TOKEN` or `/portforward/TOKEN`. */
function readPath({ url = '' }: IncomingMessage): { verb: string; token: string } | undefined {
  const [, verb, token] = /^\/(exec|attach|portforward)\/([\w-]{1,64})(?:\?.*)?$/.exec(url) ?? [];
  return verb !== undefined && token !== undefined ? { verb, token } : undefined;
}
