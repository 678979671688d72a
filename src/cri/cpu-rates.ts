/** Two looks this close say nothing of a rate. */
const LEAST_MS = 500;

interface Sample {
  atMs: number;
  cpuUsageNs: number;
  /** Since the sample before. */
  nanoCores?: number;
}

/** How many processors something uses: since it was last asked for, which a client does again and again. Nothing is sampled in between. */
export class CpuRates {
  readonly #samples = new Map<string, Sample>();

  /** In billionths of a processor; undefined the first time. */
  next(id: string, { atMs, cpuUsageNs }: { atMs: number; cpuUsageNs: number }): number | undefined {
    const before = this.#samples.get(id);
    if (before && atMs - before.atMs < LEAST_MS && cpuUsageNs >= before.cpuUsageNs) return before.nanoCores;
    const isSame = before !== undefined && cpuUsageNs >= before.cpuUsageNs; // it was not started anew
    const nanoCores = isSame ? Math.round(((cpuUsageNs - before.cpuUsageNs) / (atMs - before.atMs)) * 1_000) : undefined;
    this.#samples.set(id, { atMs, cpuUsageNs, ...(nanoCores === undefined ? {} : { nanoCores }) });
    return nanoCores;
  }

  /** Lets go of all but these. */
  keep(isThere: (id: string) => boolean): void {
    for (const id of this.#samples.keys()) if (!isThere(id)) this.#samples.delete(id);
  }
}
