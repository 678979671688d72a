import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { setImmediate as setImmediateCallback } from 'node:timers';
import { setImmediate } from 'node:timers/promises';
import type { Log } from '#base/log.ts';
import type { Engine } from '#engine/index.ts';
import { mountOverlay } from '#engine/overlay.ts';
import type { ImageStore } from '#images/index.ts';
import { SingleFlight } from '#images/single-flight.ts';
import type { Slots } from '#images/slots.ts';
import { umountInThread } from '#linux/mount.ts';
import type { BuildCache, CacheRecord } from './cache.ts';
import type { CacheSources } from './cache-sources.ts';
import type { BuildContext, TreeName } from './files/build-files.ts';
import type { BuildGraph, CopyOperation, Vertex } from './graph.ts';
import { copyFromKey, copyKey, imageResultId, plainKey, runKey } from './keys.ts';
import { type RunOptions, runStep } from './run-step.ts';

/** What becomes of a vertex, as it happens. */
export type SolveEvent =
  | { type: 'cached'; vertex: number; id: string }
  | { type: 'running'; vertex: number; containerId: string }
  | { type: 'output'; vertex: number; chunk: Buffer; stream: 'stdout' | 'stderr' }
  | { type: 'done'; vertex: number; id: string };

export interface SolverOptions {
  engine: Engine;
  images: Pick<ImageStore, 'ensureUnpacked'>;
  cache: BuildCache;
  /** Bound the commands of all builds that run side by side. */
  slots: Slots;
  /** For file systems that are being made; on the cache's file system. */
  temporaryDir: string;
  /** What every container needs and an image may lack, below everything else. */
  bottomDir: string;
  log: Log;
}

export interface SolveOptions {
  context: BuildContext;
  run: RunOptions;
  /** Nothing that is known is used; what comes of it is kept. */
  noCache?: boolean | undefined;
  cacheSources?: CacheSources | undefined;
  signal: AbortSignal;
  onEvent: (event: SolveEvent) => void;
}

/** What a vertex came to. */
export interface Solved {
  /** Names its file system for the keys of what is built on it. */
  id: string;
  /** Absent of an image. */
  record?: CacheRecord;
  /** The image's directories, below all of the record's. */
  imageDirs: string[];
  /** As history has it; a copy's with its content's hash. */
  createdBy: string;
}

const TURN_VERTICES = 16;

type FlightEvent = { containerId: string } | { chunk: Buffer; stream: 'stdout' | 'stderr' };

/** Brings vertices to results: from the cache, or by doing what they say, side by side, one and the same thing once at a time. */
export class Solver {
  readonly #options: SolverOptions;
  readonly #flights = new SingleFlight<FlightEvent>();

  constructor(options: SolverOptions) {
    this.#options = options;
  }

  /** Solves what `wanted` vertices need. The first failure ends all else of this build. `held` keeps results from being pruned. */
  async solve(
    { vertices }: Pick<BuildGraph, 'vertices'>,
    wanted: readonly number[],
    options: SolveOptions,
    held: DisposableStack,
  ): Promise<Map<number, Solved>> {
    const failed = new AbortController();
    const signal = AbortSignal.any([options.signal, failed.signal]);
    const pass = new Pass(this.#options, this.#flights, vertices, { ...options, signal }, held);
    const solving = wanted.map(vertex => pass.solve(vertex));
    try {
      await Promise.all(solving);
    } catch (error) {
      failed.abort(error);
      await pass.settled();
      throw error;
    }
    return pass.results();
  }

  /** Resolves when nothing is under way. */
  async settled(): Promise<void> {
    await this.#flights.settled();
  }
}

/** One build's way through its graph. */
class Pass {
  readonly #solver: SolverOptions;
  readonly #flights: SingleFlight<FlightEvent>;
  readonly #vertices: readonly Vertex[];
  readonly #options: SolveOptions;
  readonly #held: DisposableStack;
  readonly #solving = new Map<number, Promise<Solved>>();
  readonly #solved = new Map<number, Solved>();
  #turns = 0;
  /** Of a build that wants nothing that is known: its steps are nobody else's. */
  readonly #salt: string;

  constructor(
    solver: SolverOptions,
    flights: SingleFlight<FlightEvent>,
    vertices: readonly Vertex[],
    options: SolveOptions,
    held: DisposableStack,
  ) {
    this.#solver = solver;
    this.#flights = flights;
    this.#vertices = vertices;
    this.#options = options;
    this.#held = held;
    this.#salt = options.noCache ? randomUUID() : '';
  }

