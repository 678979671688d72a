import type { Digest } from './digest.ts';

/** Uses of images that have begun and that nobody has noted yet. */
export class HandedOut {
  readonly #uses = new Map<Digest, Promise<void>>();

  /** Begins a use; call what it returns once the use is noted. */
  begin(id: Digest): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    const others = this.#uses.get(id);
    const all = others === undefined ? promise : Promise.all([others, promise]).then(() => {});
    this.#uses.set(id, all);
    void all.then(() => this.#uses.get(id) === all && this.#uses.delete(id));
    return resolve;
  }

  /** Resolves when the uses that have begun so far are noted. */
  async settled(id: Digest): Promise<void> {
    await this.#uses.get(id);
  }
}
