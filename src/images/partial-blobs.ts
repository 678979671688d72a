import { unlinkSync } from 'node:fs';
import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isUmiakError } from '#base/errors.ts';
import { type Digest, hexOf, isDigest } from './digest.ts';
import { absent } from './durable.ts';

/** A part that nobody went on with for so long goes with the next collection; containerd keeps them as long. */
const KEPT_MS = 86_400_000;
/** Of all parts together; the oldest goes first. */
const MOST_BYTES = 8 * 2 ** 30;
const PART = '.part';

/**
 * What came of blobs whose download broke off, `<dir>/<hex>.part`: whoever wants the blob next goes on from there, also after a restart or a
 * kill. Nothing is believed of a part: the whole is verified in the end.
 */
export class PartialBlobs {
  readonly #dir: string;
  readonly #growing = new Set<Digest>();
  readonly #isHeld: (digest: Digest) => boolean;

  /** `isHeld` tells which parts stay even when all others go. */
  constructor(dir: string, isHeld: (digest: Digest) => boolean) {
    this.#dir = dir;
    this.#isHeld = isHeld;
  }

  /** Makes the folder; what lies there and is no part is removed. Returns whether anything lay there. */
  async open(): Promise<boolean> {
    await mkdir(this.#dir, { recursive: true });
    const names = await readdir(this.#dir);
    for (const name of names) if (digestIn(name) === undefined) await rm(join(this.#dir, name), { recursive: true, force: true });
    return names.length > 0;
  }

  /** The part of a blob, to be written by one at a time; undefined while somebody does. */
  grow(digest: Digest): (Disposable & { path: string }) | undefined {
    if (this.#growing.has(digest)) return undefined;
    this.#growing.add(digest);
    return { path: this.#pathOf(digest), [Symbol.dispose]: () => void this.#growing.delete(digest) };
  }

  /** Removes parts that are too old or too many; or all that are not held. */
  async collect({ all = false, nowMs = Date.now() } = {}): Promise<number> {
    const parts: { digest: Digest; size: number; mtimeMs: number }[] = [];
    for (const name of await readdir(this.#dir)) {
      const digest = digestIn(name);
      const its = digest && (await stat(this.#pathOf(digest)).catch(absent));
      if (digest && its) parts.push({ digest, size: its.size, mtimeMs: its.mtimeMs });
    }
    parts.sort((a, b) => b.mtimeMs - a.mtimeMs);
    let [keptBytes, freedBytes] = [0, 0];
    for (const { digest, size, mtimeMs } of parts) {
      // A clock that was set back makes parts of the future.
      const isFresh = Math.abs(nowMs - mtimeMs) < KEPT_MS && keptBytes + size <= MOST_BYTES;
      if (this.#growing.has(digest) || this.#isHeld(digest) || (isFresh && !all)) keptBytes += size;
      else {
        unlinkSync(this.#pathOf(digest));
        freedBytes += size;
      }
    }
    return freedBytes;
  }

  #pathOf(digest: Digest): string {
    return join(this.#dir, hexOf(digest) + PART);
  }
}

/** Whether what came before this failure is worth keeping: the source broke off, or nobody waits any longer. */
export function mayGoOn(error: unknown): boolean {
  if (isUmiakError(error)) return error.reason === 'ServiceUnavailable' || error.reason === 'Timeout' || error.reason === 'TooManyRequests';
  return error instanceof Error && (error.name === 'AbortError' || error.name === 'TimeoutError');
}

function digestIn(name: string): Digest | undefined {
  const digest = `sha256:${name.slice(0, -PART.length)}`;
  return name.endsWith(PART) && isDigest(digest) ? digest : undefined;
}
