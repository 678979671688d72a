import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf, UmiakError } from '#base/errors.ts';
import { AlteredRecords } from './altered-records.ts';
import { absent, syncDirectory } from './content-store.ts';
import { type Digest, digestOf, hexOf, isDigest } from './digest.ts';
import { type Descriptor, parseDescriptor, parseJsonObject } from './oci.ts';

/** One name and what it stands for. */
export interface IndexEntry {
  /** Canonical: `docker.io/library/redis:7`, `docker.io/library/redis@sha256:…`; an image without a name has `<none>@sha256:…`. */
  name: string;
  /** What the registry or archive calls by that name: a manifest, or an index of several platforms. */
  target: Descriptor;
  /** The manifest within `target` that is for the wanted platform. */
  manifest: Descriptor;
  /** Milliseconds since the epoch. */
  updatedAtMs: number;
  /** The digest of the configuration. Absent, with `needs`, in entries that older versions wrote. */
  id?: Digest;
  /** Blobs and layers beside the documents, so that a document the disk altered doesn't cost what a container runs on. */
  needs?: Digest[];
  /** Not to be pruned. */
  pinned?: boolean;
}

/**
 * Names of images, one file each (`<dir>/<hash of the name>.json`), replaced by rename: every change of a name happens whole or
 * not at all and is on disk when the promise resolves. Held in memory; one process owns the directory. A record that the disk altered is no
 * name any more.
 */
export class ImageIndex {
  readonly #dir: string;
  readonly #entries = new Map<string, IndexEntry>();
  /** Changes run one after another, so that memory and disk agree on who was last. */
  #last: Promise<unknown> = Promise.resolve();
  readonly #onChange: () => void;
  readonly #altered: AlteredRecords;
  /** Files found altered at the opening, and why they are taken to be so. */
  readonly #found = new Map<string, string>();

  private constructor(dir: string, onChange: () => void, altered: AlteredRecords) {
    this.#dir = dir;
    this.#onChange = onChange;
    this.#altered = altered;
  }

  /** `onChange` is called after each change of a name. */
  static async open(dir: string, onChange: () => void = () => {}): Promise<ImageIndex> {
    await mkdir(dir, { recursive: true });
    const index = new ImageIndex(dir, onChange, await AlteredRecords.open(join(dir, ALTERED)));
    for (const file of await readdir(dir)) {
      const path = join(dir, file);
      if (file === ALTERED) continue;
      if (!file.endsWith('.json')) await rm(path, { force: true });
      else await index.#read(file);
    }
    return index;
  }

  async #read(file: string): Promise<void> {
    const path = join(this.#dir, file);
    try {
      const entry = parseEntry(await readFile(path), path);
      if (fileOf(entry.name) !== file) throw new UmiakError('InternalError', `${entry.name} is not the name that it was written for`);
      this.#entries.set(entry.name, entry);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== undefined && !OF_THE_DISK.has(code)) throw error;
      this.#found.set(file, messageOf(error));
    }
  }

  /** What was found altered at the opening and still lies there. */
  get foundAltered(): ReadonlyMap<string, string> {
    return this.#found;
  }

  /** Puts it out of the way. */
  async setAside(): Promise<void> {
    for (const file of this.#found.keys()) await this.#altered.take(join(this.#dir, file), file);
    await syncDirectory(this.#dir);
    this.#found.clear();
  }

  /** Whether there was such a name until the disk altered its record. */
  wasAltered(name: string): boolean {
    return this.#altered.has(fileOf(name));
  }

  /** Nobody wants to know of altered records any more. */
  forgetAltered(): Promise<void> {
    return this.#inTurn(() => this.#altered.clear());
  }

  get(name: string): IndexEntry | undefined {
    return this.#entries.get(name);
  }

  list(): IndexEntry[] {
    return [...this.#entries.values()];
  }

  /** Durable when it resolves. */
  set(entry: IndexEntry): Promise<void> {
    return this.#inTurn(async () => {
      const path = this.#pathOf(entry.name);
      const file = await open(`${path}.new`, 'w', 0o644);
      await file
        .writeFile(JSON.stringify(entry))
        .then(() => file.datasync())
        .finally(() => file.close());
      await rename(`${path}.new`, path);
      await syncDirectory(this.#dir);
      this.#found.delete(fileOf(entry.name));
      await this.#altered.forget(fileOf(entry.name));
      this.#entries.set(entry.name, entry);
      this.#onChange();
    });
  }

  /** Durable when it resolves; a name that is not there is no error. */
  delete(name: string): Promise<void> {
    return this.#inTurn(async () => {
      await rm(this.#pathOf(name)).catch(absent);
      this.#found.delete(fileOf(name));
      await syncDirectory(this.#dir);
      this.#entries.delete(name);
      this.#onChange();
    });
  }

  #inTurn<T>(change: () => Promise<T>): Promise<T> {
    const done = this.#last.then(change);
    this.#last = done.catch(() => {});
    return done;
  }

  #pathOf(name: string): string {
    return join(this.#dir, fileOf(name));
  }
}

/** What can't be read is as good as altered: a sector, or a directory in its place. */
const OF_THE_DISK = new Set(['EIO', 'EISDIR']);

/** Where altered records lie, below the names. */
const ALTERED = 'quarantine';

function fileOf(name: string): string {
  return `${hexOf(digestOf(name)).slice(0, 32)}.json`;
}

function parseEntry(bytes: Buffer, path: string): IndexEntry {
  const what = `the image record ${path}`;
  const { name, target, manifest, updatedAtMs, id, needs, pinned } = parseJsonObject(bytes, what);
  if (typeof name !== 'string' || typeof updatedAtMs !== 'number') throw new UmiakError('InternalError', `${what} has no name or time`);
  return {
    name,
    target: parseDescriptor(target, what, 'target'),
    manifest: parseDescriptor(manifest, what, 'manifest'),
    updatedAtMs,
    ...(isDigest(id) && Array.isArray(needs) && needs.every(isDigest) ? { id, needs } : {}),
    ...(pinned === true ? { pinned } : {}),
  };
}
