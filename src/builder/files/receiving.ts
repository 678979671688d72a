import { UmiakError } from '#base/errors.ts';
import { blockBytes } from '#images/tar-format.ts';
import { readTar } from '#images/tar-reader.ts';
import { unpacked } from './archives.ts';
import { ContextTree } from './context-tree.ts';
import type { FileContents } from './file-contents.ts';

/** Chunks that wait to be read; who sends more waits. */
const MOST_WAITING = 16;

/** A context that is on its way: chunks go in, the tree is there at the end. */
export class Receiving {
  readonly #chunks: Uint8Array[] = [];
  readonly #tree: Promise<ContextTree>;
  #more = Promise.withResolvers<void>();
  #room = Promise.withResolvers<void>();
  #isOver = false;
  #failure: unknown;

  constructor(contents: FileContents) {
    this.#tree = this.#receive(contents);
    this.#tree.catch(error => {
      this.#failure = error;
      this.#room.resolve();
    });
  }

  /** Resolves when there is room for more. @throws what is wrong with the archive */
  async add(chunk: Uint8Array): Promise<void> {
    this.#chunks.push(chunk);
    this.#more.resolve();
    while (this.#chunks.length > MOST_WAITING && this.#failure === undefined) await this.#room.promise;
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** No more chunks come. */
  async end(): Promise<ContextTree> {
    this.#isOver = true;
    this.#more.resolve();
    return await this.#tree;
  }

  abort(): void {
    this.#failure ??= new UmiakError('Gone', 'the build was given up');
    this.#isOver = true;
    this.#more.resolve();
    this.#room.resolve();
  }

  async #receive(contents: FileContents): Promise<ContextTree> {
    const tree = new ContextTree(contents);
    for await (const entry of readTar(inBlocks(unpacked(this.#read(), 'the build context')))) await tree.add(entry);
    return tree;
  }

  async *#read(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const chunk = this.#chunks.shift();
      if (chunk) {
        this.#room.resolve();
        this.#room = Promise.withResolvers<void>();
        yield chunk;
        continue;
      }
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#isOver) return;
      await this.#more.promise;
      this.#more = Promise.withResolvers<void>();
    }
  }
}

/** Docker's command leaves away what fills the last block when it adds a Dockerfile of its own (`-f -`). */
async function* inBlocks(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  for await (const chunk of source) {
    bytes += chunk.byteLength;
    yield chunk;
  }
  if (bytes % blockBytes !== 0) yield new Uint8Array(blockBytes - (bytes % blockBytes));
}
