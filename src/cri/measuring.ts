import { type DiskFigure, DiskFigures } from '#engine/disk-figures.ts';
import type { Container, Sandbox } from '#engine/engine.ts';
import type { CriContext } from './context.ts';
import { CpuRates } from './cpu-rates.ts';
import { visibleContainers } from './lookup.ts';
import type { MeasuredContainer, MeasuredSandbox } from './stats-forms.ts';

type Source = Pick<CriContext, 'engine' | 'scope' | 'clock'>;

/** What containers have written over their images, by their ids. */
type Disks = ReadonlyMap<string, MeasuredContainer['disk']>;

/** Measures what is asked for when it is asked for: nothing is collected in between but what tells a rate from the last time. */
export class Measuring {
  readonly #context: Source;
  readonly #rates = new CpuRates();
  readonly #disk: DiskFigures;

  constructor(context: Source) {
    this.#context = context;
    this.#disk = new DiskFigures({ clock: context.clock });
  }

  /** A running container. @throws `Conflict` when it does not run */
  async container(container: Container): Promise<MeasuredContainer> {
    const stats = await this.#context.engine.stats(container.id);
    return this.#measured(container, stats, await this.#disksOf([container], visibleContainers(this.#context)));
  }

  /** Those of them that run. One that ends meanwhile is left out. */
  async containers(containers: readonly Container[]): Promise<MeasuredContainer[]> {
    const { engine } = this.#context;
    const all = visibleContainers(this.#context);
    const known = new Set([...all.map(({ id }) => id), ...engine.sandboxes().map(({ id }) => id)]);
    this.#rates.keep(id => known.has(id));
    const running = containers.filter(({ state }) => state === 'running');
    const disks = await this.#disksOf(running, all);
    const measured: MeasuredContainer[] = [];
    for (const container of running) {
      const stats = await engine.stats(container.id).catch(error => {
        if (engine.container(container.id)?.state === 'running') throw error;
      });
      if (stats) measured.push(this.#measured(container, stats, disks));
    }
    return measured;
  }

  async sandbox(sandbox: Sandbox): Promise<MeasuredSandbox> {
    return await this.#measuredSandbox(sandbox, await this.containers(this.#context.engine.containers({ sandboxId: sandbox.id })));
  }

  /** Those of them that are ready, their containers all at once. One that goes meanwhile is left out. */
  async sandboxes(sandboxes: readonly Sandbox[]): Promise<MeasuredSandbox[]> {
    const { engine } = this.#context;
    const ready = sandboxes.filter(({ state }) => state === 'ready');
    const wanted = new Set(ready.map(({ id }) => id));
    const inside = visibleContainers(this.#context).filter(({ config }) => wanted.has(config.sandboxId));
    const bySandbox = Map.groupBy(await this.containers(inside), ({ container }) => container.config.sandboxId);
    const measured: MeasuredSandbox[] = [];
    for (const sandbox of ready) {
      const one = await this.#measuredSandbox(sandbox, bySandbox.get(sandbox.id) ?? []).catch(error => {
        if (engine.sandbox(sandbox.id)?.state === 'ready') throw error;
      });
      if (one) measured.push(one);
    }
    return measured;
  }

  async #measuredSandbox(sandbox: Sandbox, containers: MeasuredContainer[]): Promise<MeasuredSandbox> {
    const { engine } = this.#context;
    const [stats, links] = await Promise.all([engine.sandboxStats(sandbox.id), engine.networkStats(sandbox.id)]);
    return { sandbox, stats, nanoCores: this.#rates.next(sandbox.id, stats), links, containers };
  }

  #measured(container: Container, stats: MeasuredContainer['stats'], disks: Disks): MeasuredContainer {
    return { container, stats, nanoCores: this.#rates.next(container.id, stats), disk: disks.get(container.id) };
  }

  /** What the file system counts by itself is not counted again; figures are kept of `all` alone. */
  async #disksOf(containers: readonly Container[], all: readonly Container[]): Promise<Disks> {
    const { engine, clock } = this.#context;
    const disks = new Map<string, MeasuredContainer['disk']>();
    const others = new Map<string, string>();
    for (const { id } of containers) {
      const mountpoint = engine.writableDirectory(id);
      const usage = engine.writableUsage(id);
      if (usage) disks.set(id, { atMs: clock.now(), usedBytes: usage.bytes, inodesUsed: usage.inodes, mountpoint });
      else others.set(id, mountpoint);
    }
    if (others.size === 0) return disks;
    const figures: ReadonlyMap<string, DiskFigure> = await this.#disk.of(
      [...others.values()],
      all.map(({ id }) => engine.writableDirectory(id)),
    );
    for (const [id, mountpoint] of others) {
      const figure = figures.get(mountpoint);
      if (figure) disks.set(id, { ...figure, mountpoint });
    }
    return disks;
  }
}
