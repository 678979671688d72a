import type { Container, Sandbox } from '#engine/engine.ts';
import type { CriContext } from './context.ts';
import { CpuRates } from './cpu-rates.ts';
import { type DiskFigure, DiskFigures } from './disk-figures.ts';
import { visibleContainers } from './lookup.ts';
import type { MeasuredContainer, MeasuredSandbox } from './stats-forms.ts';

/** Measures what is asked for when it is asked for: nothing is collected in between but what tells a rate from the last time. */
export class Measuring {
  readonly #context: Pick<CriContext, 'engine' | 'scope' | 'clock'>;
  readonly #rates = new CpuRates();
  readonly #disk: DiskFigures;

  constructor(context: Pick<CriContext, 'engine' | 'scope' | 'clock'>) {
    this.#context = context;
    this.#disk = new DiskFigures({ clock: context.clock });
  }

  /** A running container. @throws `Conflict` when it does not run */
  async container(container: Container): Promise<MeasuredContainer> {
    const { engine } = this.#context;
    const disk = await this.#disksOf([container]);
    return this.#measured(container, await engine.stats(container.id), disk);
  }

  /** Those of them that run. One that ends meanwhile is left out. */
  async containers(containers: readonly Container[]): Promise<MeasuredContainer[]> {
    const { engine } = this.#context;
    this.#rates.keep(id => engine.container(id) !== undefined || engine.sandbox(id) !== undefined);
    const running = containers.filter(({ state }) => state === 'running');
    const disk = await this.#disksOf(running);
    const measured: MeasuredContainer[] = [];
    for (const container of running) {
      const stats = await engine.stats(container.id).catch(error => {
        if (engine.container(container.id)?.state === 'running') throw error;
      });
      if (stats) measured.push(this.#measured(container, stats, disk));
    }
    return measured;
  }

  async sandbox(sandbox: Sandbox): Promise<MeasuredSandbox> {
    const { engine } = this.#context;
    const [stats, links, containers] = [
      await engine.sandboxStats(sandbox.id),
      await engine.networkStats(sandbox.id),
      await this.containers(engine.containers({ sandboxId: sandbox.id })),
    ];
    return { sandbox, stats, nanoCores: this.#rates.next(sandbox.id, stats), links, containers };
  }

  /** Those of them that are ready. One that goes meanwhile is left out. */
  async sandboxes(sandboxes: readonly Sandbox[]): Promise<MeasuredSandbox[]> {
    const { engine } = this.#context;
    const measured: MeasuredSandbox[] = [];
    for (const sandbox of sandboxes.filter(({ state }) => state === 'ready')) {
      const one = await this.sandbox(sandbox).catch(error => {
        if (engine.sandbox(sandbox.id)?.state === 'ready') throw error;
      });
      if (one) measured.push(one);
    }
    return measured;
  }

  #measured(container: Container, stats: MeasuredContainer['stats'], disk: ReadonlyMap<string, DiskFigure>): MeasuredContainer {
    const mountpoint = this.#context.engine.writableDirectory(container.id);
    const figure = disk.get(mountpoint);
    return { container, stats, nanoCores: this.#rates.next(container.id, stats), disk: figure && { ...figure, mountpoint } };
  }

  async #disksOf(containers: readonly Container[]): Promise<Map<string, DiskFigure>> {
    const { engine } = this.#context;
    const directoryOf = ({ id }: Container) => engine.writableDirectory(id);
    const counted = new Map<string, DiskFigure>();
    for (const container of containers) {
      const usage = engine.writableUsage(container.id);
      if (usage) counted.set(directoryOf(container), { atMs: this.#context.clock.now(), usedBytes: usage.bytes, inodesUsed: usage.inodes });
    }
    const others = containers.map(directoryOf).filter(directory => !counted.has(directory));
    const figures = await this.#disk.of(others, visibleContainers(this.#context).map(directoryOf));
    return new Map([...figures, ...counted]);
  }
}
