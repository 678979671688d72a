import type { Clock } from '#base/clock.ts';
import { isUmiakError, UmiakError } from '#base/errors.ts';
import type { Change } from '#images/layer-changes.ts';
import type { OwnerRanges } from '#images/owners.ts';
import { requireAnswering } from '#linux/answering.ts';
import { identify } from '#linux/process.ts';
import type { Container, Engine } from '../engine.ts';
import type { ExtractOptions } from './extract.ts';
import { MOUNT_POINTS } from './mount-points.ts';
import { type PathStat, toContainerPath } from './path-stat.ts';
import type { Root } from './root.ts';
import { answered, type Patience, receive, send } from './transfers.ts';
import { type Visitor, Visitors, type VisitorsOptions } from './visitors.ts';

export interface ContainerFilesOptions extends VisitorsOptions {
  engine: Pick<Engine, 'container' | 'sandbox' | 'withRootfs' | 'rootfsParts' | 'runtimeHandlers'>;
  clock?: Clock;
  /** How long a container's file system may keep us waiting for anything at all. */
  patienceMs?: number;
}

export interface VisitOptions {
  signal?: AbortSignal;
}

/** Of a look at every file. */
const LONG_MS = 600_000;
/** These are a process's root for the runtime's own kernel, not for the container. */
const OWN_KERNEL = /runsc|gvisor|kata/;

/** The files of containers, running or not, seen from outside. What is done there is done by threads that can reach nothing else. */
export class ContainerFiles implements AsyncDisposable {
  readonly #engine: ContainerFilesOptions['engine'];
  readonly #visitors: Visitors;
  readonly #patienceMs: number;

  constructor({ engine, patienceMs = 60_000, ...options }: ContainerFilesOptions) {
    this.#patienceMs = patienceMs;
    this.#engine = engine;
    this.#visitors = new Visitors(options);
  }

  /** Live threads, for tests and metrics. */
  get threads(): number {
    return this.#visitors.threads;
  }

  /** @throws NotFound when there is no such path */
  async stat(id: string, path: string, { signal }: VisitOptions = {}): Promise<PathStat> {
    const stat = (visitor: Visitor, root: Root) => answered(visitor.call('stat', root, toContainerPath(path)), this.#patience(signal));
    return await this.#visit(id, signal, stat, () => true);
  }

  /** Gives what is at a path to `use` as a tar archive; each chunk is valid until the next one is asked for. @throws NotFound */
  async archive(
    id: string,
    path: string,
    { signal }: VisitOptions,
    use: (stat: PathStat, archive: AsyncIterable<Buffer>) => Promise<void>,
  ): Promise<void> {
    const clean = toContainerPath(path);
    let isBegun = false;
    const visit = async (visitor: Visitor, root: Root) => {
      const stat = await answered(visitor.call('stat', root, clean), this.#patience(signal));
      isBegun = true;
      const archive = (memory: SharedArrayBuffer) => visitor.call('archive', root, clean, memory, this.#ownersOf(id));
      await receive(archive, chunks => use(stat, chunks), this.#patience(signal));
    };
    await this.#visit(id, signal, visit, () => !isBegun);
  }

  /** Unpacks a tar archive into a directory. @throws NotFound, BadRequest in docker's words, Invalid with the bad entry's name */
  async extract(
    id: string,
    path: string,
    source: AsyncIterable<Uint8Array>,
    { signal, ...options }: VisitOptions & Pick<ExtractOptions, 'noOverwriteDirNonDir' | 'owner'>,
  ): Promise<void> {
    const { config } = this.#need(id);
    const how: Omit<ExtractOptions, 'toOwner'> = {
      ...options,
      readOnlyRoot: config.security?.readOnlyRoot ?? false,
      volumes: (config.mounts ?? []).map(({ destination, readOnly = false }) => ({ destination, readOnly })),
    };
    await this.#visit(id, signal, async (visitor, root) => {
      await send(
        memory => visitor.call('extract', root, toContainerPath(path), memory, how, this.#ownersOf(id)),
        source,
        this.#patience(signal),
      );
    });
  }

  /** Gives the whole root file system, without what is mounted in it, to `use` as a tar archive. */
  async export(id: string, { signal }: VisitOptions, use: (archive: AsyncIterable<Buffer>) => Promise<void>): Promise<void> {
    this.#need(id);
    await this.#engine.withRootfs(id, rootfs =>
      this.#visitors.run(
        visitor => receive(memory => visitor.call('archiveAll', rootfs, memory, this.#ownersOf(id)), use, this.#patience(signal)),
        signal,
      ),
    );
  }

  /** What was changed of the image. */
  async changes(id: string, { signal }: VisitOptions = {}): Promise<Change[]> {
    const { config } = this.#need(id);
    const owners = this.#ownersOf(id);
    const mountPoints = [...MOUNT_POINTS, ...(config.mounts ?? []).map(({ destination }) => destination)];
    // Of one that never ran, nothing is there before it is mounted.
    return await this.#engine.withRootfs(id, () => {
      const parts = this.#engine.rootfsParts(id);
      const request = { ...parts, mountPoints, ...(owners ? { owners } : {}) };
      return this.#visitors.run(visitor => answered(visitor.call('changes', request), { signal, patienceMs: LONG_MS }), signal);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#visitors[Symbol.asyncDispose]();
  }

  #patience(signal: AbortSignal | undefined): Patience {
    return { signal, patienceMs: this.#patienceMs };
  }

  /** `mayRepeat`: it has done nothing yet, so that the files of a container that ended in that moment are looked at as they lie. */
  async #visit<T>(
    id: string,
    signal: AbortSignal | undefined,
    work: (visitor: Visitor, root: Root) => Promise<T>,
    mayRepeat = () => false,
  ): Promise<T> {
    const container = this.#need(id);
    const process = this.#processOf(container);
    if (process)
      try {
        return await this.#visitors.run(visitor => work(visitor, { kind: 'process', ...process }), signal);
      } catch (error) {
        if (!mayRepeat() || !isUmiakError(error, 'Conflict')) throw error;
      }
    const mounts = (container.config.mounts ?? []).filter(({ type = 'bind' }) => type === 'bind');
    await requireAnswering(mounts.map(({ source }) => source));
    return await this.#engine.withRootfs(id, async path => {
      const root: Root = mounts.length > 0 ? { kind: 'mounts', path, mounts } : { kind: 'directory', path };
      return await this.#visitors.run(visitor => work(visitor, root), signal);
    });
  }

  /** Whose root is the container's. */
  #processOf({ state, pid, config }: Container): { pid: number; startTime: number } | undefined {
    const runtime = this.#engine.sandbox(config.sandboxId)?.config.runtime ?? this.#engine.runtimeHandlers()[0] ?? '';
    return state === 'running' && pid !== undefined && !OWN_KERNEL.test(runtime) ? identify(pid) : undefined;
  }

  #ownersOf(id: string): OwnerRanges | undefined {
    return this.#engine.sandbox(this.#need(id).config.sandboxId)?.config.userNamespace;
  }

  #need(id: string): Container {
    const container = this.#engine.container(id);
    if (container) return container;
    throw new UmiakError('NotFound', `there is no container ${id}`, { details: { kind: 'container', name: id } });
  }
}
