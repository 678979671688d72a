import { readFileSync } from 'node:fs';
import { workerData } from 'node:worker_threads';
import { UmiakError } from '#base/errors.ts';
import { serveCalls } from '#base/worker-calls.ts';
import { SharedPipe } from '#engine/files/shared-pipe.ts';
import { planUser } from '#engine/user.ts';
import { blockBytes, fromText, toText } from '#images/tar-format.ts';
import { readTar } from '#images/tar-reader.ts';
import { IgnoreRules } from '../ignore.ts';
import { fetchInto, streamOf } from './addresses.ts';
import { isArchive, peek, unpacked } from './archives.ts';
import { ContextTree } from './context-tree.ts';
import { DirectoryTree } from './directory-tree.ts';
import { FileContents, type FileContentsOptions } from './file-contents.ts';
import { placeDirectory, placeSources } from './place.ts';
import { lstat, RootPaths } from './root-paths.ts';
import { digestOfSources, explainContextSource, type FoundSource, findSources, follow, type SourceTree } from './source-tree.ts';

/** Where a copy reads: a context (or what was fetched) by its id, or a mounted file system. */
export type TreeName = { context: string } | { root: string };

export interface PlaceCall {
  from: TreeName;
  paths: string[];
  root: string;
  destination: string;
  chown?: string | undefined;
  mode?: number | undefined;
  unpacks: boolean;
  keyword: string;
}

const MAX_IGNORE_BYTES = 4 << 20;
const PEEK_BYTES = 1 << 20;
/** The one who sends ends it. */
const FOREVER_MS = 2 ** 31;

const contents = new FileContents(workerData as FileContentsOptions);
/** Contexts that are on their way. */
const receiving = new Set<string>();
const contexts = new Map<string, ContextTree>();
const fetches = new Map<string, AbortController>();

function treeOf(name: TreeName): SourceTree {
  if ('root' in name) return new DirectoryTree(name.root);
  const tree = contexts.get(name.context);
  if (!tree) throw new UmiakError('InternalError', 'the build context is gone');
  return tree;
}

function find(from: TreeName, paths: readonly string[], keyword: string): { tree: SourceTree; sources: FoundSource[] } {
  const tree = treeOf(from);
  return { tree, sources: findSources(tree, paths, explainContextSource(keyword)) };
}

function adopt(id: string, tree: ContextTree): void {
  contents.flush();
  contexts.set(id, tree);
}

/** Reads a context's archive. */
async function take(id: string, archive: AsyncIterable<Uint8Array>): Promise<void> {
  receiving.add(id);
  try {
    const tree = new ContextTree(contents);
    for await (const entry of readTar(inBlocks(archive))) await tree.add(entry);
    adopt(id, tree);
  } finally {
    receiving.delete(id);
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** Fetches for a context until it is given up. */
async function fetching<T>(id: string, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const abort = new AbortController();
  fetches.set(id, abort);
  try {
    return await work(abort.signal);
  } finally {
    fetches.delete(id);
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

/** What is asked of the thread that works on files; by id of a context. */
const handlers = {
  /** A context as it comes through a pipe. */
  receive: (id: string, memory: SharedArrayBuffer) => take(id, unpacked(new SharedPipe(memory).read(FOREVER_MS), 'the build context')),

  /** A context without files. */
  empty: (id: string) => adopt(id, new ContextTree(contents)),

  /** A context at an address: an archive, or a Dockerfile alone, which is called `dockerfile` then. */
  async remote(id: string, address: string, dockerfile: string) {
    await fetching(id, async signal => {
      const { start, rest } = await peek(await streamOf(address, signal), PEEK_BYTES);
      if (await isArchive(once(start))) return await take(id, unpacked(rest, 'the build context'));
      await rest.return(undefined);
      if (start.length >= PEEK_BYTES) throw new UmiakError('Invalid', `${address} is neither an archive nor a Dockerfile`);
      const tree = new ContextTree(contents);
      await tree.addFile(fromText(dockerfile), once(start), { mtime: 0, mode: 0o644 });
      adopt(id, tree);
    });
  },

  /** A small file of the context, by its path in it; links are followed. */
  async read(id: string, path: string, maxBytes: number) {
    const tree = contexts.get(id);
    const place = tree && follow(tree, fromText(path));
    return place === undefined ? undefined : (await tree?.read(place, maxBytes))?.toString('utf8');
  },

  /** Takes the files away that are there only for the build and that `.dockerignore` leaves out. */
  async hide(id: string, files: readonly string[]) {
    const tree = contexts.get(id);
    const text = (await tree?.read('.dockerignore', MAX_IGNORE_BYTES))?.toString('utf8');
    if (text === undefined) return;
    const rules = IgnoreRules.parse(text);
    for (const file of files) if (rules.excludes(file)) tree?.remove(fromText(file));
  },

  /** Fetches files into a context of their own; their names. */
  async fetch(id: string, addresses: readonly string[], checksum: string | undefined) {
    const tree = contexts.get(id) ?? new ContextTree(contents);
    contexts.set(id, tree);
    return await fetching(id, async signal => {
      const names: string[] = [];
      for (const address of addresses) names.push(await fetchInto(tree, address, { checksum, signal }));
      contents.flush();
      return names;
    });
  },

  /** Ends what is being fetched. */
  giveUp: (id: string) => fetches.get(id)?.abort(),

  digest(from: TreeName, paths: readonly string[], keyword: string) {
    const { tree, sources } = find(from, paths, keyword);
    return digestOfSources(tree, sources);
  },

  async place({ from, paths, chown, ...rest }: PlaceCall) {
    const { tree, sources } = find(from, paths, rest.keyword);
    await placeSources({ ...rest, tree, sources, ...ownerOf(rest.root, chown) });
  },

  makeDirectory: (root: string, path: string) => placeDirectory(root, path),

  drop: (id: string) => void contexts.delete(id),

  trim: (options: { all?: boolean }) => (contexts.size + receiving.size + fetches.size > 0 ? { freedBytes: 0 } : contents.trim(options)),
};

export type FilesHandlers = typeof handlers;

/** By the file system's own names. @throws Invalid in docker's words */
function ownerOf(root: string, chown: string | undefined): { uid: number; gid: number } {
  if (chown === undefined) return { uid: 0, gid: 0 };
  const paths = new RootPaths(root);
  const read = (path: string) => {
    const place = paths.resolve(path);
    return lstat(place)?.isFile() ? readFileSync(Buffer.from(place, 'latin1'), 'utf8') : '';
  };
  const [name = '', ...group] = chown.split(':');
  try {
    const user = /^\d+$/.test(name) && group.length === 0 ? `${name}:${name}` : chown;
    const { uid, gid } = planUser({ user, passwd: read('/etc/passwd'), group: read('/etc/group') });
    return { uid, gid };
  } catch (cause) {
    if (!(cause instanceof UmiakError)) throw cause;
    throw new UmiakError('Invalid', `unable to convert uid/gid chown string to host mapping: ${toText(fromText(cause.message))}`, {
      cause,
    });
  }
}

serveCalls(handlers);
