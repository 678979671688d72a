import type { Server, ServerResponse } from 'node:http';
import { type Clock, messageOf } from '#base/index.ts';
import { createServer } from '#wire/http.ts';

/** What a load balancer hears of one Service at its `healthCheckNodePort`. */
export interface HealthCheck {
  port: number;
  /** Ready ones on this node. */
  localEndpoints: number;
}

export interface HealthCheckPortsOptions {
  /** False while this node's rules are not what they should be. */
  isHealthy: () => boolean;
  /** The port could not be had; it is tried again. */
  onRefused: (service: string, port: number, message: string) => void;
  clock: Clock;
  /** Where to listen; all of the node's addresses when absent. */
  address?: string;
}

const RETRY_MS = 5_000;
const REQUEST_MS = 5_000;
const MOST_CONNECTIONS = 128;

interface Answering extends HealthCheck {
  server?: Server;
  retry?: Disposable;
}

/**
 * Answers load balancers whether this node has pods of a Service with `externalTrafficPolicy: Local`: 200 while some are ready, 503
 * otherwise, in kube-proxy's words.
 */
export class HealthCheckPorts implements AsyncDisposable {
  readonly #options: HealthCheckPortsOptions;
  readonly #answering = new Map<string, Answering>();
  #closed = false;

  constructor(options: HealthCheckPortsOptions) {
    this.#options = options;
  }

  /** What is to be said of `namespace/name` from now on; undefined: nothing, its port is free again. */
  set(service: string, check: HealthCheck | undefined): void {
    const present = this.#answering.get(service);
    if (present && present.port === check?.port) {
      present.localEndpoints = check.localEndpoints;
      return;
    }
    if (present) this.#end(service, present);
    if (!check || this.#closed) return;
    const answering = { ...check };
    this.#answering.set(service, answering);
    this.#listen(service, answering);
  }

  #listen(service: string, answering: Answering): void {
    const { address = '0.0.0.0', clock, onRefused } = this.#options;
    const server = createServer(
      { requestTimeout: REQUEST_MS, headersTimeout: REQUEST_MS, connectionsCheckingInterval: REQUEST_MS },
      (request, response) => {
        request.resume();
        this.#answer(service, answering, response);
      },
    );
    server.maxConnections = MOST_CONNECTIONS;
    server.once('error', error => {
      onRefused(service, answering.port, messageOf(error));
      if (this.#answering.get(service) === answering) answering.retry = clock.after(RETRY_MS, () => this.#listen(service, answering));
    });
    answering.server = server.listen(answering.port, address);
  }

  #answer(service: string, { localEndpoints }: Answering, response: ServerResponse): void {
    const [namespace = '', name = ''] = service.split('/');
    const serviceProxyHealthy = this.#options.isHealthy();
    const body = { service: { namespace, name }, localEndpoints, serviceProxyHealthy };
    response.writeHead(localEndpoints > 0 && serviceProxyHealthy ? 200 : 503, {
      'Content-Type': 'application/json',
      'X-Content-Type-Options': 'nosniff',
      'X-Load-Balancing-Endpoint-Weight': String(localEndpoints),
    });
    response.end(JSON.stringify(body, null, '\t'));
  }

  #end(service: string, { server, retry }: Answering): void {
    this.#answering.delete(service);
    retry?.[Symbol.dispose]();
    server?.close();
    server?.closeAllConnections();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    for (const [service, answering] of [...this.#answering]) this.#end(service, answering);
  }
}
