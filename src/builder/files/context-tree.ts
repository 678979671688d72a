import { UmiakError } from '#base/errors.ts';
import { toText } from '#images/tar-format.ts';
import type { TarEntry } from '#images/tar-reader.ts';
import type { DiskGuard } from '#images/unpack-limits.ts';
import type { FileContents } from './file-contents.ts';
import { join, type SourceNode, type SourceTree } from './source-tree.ts';

interface ContextNode extends SourceNode {
  hash: string;
  /** Of a directory. */
  names: Set<string>;
}

const MAX_ENTRIES = 1_000_000;
/** Of all names and link targets of one context: they are held in memory. */
const MAX_NAME_BYTES = 256 << 20;

/** A build's context, as its archive tells it: names and attributes in memory, contents in the store. */
export class ContextTree implements SourceTree {
  readonly #contents: FileContents;
  readonly #guard: DiskGuard;
  readonly #nodes = new Map<string, ContextNode>([['', directoryNode(0o755, 0)]]);
  /** Of all its files. */
  sizeBytes = 0;
  #nameBytes = 0;

  constructor(contents: FileContents) {
    this.#contents = contents;
    this.#guard = contents.guard();
  }

  get entries(): number {
    return this.#nodes.size - 1;
  }

  node(path: string): SourceNode | undefined {
    return this.#nodes.get(path);
  }

  children(path: string): string[] {
    return [...(this.#nodes.get(path)?.names ?? [])].sort();
  }

  async hashOf(path: string): Promise<string> {
    return this.#nodes.get(path)?.hash ?? '';
  }

  /** The content of a file, or undefined where there is none. */
  async read(path: string, maxBytes: number): Promise<Buffer | undefined> {
    const node = this.#nodes.get(path);
    if (node?.type !== 'file') return undefined;
    if (node.sizeBytes > maxBytes) throw new UmiakError('Invalid', `${toText(path)} is longer than ${maxBytes} bytes`);
    return this.#contents.read(node.hash);
  }

  /** What a person doesn't want to have in it. */
  remove(path: string): void {
    this.#nodes.delete(path);
    const slash = path.lastIndexOf('/');
    this.#nodes.get(slash < 0 ? '' : path.slice(0, slash))?.names.delete(path.slice(slash + 1));
  }

  /** Takes in one entry of the archive. @throws Invalid for a name that leaves the context */
  async add(entry: TarEntry): Promise<void> {
    if (this.#nodes.size > MAX_ENTRIES) throw new UmiakError('Invalid', `the build context has more than ${MAX_ENTRIES} files`);
    const path = pathOf(entry.name);
    this.#nameBytes += path.length + entry.linkName.length;
    if (this.#nameBytes > MAX_NAME_BYTES) throw new UmiakError('Invalid', 'the names of the build context are too much');
    const { mtime, mtimeNanos, mode, linkName, sizeBytes, xattrs } = entry;
    const time = mtimeNanos === undefined ? { mtime } : { mtime, mtimeNanos };
    const plain = {
      ...time,
      mode,
      linkName,
      xattrs: filterXattrs(xattrs),
      content: '',
      hash: '',
      sizeBytes: 0,
      names: new Set<string>(),
    };
    if (entry.type === 'directory') {
      const present = this.#nodes.get(path);
      if (present?.type === 'directory') Object.assign(present, { mode, ...time });
      else this.#place(path, { ...plain, type: 'directory' });
    } else if (entry.type === 'file') {
      const hash = await this.#contents.write(entry.body(), sizeBytes, this.#guard);
      this.sizeBytes += sizeBytes;
      this.#place(path, { ...plain, type: 'file', hash, sizeBytes, content: this.#contents.place(hash) });
    } else if (entry.type === 'symlink') this.#place(path, { ...plain, type: 'symlink' });
    else if (entry.type === 'link') {
      const target = this.#nodes.get(pathOf(linkName));
      if (!target || target.type === 'directory')
        throw new UmiakError(
          'Invalid',
          `the build context's ${toText(path)} is a hard link to ${toText(linkName)}, which is not before it`,
        );
      this.#place(path, { ...target });
    } else this.#place(path, { ...plain, type: 'other' });
  }

  /** Takes in a file as it comes; its hash. */
  async addFile(name: string, body: AsyncIterable<Uint8Array>, { mtime, mode }: { mtime: number; mode: number }): Promise<string> {
    const { hash, sizeBytes } = await this.#contents.writeUntold(body, this.#guard);
    const content = this.#contents.place(hash);
    this.#place(name, { type: 'file', mode, mtime, sizeBytes, linkName: '', xattrs: new Map(), content, hash, names: new Set() });
    return hash;
  }

  #place(path: string, node: ContextNode): void {
    if (path === '') {
      if (node.type !== 'directory') throw new UmiakError('Invalid', 'the build context has a file in the place of its top directory');
      return;
    }
    const slash = path.lastIndexOf('/');
    const parent = slash < 0 ? '' : path.slice(0, slash);
    if (this.#nodes.get(parent)?.type !== 'directory') {
      if (this.#nodes.has(parent)) throw new UmiakError('Invalid', `the build context has ${toText(path)} below what is no directory`);
      this.#place(parent, directoryNode(0o755, node.mtime));
    }
    const present = this.#nodes.get(path);
    if (present?.type === 'directory') for (const name of present.names) this.#forget(join(path, name));
    this.#nodes.set(path, node);
    this.#nodes.get(parent)?.names.add(path.slice(slash + 1));
  }

  #forget(path: string): void {
    for (const name of this.#nodes.get(path)?.names ?? []) this.#forget(join(path, name));
    this.#nodes.delete(path);
  }
}

function directoryNode(mode: number, mtime: number): ContextNode {
  return { type: 'directory', mode, mtime, sizeBytes: 0, linkName: '', xattrs: new Map(), content: '', hash: '', names: new Set() };
}

const MAX_DEPTH = 1024;

function pathOf(name: string): string {
  const components = name.split('/').filter(component => component !== '' && component !== '.');
  if (components.includes('..'))
    throw new UmiakError('Invalid', `the build context's entry ${JSON.stringify(toText(name.slice(0, 300)))} leaves the context`);
  if (components.length > MAX_DEPTH) throw new UmiakError('Invalid', `the build context has directories more than ${MAX_DEPTH} deep`);
  return components.join('/');
}

/** Those that images keep. */
export function filterXattrs(xattrs: ReadonlyMap<string, Buffer>): ReadonlyMap<string, Buffer> {
  if (xattrs.size === 0) return xattrs;
  return new Map([...xattrs].filter(([name]) => isKeptXattr(name)));
}

/** Whether an attribute goes with a file into an image. */
export function isKeptXattr(name: string): boolean {
  return name === 'security.capability' || (name.startsWith('user.') && !name.startsWith('user.overlay.'));
}
