import { type FileHandle, open, rm } from 'node:fs/promises';
import { UmiakError } from '#base/errors.ts';
import { mergedDirectories } from './debian-lists.ts';
import { fromText, type TarHeader, toText } from './tar-format.ts';
import { tarEnd, tarHeader, tarHeaderOf, tarPadding } from './tar-writer.ts';

interface Node {
  header: TarHeader;
  /** Where its content lies in the spool. */
  offset: number;
}

/** What a path in the tree is to be. Names are byte strings without a leading slash. */
export type TreeEntry = Partial<TarHeader> & Pick<TarHeader, 'name' | 'type'>;

/**
 * A root file system in the making: later entries replace earlier ones, directories merge, paths in `/bin`, `/lib`, … land in `/usr`.
 * Contents wait in a spool file; the archive comes out sorted, so that the same entries give the same bytes.
 */
export class ImageTree implements AsyncDisposable {
  readonly #nodes = new Map<string, Node>();
  readonly #spool: FileHandle;
  #spooled = 0;

  private constructor(spool: FileHandle) {
    this.#spool = spool;
  }

  static async open(spoolPath: string): Promise<ImageTree> {
    const spool = await open(spoolPath, 'w+', 0o600);
    await rm(spoolPath);
    return new ImageTree(spool);
  }

  has(name: string): boolean {
    return this.#nodes.has(toMergedPath(name));
  }

  /** Names of everything that is there. */
  names(): string[] {
    return [...this.#nodes.keys()];
  }

  async add(entry: TreeEntry, content?: AsyncIterable<Uint8Array> | Uint8Array): Promise<void> {
    const name = toMergedPath(entry.name);
    if (name === '') return;
    const before = this.#nodes.get(name);
    if (before?.header.type === 'directory' && entry.type !== 'directory')
      throw new UmiakError('Invalid', `/${toText(name)} is a directory already and can't become a ${entry.type}`);
    const offset = this.#spooled;
    if (content !== undefined) for await (const chunk of content instanceof Uint8Array ? [content] : content) await this.#write(chunk);
    const linkName = entry.type === 'link' ? toMergedPath(entry.linkName ?? '') : (entry.linkName ?? '');
    this.#nodes.set(name, { header: tarHeaderOf({ ...entry, name, linkName, sizeBytes: this.#spooled - offset }), offset });
  }

  /** A directory only if nothing is there yet. */
  async ensureDirectory(name: string, attributes: Partial<TarHeader> = {}): Promise<void> {
    if (!this.has(name)) await this.add({ ...attributes, name, type: 'directory' });
  }

  /** A link at the top for a directory that lies in /usr: `/bin` → `usr/bin`. */
  addMergedLink(name: string, mtime: number): void {
    this.#nodes.set(name, { header: tarHeaderOf({ name, type: 'symlink', linkName: `usr/${name}`, mtime }), offset: 0 });
  }

  /** The archive: sorted, parents before children, no time after `latest` (seconds). */
  async *toTar(latest: number): AsyncGenerator<Uint8Array, void, undefined> {
    this.#addParents();
    const sorted = [...this.#nodes].sort(([a], [b]) => (a < b ? -1 : 1));
    for (const [name, { header, offset }] of this.#withLinksResolved(sorted)) {
      const mtime = Math.max(0, Math.min(latest, Math.floor(header.mtime)));
      yield tarHeader({ ...header, name: header.type === 'directory' ? `${name}/` : name, mtime });
      if (header.sizeBytes === 0) continue;
      yield* this.#read(offset, header.sizeBytes);
      yield tarPadding(header.sizeBytes);
    }
    yield tarEnd;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#spool.close();
  }

  /** Sorting may put a hard link before what it links to: the first of a group carries the content. */
  *#withLinksResolved(sorted: [string, Node][]): Generator<[string, Node]> {
    const carriers = new Map<Node, string>();
    for (const [name, node] of sorted) {
      const original = this.#originalOf(node, name);
      if (original.header.type === 'directory') {
        yield [name, node];
        continue;
      }
      const carrier = carriers.get(original);
      if (carrier === undefined) carriers.set(original, name);
      yield carrier === undefined
        ? [name, { header: { ...original.header, name }, offset: original.offset }]
        : [name, { header: { ...original.header, name, type: 'link', linkName: carrier, sizeBytes: 0, xattrs: new Map() }, offset: 0 }];
    }
  }

  #originalOf(node: Node, name: string): Node {
    let original = node;
    for (let hops = 0; original.header.type === 'link'; hops++) {
      const next = this.#nodes.get(original.header.linkName);
      if (next === undefined || hops > 10)
        throw new UmiakError('Invalid', `/${toText(name)} is a hard link to /${toText(original.header.linkName)}, which is not there`);
      original = next;
    }
    return original;
  }

  #addParents(): void {
    for (const name of [...this.#nodes.keys()])
      for (let slash = name.lastIndexOf('/'); slash > 0; slash = name.lastIndexOf('/', slash - 1)) {
        const parent = name.slice(0, slash);
        const present = this.#nodes.get(parent);
        if (present === undefined) this.#nodes.set(parent, { header: tarHeaderOf({ name: parent, type: 'directory' }), offset: 0 });
        else if (present.header.type !== 'directory')
          throw new UmiakError('Invalid', `/${toText(name)} can't be put below /${toText(parent)}, which is a ${present.header.type}`);
      }
  }

  async #write(chunk: Uint8Array): Promise<void> {
    for (let at = 0; at < chunk.byteLength; ) {
      const { bytesWritten } = await this.#spool.write(chunk, at, chunk.byteLength - at, this.#spooled);
      at += bytesWritten;
      this.#spooled += bytesWritten;
    }
  }

  async *#read(offset: number, length: number): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < length; ) {
      const { bytesRead, buffer } = await this.#spool.read(
        Buffer.allocUnsafe(Math.min(262144, length - at)),
        0,
        Math.min(262144, length - at),
        offset + at,
      );
      if (bytesRead === 0) throw new UmiakError('InternalError', 'the spool of an image being assembled was cut short');
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  }
}

/** `./bin/sh` → `usr/bin/sh`: the path as it is where /usr is merged, without `.`, leading and trailing slashes. */
export function toMergedPath(name: string): string {
  const components = name.split('/').filter(component => component !== '' && component !== '.');
  if (components.includes('..')) throw new UmiakError('Invalid', `${JSON.stringify(toText(name))} has .. in it`);
  if (components.length > 0 && mergedDirectories.includes(components[0]!)) components.unshift('usr');
  return components.join('/');
}

/** Text to a tree's name. */
export function toTreeName(path: string): string {
  return fromText(path).replace(/^\/+/, '');
}
