/** Who shares things and who wants one alone, by id. In the order of asking, so that nobody waits for ever. */
export class Claims {
  readonly #tails = new Map<string, { last: Promise<void>; sharing: Promise<void> | undefined }>();

  /** Runs `work` while nobody has any of these alone. */
  async share<T>(ids: readonly string[], work: () => Promise<T>): Promise<T> {
    const done = Promise.withResolvers<void>();
    const before = ids.map(id => this.#join(id, done.promise));
    try {
      await Promise.all(before);
      return await work();
    } finally {
      done.resolve();
    }
  }

  /** Runs `work` while nobody else has it. */
  async own<T>(id: string, work: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(id)?.last ?? Promise.resolve();
    const done = Promise.withResolvers<void>();
    const entry = { last: before.then(() => done.promise), sharing: undefined };
    this.#tails.set(id, entry);
    try {
      await before;
      return await work();
    } finally {
      done.resolve();
      if (this.#tails.get(id) === entry) this.#tails.delete(id);
    }
  }

  /** Returns what is to be waited for: the last one who had it alone. */
  #join(id: string, done: Promise<void>): Promise<void> {
    const entry = this.#tails.get(id);
    const before = entry ? (entry.sharing ?? entry.last) : Promise.resolve();
    const last = Promise.all([entry?.last, done]).then(() => {});
    const next = { last, sharing: before };
    this.#tails.set(id, next);
    void last.then(() => {
      if (this.#tails.get(id) === next) this.#tails.delete(id);
    });
    return before;
  }
}
