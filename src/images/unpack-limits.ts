import { statfsSync } from 'node:fs';

/** What one layer may take. Without words of their own, layers may fill the disk up to what is kept free, and are refused before they do. */
export interface UnpackLimits {
  /** Content of all its files. */
  bytes?: number;
  entries?: number;
  /** What stays free on the file system; by default 2 % of it, 256 MB at most. */
  keepFreeBytes?: number;
}

const MOST_ENTRIES = 10_000_000;
const MOST_KEPT_FREE = 256 * 2 ** 20;
/** Others write to the disk, too: it is asked again after as many bytes and entries. */
const ASK_AFTER_BYTES = 32 * 2 ** 20;
const ASK_AFTER_ENTRIES = 4096;
/** What a file takes at least. */
const BLOCK_BYTES = 4096;

/** Counts what a layer takes of its file system, and says in words when it takes too much: before it is written. */
export class DiskGuard {
  readonly #root: string;
  readonly #bytes: number;
  readonly #entries: number;
  readonly #keepFreeBytes: number | undefined;
  #usedBytes = 0;
  #usedEntries = 0;
  #unaskedBytes = Number.POSITIVE_INFINITY;
  #unaskedEntries = 0;

  constructor(root: string, { bytes = Number.POSITIVE_INFINITY, entries = MOST_ENTRIES, keepFreeBytes }: UnpackLimits = {}) {
    this.#root = root;
    this.#bytes = bytes;
    this.#entries = entries;
    this.#keepFreeBytes = keepFreeBytes;
  }

  /** An entry whose content has so many bytes is to be written. Returns why it must not be. */
  refusalOf(contentBytes: number): string | undefined {
    this.#usedEntries += 1;
    this.#usedBytes += contentBytes;
    if (this.#usedEntries > this.#entries) return `the layer has more than ${this.#entries} entries`;
    if (this.#usedBytes > this.#bytes) return `with it the layer has more than ${this.#bytes} bytes`;
    this.#unaskedBytes += contentBytes + BLOCK_BYTES;
    this.#unaskedEntries += 1;
    if (this.#unaskedBytes < ASK_AFTER_BYTES && this.#unaskedEntries < ASK_AFTER_ENTRIES) return undefined;
    this.#unaskedBytes = 0;
    this.#unaskedEntries = 0;
    const { bsize, blocks, bavail, files, ffree } = statfsSync(this.#root);
    const kept = this.#keepFreeBytes ?? Math.min(MOST_KEPT_FREE, Math.floor(blocks * bsize * 0.02));
    if (contentBytes + kept > bavail * bsize)
      return `its ${contentBytes} bytes do not fit: the disk has ${bavail * bsize} bytes left, of which ${kept} are kept free`;
    if (files > 0 && ffree < ASK_AFTER_ENTRIES && ffree < files * 0.02) return `the file system has ${ffree} inodes left`;
    return undefined;
  }
}
