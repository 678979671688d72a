import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Digest, hexOf, isDigest } from './digest.ts';
import { absent, syncDirectory } from './durable.ts';
import { parseJsonObject } from './oci.ts';

/** A blob that was found to be something else than its name says. */
export interface QuarantinedBlob {
  digest: Digest;
  sizeBytes: number;
  /** RFC 3339. */
  foundAt: string;
  why: string;
}

/** So many are kept for those who want to know what their disk did; the oldest goes first. */
const KEPT = 8;

/** Corrupt blobs, out of the way of all who'd read them: `<dir>/<hex>` and a note, `<dir>/<hex>.json`. */
export class Quarantine {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = dir;
  }

  /** Moves the file there; one that is gone already was moved or removed by somebody else. */
  async take(path: string, digest: Digest, why: string): Promise<void> {
    const { size } = (await stat(path).catch(absent)) ?? {};
    if (size === undefined) return;
    await mkdir(this.#dir, { recursive: true });
    const note: QuarantinedBlob = { digest, sizeBytes: size, foundAt: new Date().toISOString(), why };
    await rename(path, join(this.#dir, hexOf(digest))).catch(absent);
    await writeFile(join(this.#dir, `${hexOf(digest)}.json`), `${JSON.stringify(note)}\n`);
    await syncDirectory(this.#dir);
    const kept = (await this.list()).sort((a, b) => (a.foundAt < b.foundAt ? 1 : -1));
    for (const { digest: old } of kept.slice(KEPT)) await this.#drop(old);
  }

  async find(digest: Digest): Promise<QuarantinedBlob | undefined> {
    const text = await readFile(join(this.#dir, `${hexOf(digest)}.json`)).catch(absent);
    if (text === undefined) return undefined;
    const { sizeBytes, foundAt, why } = parseJsonObject(text, 'a note of the quarantine');
    return { digest, sizeBytes: Number(sizeBytes), foundAt: String(foundAt), why: String(why) };
  }

  async list(): Promise<QuarantinedBlob[]> {
    const names = (await readdir(this.#dir).catch(absent)) ?? [];
    const digests = names.map(name => `sha256:${name}`).filter(isDigest);
    const found = await Promise.all(digests.map(digest => this.find(digest)));
    return digests.map((digest, i) => found[i] ?? { digest, sizeBytes: 0, foundAt: '', why: 'a process was killed before it wrote why' });
  }

  /** Removes what is kept; returns the bytes that gave back. */
  async clear(): Promise<number> {
    const kept = await this.list();
    for (const { digest } of kept) await this.#drop(digest);
    return kept.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  }

  async #drop(digest: Digest): Promise<void> {
    for (const suffix of ['', '.json']) await rm(join(this.#dir, hexOf(digest) + suffix), { force: true });
  }
}
