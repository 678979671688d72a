import { randomUUID } from 'node:crypto';
import { type Clock, systemClock } from '#base/clock.ts';
import { WorkerCalls } from '#base/worker-calls.ts';
import type { FileContentsOptions } from './file-contents.ts';
import type { FilesHandlers, PlaceCall, TreeName } from './files-worker.ts';

export type { PlaceCall, TreeName } from './files-worker.ts';

/** After that long without work the thread ends; it costs some megabytes. */
const IDLE_MS = 30_000;
/** So many chunks are on their way to the thread. */
const IN_FLIGHT = 4;

export interface BuildFilesOptions extends FileContentsOptions {
  clock?: Clock;
}

/** The thread that works on files of builds, started when it is needed. */
export class BuildFiles implements AsyncDisposable {
  readonly #options: FileContentsOptions;
  readonly #clock: Clock;
  #worker: WorkerCalls<FilesHandlers> | undefined;
  #users = 0;
  #idle: Disposable | undefined;

  constructor({ clock = systemClock, ...options }: BuildFilesOptions) {
    this.#options = options;
    this.#clock = clock;
  }

  /** A place for the files of one build; what is in it goes with it. */
  open(): BuildContext {
    return new BuildContext(this.#use());
  }

  /** Runs one call. */
  async run<T>(work: (worker: WorkerCalls<FilesHandlers>) => Promise<T>): Promise<T> {
    using use = this.#use();
    return await work(use.worker);
  }

  #use(): FilesUse {
    this.#idle?.[Symbol.dispose]();
    this.#users += 1;
    this.#worker ??= new WorkerCalls<FilesHandlers>(new URL('./files-worker.ts', import.meta.url), {
      name: 'build-files',
      data: this.#options,
    });
    let isHeld = true;
    return {
      worker: this.#worker,
      [Symbol.dispose]: () => {
        if (isHeld) this.#release();
        isHeld = false;
      },
    };
  }

  #release(): void {
    this.#users -= 1;
    if (this.#users > 0) return;
    this.#idle = this.#clock.after(IDLE_MS, () => void this.#end());
  }

  async #end(): Promise<void> {
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#idle?.[Symbol.dispose]();
    await this.#end();
  }
}

interface FilesUse extends Disposable {
  worker: WorkerCalls<FilesHandlers>;
}

/** The files that one build reads: its context, and what it fetches. */
export class BuildContext implements Disposable {
  readonly id: string = randomUUID();
  readonly #use: FilesUse;
  #fetched = 0;

  constructor(use: FilesUse) {
    this.#use = use;
  }

  /** Takes in an archive as it comes. @throws Invalid */
  async receive(archive: AsyncIterable<Uint8Array>): Promise<{ entries: number; sizeBytes: number }> {
    const { worker } = this.#use;
    await worker.call('begin', this.id);
    const onTheWay = new Set<Promise<void>>();
    let failure: unknown;
    for await (const chunk of archive) {
      // What is sent takes all of the memory with it that it is a part of.
      const own = chunk.byteLength === chunk.buffer.byteLength ? chunk : new Uint8Array(chunk);
      const sent = worker.call('chunk', this.id, own).then(
        () => {},
        error => {
          failure ??= error;
        },
      );
      onTheWay.add(sent);
      void sent.then(() => onTheWay.delete(sent));
      if (onTheWay.size >= IN_FLIGHT) await Promise.race(onTheWay);
      if (failure !== undefined) throw failure;
    }
    await Promise.all(onTheWay);
    if (failure !== undefined) throw failure;
    return await worker.call('end', this.id);
  }

  async empty(): Promise<void> {
    await this.#use.worker.call('empty', this.id);
  }

  async remote(address: string, dockerfile: string): Promise<{ entries: number; sizeBytes: number }> {
    return await this.#use.worker.call('remote', this.id, address, dockerfile);
  }

  async read(path: string, maxBytes: number): Promise<string | undefined> {
    return await this.#use.worker.call('read', this.id, path, maxBytes);
  }

  async hide(files: readonly string[]): Promise<void> {
    await this.#use.worker.call('hide', this.id, files);
  }

  /** Fetches files into a tree of their own. */
  async fetch(addresses: readonly string[], checksum: string | undefined): Promise<{ tree: TreeName; names: string[] }> {
    const id = `${this.id}/${this.#fetched++}`;
    return { tree: { context: id }, names: await this.#use.worker.call('fetch', id, addresses, checksum) };
  }

  async digest(from: TreeName, paths: readonly string[], keyword: string): Promise<string> {
    return await this.#use.worker.call('digest', from, paths, keyword);
  }

  async place(call: PlaceCall): Promise<void> {
    await this.#use.worker.call('place', call);
  }

  async makeDirectory(root: string, path: string): Promise<void> {
    await this.#use.worker.call('makeDirectory', root, path);
  }

  [Symbol.dispose](): void {
    const { worker } = this.#use;
    const ids = [this.id, ...Array.from({ length: this.#fetched }, (_, i) => `${this.id}/${i}`)];
    for (const id of ids) worker.call('drop', id).catch(() => {}); // it has ended, and all is gone
    this.#use[Symbol.dispose]();
  }
}
