import {
  chmodSync,
  closeSync,
  createReadStream,
  fchmodSync,
  fchownSync,
  lchownSync,
  linkSync,
  openSync,
  readSync,
  rmSync,
  symlinkSync,
  writeSync,
} from 'node:fs';
import { open } from 'node:fs/promises';
import { posix } from 'node:path';
import { Readable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import { UmiakError } from '#base/errors.ts';
import { fromText, toText } from '#images/tar-format.ts';
import { readTar, type TarEntry } from '#images/tar-reader.ts';
import { setFileTime, setTime, setXattr } from '#linux/file-attributes.ts';
import { isArchive, unpacked } from './archives.ts';
import { isKeptXattr } from './context-tree.ts';
import type { ContentPlace } from './file-contents.ts';
import { lstat, RootPaths } from './root-paths.ts';
import { type FoundSource, type SourceNode, type SourceTree, walk } from './source-tree.ts';

export interface PlaceOptions {
  /** The file system that is written to. */
  root: string;
  tree: SourceTree;
  sources: readonly FoundSource[];
  /** Absolute; ends in `/` when it is a directory. */
  destination: string;
  uid: number;
  gid: number;
  /** In the place of the files' own. */
  mode?: number | undefined;
  /** Archives among the sources are unpacked. */
  unpacks: boolean;
  keyword: string;
}

/** Others of this thread get their turn after so many files. */
const TURN_FILES = 64;

/** Copies sources into a file system, as `COPY` and `ADD` do. Blocks for some files at a time: for worker threads. @throws Invalid in docker's words */
export async function placeSources(options: PlaceOptions): Promise<void> {
  const placing = new Placing(options);
  for (const source of options.sources) await placing.source(source);
}

class Placing {
  readonly #options: PlaceOptions;
  readonly #paths: RootPaths;
  readonly #destination: string;
  /** What was copied of files that have several names. */
  readonly #links = new Map<string, Buffer>();
  #files = 0;

  constructor(options: PlaceOptions) {
    this.#options = options;
    this.#paths = new RootPaths(options.root);
    this.#destination = fromText(options.destination);
  }

  async source({ path, name, node }: FoundSource): Promise<void> {
    const { unpacks, keyword, sources } = this.#options;
    if (node.type === 'directory') return await this.#directory(path);
    if (node.type === 'file' && unpacks && (await isArchive(contentOf(node)))) return await this.#archive(node, name);
    const asked = this.#paths.resolve(this.#destination);
    const isDirectory = this.#destination.endsWith('/') || lstat(asked)?.isDirectory();
    if (sources.length > 1 && !isDirectory)
      throw new UmiakError(
        'Invalid',
        `When using ${keyword} with more than one source file, the destination must be a directory and end with a /`,
      );
    const target = isDirectory ? posix.join(this.#destination, name) : this.#destination;
    const parent = this.#parent(posix.dirname(target));
    await this.#put(node, this.#paths.resolve(target), parent, target);
  }

  async #directory(top: string): Promise<void> {
    const { tree } = this.#options;
    for (const { path, node } of walk(tree, top)) {
      const below = path.slice(top.length).replace(/^\//, '');
      const target = posix.join(this.#destination, below);
      if (node.type === 'directory') {
        const isNew = lstat(this.#paths.resolve(target)) === undefined;
        const place = this.#parent(target);
        if (isNew || below !== '') this.#describe(Buffer.from(place, 'latin1'), node);
      } else {
        const parent = this.#parent(posix.dirname(target));
        await this.#put(node, `${parent}/${posix.basename(target)}`, parent, target);
      }
    }
  }

  /** A directory, made with its parents as ours are. */
  #parent(path: string): string {
    const { uid, gid } = this.#options;
    return this.#paths.directory(path, made => lchownSync(made, uid, gid));
  }

  async #put(node: SourceNode, place: string, parent: string, path: string): Promise<void> {
    if (++this.#files % TURN_FILES === 0) await setImmediate();
    if (node.type === 'other') return;
    const target = Buffer.from(place, 'latin1');
    if (!place.startsWith(`${parent}/`)) this.#parent(posix.dirname(place)); // a link led elsewhere
    const linked = node.linkId === undefined ? undefined : this.#links.get(node.linkId);
    const make = () => {
      if (linked) linkSync(linked, target);
      else if (node.type === 'symlink') symlinkSync(Buffer.from(node.linkName, 'latin1'), target);
      else this.#write(node, target);
    };
    try {
      make();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      if (lstat(place)?.isDirectory()) throw new UmiakError('Invalid', `cannot copy to directory: ${toText(path)}`);
      rmSync(target);
      make();
    }
    if (linked) return;
    if (node.linkId !== undefined) this.#links.set(node.linkId, target);
    if (node.type === 'symlink') this.#describe(target, node);
  }

  /** A file with its attributes. @throws EEXIST */
  #write(node: SourceNode, target: Buffer): void {
    const { uid, gid, mode = node.mode } = this.#options;
    const fd = openSync(target, 'wx', 0o600);
    try {
      copyContent(node, fd);
      if (uid !== OWN_UID || gid !== OWN_GID) fchownSync(fd, uid, gid);
      fchmodSync(fd, mode & 0o7777);
      for (const [name, value] of node.xattrs) setXattr(target, name, value);
      setFileTime(fd, node);
    } finally {
      closeSync(fd);
    }
  }

  #describe(target: Buffer, node: SourceNode): void {
    const { uid, gid, mode = node.mode } = this.#options;
    lchownSync(target, uid, gid);
    if (node.type !== 'symlink') chmodSync(target, mode & 0o7777);
    for (const [name, value] of node.xattrs) setXattr(target, name, value);
    setTime(target, node);
  }

  /** Into the destination, which is a directory then; owners and modes are the archive's. */
  async #archive(node: SourceNode, name: string): Promise<void> {
    const source = contentOf(node);
    const directories: { place: Buffer; entry: TarEntry }[] = [];
    this.#parent(this.#destination);
    for await (const entry of readTar(unpacked(source, toText(name)))) {
      const components = entry.name.split('/').filter(component => component !== '' && component !== '.');
      if (components.includes('..'))
        throw new UmiakError('Invalid', `${toText(name)}: its entry ${JSON.stringify(toText(entry.name.slice(0, 300)))} leaves it`);
      const base = components.pop();
      if (base === undefined) continue;
      const parent = this.#parent([this.#destination, ...components].join('/'));
      const place = `${parent}/${base}`;
      const target = Buffer.from(place, 'latin1');
      const present = lstat(place);
      if (entry.type === 'directory') {
        const path = [this.#destination, ...components, base].join('/');
        if (present && !present.isDirectory() && !present.isSymbolicLink()) rmSync(target);
        directories.push({ place: Buffer.from(this.#parent(path), 'latin1'), entry });
        continue;
      }
      if (present) {
        rmSync(target, { recursive: true });
        if (!present.isFile()) this.#paths.forget();
      }
      await this.#unpack(entry, target);
      if (++this.#files % TURN_FILES === 0) await setImmediate();
    }
    for (const { place, entry } of directories) describeEntry(place, entry);
  }

  async #unpack(entry: TarEntry, target: Buffer): Promise<void> {
    if (entry.type === 'file') await writeBody(entry, target);
    else if (entry.type === 'symlink') {
      symlinkSync(Buffer.from(entry.linkName, 'latin1'), target);
      this.#paths.forget();
    } else if (entry.type === 'link') {
      const components = entry.linkName.split('/').filter(component => component !== '' && component !== '.');
      if (components.includes('..'))
        throw new UmiakError('Invalid', `the archive's hard link to ${JSON.stringify(toText(entry.linkName.slice(0, 300)))} leaves it`);
      const base = components.pop() ?? '';
      const from = `${this.#parent([this.#destination, ...components].join('/'))}/${base}`;
      if (lstat(from)?.isFile() !== true)
        throw new UmiakError('Invalid', `the archive's hard link to ${JSON.stringify(toText(entry.linkName.slice(0, 300)))} leads nowhere`);
      linkSync(Buffer.from(from, 'latin1'), target);
      return;
    } else return; // devices have no place in an image
    describeEntry(target, entry);
  }
}

const [OWN_UID, OWN_GID] = [process.geteuid?.() ?? 0, process.getegid?.() ?? 0];
const BUFFER = Buffer.allocUnsafeSlow(1 << 20);

/** The content of a file, to the end of what `fd` writes. */
function copyContent({ content }: SourceNode, fd: number): void {
  if (typeof content !== 'string') {
    copyPart(content, fd);
    return;
  }
  const source = openSync(Buffer.from(content, 'latin1'), 'r');
  try {
    copyPart({ fd: source, path: '', offset: 0, length: Number.POSITIVE_INFINITY }, fd);
  } finally {
    closeSync(source);
  }
}

function copyPart({ fd: source, offset, length }: ContentPlace, target: number): void {
  for (let done = 0; done < length; ) {
    const got = readSync(source, BUFFER, 0, Math.min(BUFFER.length, length - done), offset + done);
    if (got === 0) return;
    for (let at = 0; at < got; ) at += writeSync(target, BUFFER, at, got - at);
    done += got;
  }
}

/** The content as a stream. */
function contentOf({ content }: SourceNode): AsyncIterable<Buffer> {
  const highWaterMark = 256 << 10;
  if (typeof content === 'string') return createReadStream(Buffer.from(content, 'latin1'), { highWaterMark });
  if (content.length === 0) return Readable.from([]);
  return createReadStream(content.path, { highWaterMark, start: content.offset, end: content.offset + content.length - 1 });
}

async function writeBody(entry: TarEntry, target: Buffer): Promise<void> {
  const file = await open(target, 'wx', 0o600);
  try {
    for await (const chunk of entry.body()) for (let at = 0; at < chunk.length; ) at += (await file.write(chunk, at)).bytesWritten;
  } finally {
    await file.close();
  }
}

function describeEntry(target: Buffer, entry: TarEntry): void {
  lchownSync(target, entry.uid, entry.gid);
  if (entry.type !== 'symlink') chmodSync(target, entry.mode);
  for (const [name, value] of entry.xattrs) if (isKeptXattr(name)) setXattr(target, name, value);
  setTime(target, entry);
}

/** A directory, as `WORKDIR` makes it. */
export function placeDirectory(root: string, path: string): void {
  new RootPaths(root).directory(fromText(path), place => lchownSync(place, 0, 0));
}
