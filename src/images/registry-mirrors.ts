import type { Clock } from '#base/clock.ts';
import { isUmiakError, UmiakError } from '#base/errors.ts';
import { type Digest, isDigest } from './digest.ts';
import type { RegistryAuth } from './registry-auth.ts';
import { type BlobReceiver, RegistryClient } from './registry-client.ts';
import { mayPass } from './registry-errors.ts';
import type { Capability } from './registry-hosts.ts';
import type { RegistryHost } from './registry-session.ts';

/** One of the places where a registry's content may be had. */
export interface RegistryEndpoint extends RegistryHost {
  /** What messages call it. */
  name: string;
  /** Not the registry itself: it gets no credentials of the registry, and what it lacks others are asked for. */
  isMirror: boolean;
  /** Absent: it can do everything. */
  capabilities?: readonly Capability[];
}

export interface MirroredRegistryOptions {
  registry: string;
  repository: string;
  /** In the order in which they are asked; the registry itself last. */
  endpoints: readonly RegistryEndpoint[];
  auth?: RegistryAuth;
  clock?: Clock;
  idleTimeoutMs?: number;
}

/** One repository of a registry and its mirrors. What one endpoint doesn't have, can't give or gives wrong, the next is asked for. */
export class MirroredRegistry implements Disposable {
  readonly #options: MirroredRegistryOptions;
  readonly #clients = new Map<RegistryEndpoint, RegistryClient>();
  /** Did not answer; not asked again, for each time may cost its time limit. */
  readonly #silent = new Set<RegistryEndpoint>();

  constructor(options: MirroredRegistryOptions) {
    this.#options = options;
  }

  /** A manifest or index by tag, of endpoints that may resolve, or by digest. */
  async manifest(reference: string, signal?: AbortSignal) {
    return await this.#ask(isDigest(reference) ? 'pull' : 'resolve', client => client.manifest(reference, signal), signal);
  }

  /** All tags of the repository, of endpoints that may resolve. */
  async tags(signal?: AbortSignal): Promise<string[]> {
    return await this.#ask('resolve', client => client.tags(signal), signal);
  }

  /** Hands a way to a blob's bytes to `receive`, which verifies the digest; what one endpoint began another may end. */
  async blob<T>(digest: Digest, receive: BlobReceiver<T>, signal?: AbortSignal): Promise<T> {
    return await this.#ask('pull', client => client.blob(digest, receive, signal), signal);
  }

  [Symbol.dispose](): void {
    for (const client of this.#clients.values()) client[Symbol.dispose]();
  }

  async #ask<T>(capability: Capability, act: (client: RegistryClient) => Promise<T>, signal?: AbortSignal): Promise<T> {
    const able = this.#options.endpoints.filter(each => each.capabilities?.includes(capability) ?? true);
    const asked = able.filter((each, i) => i === able.length - 1 || !this.#silent.has(each));
    const failures: string[] = [];
    for (const [i, endpoint] of asked.entries()) {
      try {
        return await act(this.#client(endpoint, i === asked.length - 1));
      } catch (error) {
        signal?.throwIfAborted();
        // What isn't the house's error is this machine's: its disk, not the registry.
        if (!isUmiakError(error)) throw error;
        if (i === asked.length - 1) throw failures.length > 0 ? withFailures(error, failures) : error;
        failures.push(`${endpoint.name}: ${error.message}`);
        if (mayPass(error)) this.#silent.add(endpoint);
      }
    }
    throw new UmiakError('Invalid', `no host of the registry ${this.#options.registry} has the capability ${capability}`, {
      hint: `Add "${capability}" to the capabilities of one in its hosts.toml.`,
    });
  }

  #client(endpoint: RegistryEndpoint, isLast: boolean): RegistryClient {
    const known = this.#clients.get(endpoint);
    if (known) return known;
    const { endpoints: _, auth, ...options } = this.#options;
    const client = new RegistryClient({
      ...options,
      host: endpoint,
      ...(auth && !endpoint.isMirror ? { auth } : {}),
      // Another is quicker asked than this one waited for.
      ...(isLast ? {} : { attempts: 1 }),
    });
    this.#clients.set(endpoint, client);
    return client;
  }
}

function withFailures(error: UmiakError, failures: readonly string[]): UmiakError {
  const { reason, message, details, hint, cause } = error;
  return new UmiakError(reason, `${message}; before it were asked: ${failures.join('; ')}`, {
    details,
    ...(hint !== undefined ? { hint } : {}),
    ...(cause !== undefined ? { cause } : {}),
  });
}
