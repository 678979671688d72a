import { WorkerCalls } from '#base/worker-calls.ts';
import type { DnsHandlers } from './dns-server-worker.ts';
import type { DnsDelta } from './dns-zones.ts';

export interface DnsServerOptions {
  /** Where to listen: the pods' gateway address. */
  address: string;
  /** 53 when absent; 0 takes any free one. */
  port?: number;
  /** Names this server is the authority for, e.g. `cluster.local`, `43.10.in-addr.arpa`. All others are forwarded. */
  zones: readonly string[];
  /** Servers to forward to, in the order of preference (`nameserversOf` reads a resolv.conf). */
  upstreams: readonly string[];
  upstreamTimeoutMs?: number;
}

/** A DNS server (UDP and TCP) in a worker thread, so that nothing this process does holds its answers up. */
export class DnsServer implements AsyncDisposable {
  readonly #worker: WorkerCalls<DnsHandlers>;
  readonly port: number;

  private constructor(worker: WorkerCalls<DnsHandlers>, port: number) {
    this.#worker = worker;
    this.port = port;
  }

  /**
   * Starts it; when this resolves it answers.
   * @throws UmiakError `AlreadyExists` when the port is in use
   */
  static async listen(options: DnsServerOptions): Promise<DnsServer> {
    const worker = new WorkerCalls<DnsHandlers>(new URL('./dns-server-worker.ts', import.meta.url), { name: 'dns', data: options });
    try {
      return new DnsServer(worker, await worker.call('listen', options.port ?? 53));
    } catch (error) {
      await worker[Symbol.asyncDispose]();
      throw error;
    }
  }

  /**
   * Changes records; when this resolves, answers know them. Before the first call, who asks for a name in our zones waits; too long, and it
   * is a SERVFAIL.
   */
  async setRecords(delta: DnsDelta): Promise<void> {
    await this.#worker.call('update', delta);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker[Symbol.asyncDispose]();
  }
}

/** The IPv4 servers that a resolv.conf names, without `ownAddress`, which would ask itself. */
export function nameserversOf(resolvConf: string, ownAddress?: string): string[] {
  const found = resolvConf.matchAll(/^[ \t]*nameserver[ \t]+(\d+\.\d+\.\d+\.\d+)[ \t]*(?:[#;].*)?$/gm);
  return [...found].map(match => match[1]!).filter(address => address !== ownAddress);
}
