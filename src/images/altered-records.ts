import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { absent, syncDirectory } from './durable.ts';

/** So many are kept; the oldest goes first. */
const KEPT = 8;

/**
 * Records of names that the disk altered, as they are, out of the way of the start: `<dir>/<hash of the name>.json`. What a name said is lost with
 * it; that it was one is told until it is given again.
 */
export class AlteredRecords {
  readonly #dir: string;
  readonly #files: Set<string>;

  private constructor(dir: string, files: readonly string[]) {
    this.#dir = dir;
    this.#files = new Set(files);
  }

  static async open(dir: string): Promise<AlteredRecords> {
    return new AlteredRecords(dir, (await readdir(dir).catch(absent)) ?? []);
  }

  has(file: string): boolean {
    return this.#files.has(file);
  }

  /** Moves the file of a record there. */
  async take(path: string, file: string): Promise<void> {
    await mkdir(this.#dir, { recursive: true });
    await this.forget(file); // a directory takes no file's place
    await rename(path, join(this.#dir, file));
    await syncDirectory(this.#dir);
    this.#files.add(file);
    if (this.#files.size <= KEPT) return;
    const aged = await Promise.all([...this.#files].map(async name => ({ name, at: (await stat(join(this.#dir, name))).ctimeMs })));
    for (const { name } of aged.sort((a, b) => b.at - a.at).slice(KEPT)) await this.forget(name);
  }

  /** The name was given again, or nobody wants to know any more. */
  async forget(file: string): Promise<void> {
    if (this.#files.delete(file)) await rm(join(this.#dir, file), { recursive: true, force: true });
  }

  async clear(): Promise<void> {
    for (const file of [...this.#files]) await this.forget(file);
  }
}