  solve(index: number): Promise<Solved> {
    let solving = this.#solving.get(index);
    if (!solving) {
      solving = this.#solve(index).then(solved => {
        this.#solved.set(index, solved);
        return solved;
      });
      solving.catch(() => {});
      this.#solving.set(index, solving);
    }
    return solving;
  }

  results(): Map<number, Solved> {
    return this.#solved;
  }

  async settled(): Promise<void> {
    await Promise.allSettled(this.#solving.values());
    await this.#flights.abandoned();
  }

  async #solve(index: number): Promise<Solved> {
    const { operation, base, createdBy } = this.#vertices[index]!;
    if (operation.kind === 'image') {
      const imageDirs = operation.imageId === undefined ? [] : await this.#solver.images.ensureUnpacked(operation.imageId);
      const id = imageResultId(operation.diffIds);
      this.#options.onEvent({ type: 'done', vertex: index, id });
      return { id, imageDirs, createdBy };
    }
    const source = operation.kind === 'copy' && operation.source.kind === 'vertex' ? operation.source.vertex : undefined;
    const [below, from] = await Promise.all([this.solve(base!), source === undefined ? undefined : this.solve(source)]);
    this.#options.signal.throwIfAborted();
    // Long ways on which all is known leave others their turn.
    if (++this.#turns % TURN_VERTICES === 0) await setImmediate();
    const result = (record: CacheRecord): Solved => ({
      id: record.id,
      record,
      imageDirs: below.imageDirs,
      createdBy: record.createdBy,
    });
    if (operation.kind === 'copy') return result(await this.#copy(index, operation, below, from));
    const key = operation.kind === 'run' ? runKey(operation, below.id) : plainKey(operation, below.id);
    const known = this.#find(index, key, below, createdBy);
    if (known) return result(known);
    const kind = operation.kind;
    if (kind === 'config') return result(this.#keep(index, { kind, keys: [key], createdBy, base: below.id }));
    const make =
      operation.kind === 'run'
        ? (signal: AbortSignal, emit: (event: FlightEvent) => void) => this.#run(operation, below, signal, emit)
        : () => this.#change(below, root => this.#options.context.makeDirectory(root, operation.path));
    return result(await this.#once(index, key, { kind, keys: [key], createdBy, base: below.id }, make));
  }

  #find(index: number, key: string, below: Solved, createdBy: string): CacheRecord | undefined {
    if (this.#options.noCache) return undefined;
    const isConfig = this.#vertices[index]?.operation.kind === 'config';
    const record = this.#solver.cache.find(key) ?? (isConfig ? undefined : this.#options.cacheSources?.find({ key, createdBy, below }));
    if (!record) return undefined;
    this.#options.onEvent({ type: 'cached', vertex: index, id: record.id });
    return this.#hold(record);
  }

  #keep(index: number, what: Parameters<BuildCache['add']>[0]): CacheRecord {
    const record = this.#solver.cache.add(what);
    this.#options.onEvent({ type: 'done', vertex: index, id: record.id });
    return this.#hold(record);
  }

  #hold(record: CacheRecord): CacheRecord {
    this.#held.use(this.#solver.cache.hold(record));
    return record;
  }

  /** Makes a result unless somebody else is just doing so. */
  async #once(
    index: number,
    key: string,
    what: Omit<Parameters<BuildCache['add']>[0], 'files'>,
    make: (signal: AbortSignal, emit: (event: FlightEvent) => void) => Promise<Made>,
  ): Promise<CacheRecord> {
    const { signal, onEvent } = this.#options;
    const tell = (event: FlightEvent) => {
      if ('chunk' in event) onEvent({ type: 'output', vertex: index, ...event });
      else onEvent({ type: 'running', vertex: index, ...event });
    };
    const record = await this.#flights.run(key + this.#salt, { signal, onEvent: tell }, async (flight, emit) => {
      const held = new DisposableStack();
      try {
        await using made = await make(flight, emit);
        const isEmpty = (await readdir(made.files)).length === 0;
        const record = this.#solver.cache.add({ ...what, files: isEmpty ? undefined : made.files });
        held.use(this.#solver.cache.hold(record));
        return record;
      } finally {
        setImmediateCallback(() => held.dispose()); // those who wait hold it by then
      }
    });
    onEvent({ type: 'done', vertex: index, id: record.id });
    return this.#hold(record);
  }

  async #copy(index: number, operation: CopyOperation, below: Solved, from: Solved | undefined): Promise<CacheRecord> {
    const { context } = this.#options;
    const { source, keyword } = operation;
    const destination = ` in ${operation.destination} `;
    const head = this.#vertices[index]!.createdBy.slice(0, -destination.length);
    // Docker leaves no space there.
    const createdByOf = (digest: string) => `${head}${operation.chown === undefined ? ' ' : ''}${digest}${destination}`;
    const what = (digest: string, keys: string[]) => ({ kind: 'copy' as const, keys, createdBy: createdByOf(digest), base: below.id });
    const place = (tree: TreeName, paths: string[], root: string, unpacks = operation.unpacks) =>
      context.place({
        from: tree,
        paths,
        root,
        destination: operation.destination,
        chown: operation.chown,
        mode: operation.mode,
        unpacks,
        keyword,
      });
    if (source.kind === 'vertex' && from) {
      const quick = copyFromKey(operation, source.paths, from.id, below.id);
      const known = this.#find(index, quick, below, '');
      if (known) return known;
      return await this.#reading(from, async root => {
        const digest = await context.digest({ root }, source.paths, keyword);
        const key = copyKey(operation, digest, below.id);
        const same = this.#find(index, key, below, createdByOf(digest));
        if (same) {
          this.#solver.cache.alias(same, quick);
          return same;
        }
        return await this.#once(index, key, what(digest, [key, quick]), () =>
          this.#change(below, target => place({ root }, source.paths, target)),
        );
      });
    }
    const parts = await this.#partsOf(operation);
    const digests: string[] = [];
    for (const { tree, paths } of parts) digests.push(await context.digest(tree, paths, keyword));
    const digest = digests.length === 1 ? digests[0]! : `multi:${digests.map(each => each.replace(/^\w+:/, '')).join('-')}`;
    const key = copyKey(operation, digest, below.id);
    const known = this.#find(index, key, below, createdByOf(digest));
    if (known) return known;
    const placeAll = async (root: string) => {
      for (const { tree, paths, unpacks } of parts) await place(tree, paths, root, unpacks);
    };
    return await this.#once(index, key, what(digest, [key]), () => this.#change(below, placeAll));
  }

  /** What is copied, by where it lies: the context, or files that were fetched. */
  async #partsOf({ source, unpacks }: CopyOperation): Promise<{ tree: TreeName; paths: string[]; unpacks: boolean }[]> {
    const { context, signal } = this.#options;
    const local = source.paths.length > 0 ? [{ tree: { context: context.id }, paths: source.paths, unpacks }] : [];
    if (source.kind !== 'addresses') return local;
    const { tree, names } = await context.fetch(source.addresses, { checksum: source.checksum, signal });
    // What was fetched is what it is, archives too.
    return [...local, { tree, paths: names.map(name => name.replaceAll(/[\\*?[]/g, '\\$&')), unpacks: false }];
  }

  async #run(
    operation: Parameters<typeof runKey>[0],
    below: Solved,
    signal: AbortSignal,
    emit: (event: FlightEvent) => void,
  ): Promise<Made> {
    const { engine, slots, cache, bottomDir } = this.#solver;
    using _ = await slots.take(signal);
    const started = Promise.withResolvers<void>();
    let running: Promise<Made> | undefined;
    await cache.using(below.record, async own => {
      running = runStep({
        engine,
        operation,
        lowerDirs: [...new Set([...own, ...below.imageDirs]), bottomDir],
        run: this.#options.run,
        signal,
        onStart: containerId => {
          emit({ containerId });
          started.resolve();
        },
        onOutput: (chunk, stream) => emit({ chunk, stream }),
      });
      await Promise.race([started.promise, running]);
    });
    return await running!;
  }

  /** Runs `change` over a file system; what it changed. */
  async #change(below: Solved, change: (root: string) => Promise<void>): Promise<Made> {
    const directory = `${this.#solver.temporaryDir}/${randomUUID()}`;
    const [upper, work, target] = [`${directory}/upper`, `${directory}/work`, `${directory}/merged`];
    const discard = () => rm(directory, { recursive: true, force: true });
    try {
      await mkdir(directory, { mode: 0o711 });
      await Promise.all([upper, work, target].map(path => mkdir(path, { mode: 0o755 })));
      await this.#mounted(below, target, { upper, work }, () => change(target));
      return { files: upper, [Symbol.asyncDispose]: discard };
    } catch (error) {
      await discard();
      throw error;
    }
  }

  async #reading<T>(from: Solved, work: (root: string) => Promise<T>): Promise<T> {
    const target = `${this.#solver.temporaryDir}/${randomUUID()}`;
    await mkdir(target, { mode: 0o711 });
    try {
      return await this.#mounted(from, target, undefined, () => work(target));
    } finally {
      await rm(target, { recursive: true, force: true });
    }
  }

  async #mounted<T>(
    { record, imageDirs }: Solved,
    target: string,
    writable: { upper: string; work: string } | undefined,
    work: () => Promise<T>,
  ): Promise<T> {
    const { cache, temporaryDir } = this.#solver;
    const nothing = [`${temporaryDir}/nothing`, `${temporaryDir}/nothing-more`];
    await cache.using(record, async own => {
      const lowerDirs = [...new Set([...own, ...imageDirs])];
      await mountOverlay({
        target,
        lowerDirs: [...lowerDirs, ...nothing.slice(Math.min(lowerDirs.length, 2))],
        ...(writable ? { writable } : {}),
      });
    });
    try {
      return await work();
    } finally {
      await umountInThread(target);
    }
  }
}

/** Files that a step wrote, until they are taken over or thrown away. */
interface Made extends AsyncDisposable {
  files: string;
}
