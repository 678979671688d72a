import { createHash } from 'node:crypto';
import { type BigIntStats, createReadStream, lstatSync, readdirSync, readlinkSync } from 'node:fs';
import { getXattr, listXattrs } from '#linux/file-attributes.ts';
import { isKeptXattr } from './context-tree.ts';
import type { SourceNode, SourceTree } from './source-tree.ts';

const READ_BYTES = 256 << 10;

/** A directory of this machine that nobody changes meanwhile: the mounted file system of a stage. */
export class DirectoryTree implements SourceTree {
  readonly #root: string;

  constructor(root: string) {
    this.#root = Buffer.from(root, 'utf8').toString('latin1');
  }

  node(path: string): SourceNode | undefined {
    const full = this.#path(path);
    const stat = statOf(full);
    if (!stat) return undefined;
    const type = stat.isFile() ? 'file' : stat.isDirectory() ? 'directory' : stat.isSymbolicLink() ? 'symlink' : 'other';
    const bytes = Buffer.from(full, 'latin1');
    const xattrs = type === 'file' || type === 'directory' ? readXattrs(bytes) : NONE;
    return {
      type,
      mode: Number(stat.mode) & 0o7777,
      mtime: Number(stat.mtimeNs / 1_000_000_000n),
      mtimeNanos: Number(stat.mtimeNs % 1_000_000_000n),
      sizeBytes: Number(stat.size),
      linkName: type === 'symlink' ? readlinkSync(bytes, 'latin1') : '',
      xattrs,
      content: full,
      ...(type === 'file' && stat.nlink > 1n ? { linkId: `${stat.dev}:${stat.ino}` } : {}),
    };
  }

  children(path: string): string[] {
    return readdirSync(Buffer.from(this.#path(path), 'latin1'), 'latin1').sort();
  }

  async hashOf(path: string): Promise<string> {
    const hash = createHash('sha256');
    for await (const chunk of createReadStream(Buffer.from(this.#path(path), 'latin1'), { highWaterMark: READ_BYTES }))
      hash.update(chunk as Buffer);
    return hash.digest('hex');
  }

  #path(path: string): string {
    return path === '' ? this.#root : `${this.#root}/${path}`;
  }
}

function statOf(place: string): BigIntStats | undefined {
  try {
    return lstatSync(Buffer.from(place, 'latin1'), { throwIfNoEntry: false, bigint: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOTDIR') return undefined; // below a file there is nothing
    throw error;
  }
}

const NONE: ReadonlyMap<string, Buffer> = new Map();

function readXattrs(path: Buffer): ReadonlyMap<string, Buffer> {
  const names = listXattrs(path).filter(isKeptXattr);
  if (names.length === 0) return NONE;
  return new Map(
    names.flatMap(name => {
      const value = getXattr(path, name);
      return value ? [[name, value] as const] : [];
    }),
  );
}
