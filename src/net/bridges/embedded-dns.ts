import { WorkerCalls } from '#base/worker-calls.ts';
import type { EmbeddedDnsHandlers } from './embedded-dns-worker.ts';
import type { JoinedNetwork, NamedEndpoint } from './network-names.ts';

/** The address at which a container finds the DNS of its networks. */
export const EMBEDDED_DNS = '127.0.0.11';

/** A namespace whose DNS is answered by the names of its networks. */
export interface DnsAsker {
  /** Unique among all, e.g. the container's id. */
  key: string;
  /** Path of its network namespace. */
  netns: string;
  /** In the order in which they are asked. */
  networks: readonly JoinedNetwork[];
  /** Who is asked for names that nobody there has: IPv4 addresses, optionally with a port. */
  upstreams: readonly string[];
  /** Nobody else is asked. */
  isIsolated: boolean;
}

/**
 * The DNS of users' networks, inside each container's namespace at 127.0.0.11, in a worker thread that starts with the first of them. Nothing of it
 * outlives the process but the rule in each namespace that leads there: whoever comes next calls `put` and `open` for all again.
 */
export class EmbeddedDns implements AsyncDisposable {
  #worker: WorkerCalls<EmbeddedDnsHandlers> | undefined;

  /** Starts the worker ahead of the first name, where it is known that there will be some. */
  start(): WorkerCalls<EmbeddedDnsHandlers> {
    this.#worker ??= new WorkerCalls<EmbeddedDnsHandlers>(new URL('./embedded-dns-worker.ts', import.meta.url), { name: 'embedded-dns' });
    return this.#worker;
  }

  /** Answers in a namespace from now on; called again, by what has changed. */
  async open(asker: DnsAsker): Promise<void> {
    await this.start().call('open', asker);
  }

  /** Lets go of a namespace, which could not end before. Twice is as good as once. */
  async close(key: string): Promise<void> {
    await this.#worker?.call('close', key);
  }

  /** Adds an endpoint's names to its network, or changes them. */
  async put(networkId: string, endpoint: NamedEndpoint): Promise<void> {
    await this.start().call('put', networkId, endpoint);
  }

  /** Takes an endpoint's names out of its network. */
  async drop(networkId: string, endpointId: string): Promise<void> {
    await this.#worker?.call('drop', networkId, endpointId);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker?.[Symbol.asyncDispose]();
  }
}
