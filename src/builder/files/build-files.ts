import { randomUUID } from 'node:crypto';
import { type Clock, systemClock } from '#base/clock.ts';
import { WorkerCalls } from '#base/worker-calls.ts';
import { send } from '#engine/files/transfers.ts';
import type { FileContentsOptions } from './file-contents.ts';
import type { FilesHandlers, PlaceCall, TreeName } from './files-worker.ts';

export type { PlaceCall, TreeName } from './files-worker.ts';

/** After that long without work the thread ends; it costs some megabytes. */
const IDLE_MS = 30_000;
/** It may be busy with large files of other builds. */
const PATIENCE_MS = 600_000;

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
    // Builds that had files in one that failed have failed with it; the next ones begin anew.
    if (this.#worker?.hasEnded) this.#worker = undefined;
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

  /** Takes in an archive as it comes, which goes through memory that both threads see. @throws Invalid; the reason of `signal` */
  async receive(archive: AsyncIterable<Uint8Array>, signal?: AbortSignal): Promise<void> {
    const { worker } = this.#use;
    await send(memory => worker.call('receive', this.id, memory), archive, { signal, patienceMs: PATIENCE_MS });
  }

  async empty(): Promise<void> {
    await this.#use.worker.call('empty', this.id);
  }

  /** Takes in what is at an address: an archive, or a Dockerfile alone, which is called `dockerfile` then. @throws Invalid */
  async remote(address: string, dockerfile: string, signal: AbortSignal): Promise<void> {
    await this.#unlessGivenUp(this.id, signal, this.#use.worker.call('remote', this.id, address, dockerfile));
  }

  async read(path: string, maxBytes: number): Promise<string | undefined> {
    return await this.#use.worker.call('read', this.id, path, maxBytes);
  }

  async hide(files: readonly string[]): Promise<void> {
    await this.#use.worker.call('hide', this.id, files);
  }

  /** Fetches files into a tree of their own. */
  async fetch(
    addresses: readonly string[],
    { checksum, signal }: { checksum?: string | undefined; signal: AbortSignal },
  ): Promise<{ tree: TreeName; names: string[] }> {
    const id = `${this.id}/${this.#fetched++}`;
    const names = await this.#unlessGivenUp(id, signal, this.#use.worker.call('fetch', id, addresses, checksum));
    return { tree: { context: id }, names };
  }

  /** What a call that fetches answers; it ends when nobody waits for it any more. */
  async #unlessGivenUp<T>(id: string, signal: AbortSignal, call: Promise<T>): Promise<T> {
    const giveUp = () => void this.#use.worker.call('giveUp', id).catch(() => {}); // it has ended, and all is gone
    signal.addEventListener('abort', giveUp, { once: true });
    if (signal.aborted) giveUp();
    try {
      return await call;
    } catch (error) {
      signal.throwIfAborted();
      throw error;
    } finally {
      signal.removeEventListener('abort', giveUp);
    }
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
