import type { SandboxNetwork } from '#engine/ports.ts';
import { LoopbackNetworks } from '#engine/testing.ts';

/** Namespaces made ahead, as the network pool does. */
export class PooledNetworks extends LoopbackNetworks {
  readonly #ready: SandboxNetwork[] = [];

  async fill(count: number): Promise<void> {
    while (this.#ready.length < count) this.#ready.push(await super.take({}));
  }

  override async take(options: { hostname?: string }): Promise<SandboxNetwork> {
    return this.#ready.pop() ?? super.take(options);
  }

  async drain(): Promise<void> {
    for (const network of this.#ready.splice(0)) await this.release(network);
  }
}
