import { createHash } from 'node:crypto';
import { UmiakError } from '#base/errors.ts';
import { fromText, toText } from '#images/tar-format.ts';
import { Pattern } from '../pattern.ts';
import type { ContentPlace } from './file-contents.ts';
import { followLinks } from './follow-links.ts';

/** One file of what is copied from. Names and link targets are byte strings. */
export interface SourceNode {
  type: 'file' | 'directory' | 'symlink' | 'other';
  mode: number;
  mtime: number;
  mtimeNanos?: number;
  sizeBytes: number;
  /** Of a symlink. */
  linkName: string;
  xattrs: ReadonlyMap<string, Buffer>;
  /** Where the content of a file lies, as a file of its own (a byte string) or a part of one. */
  content: string | ContentPlace;
  /** Files with the same one are one. */
  linkId?: string;
}

/** What `COPY` and `ADD` read. Paths are byte strings, relative, without `.` and `..`; `''` is the top. */
export interface SourceTree {
  node(path: string): SourceNode | undefined;
  /** Names in a directory, sorted. */
  children(path: string): string[];
  /** SHA-256 of a file's content, in hexadecimal. */
  hashOf(path: string): Promise<string>;
}

/** One path that a source names, found. */
export interface FoundSource {
  /** With links followed. */
  path: string;
  /** As it was asked for: it gives a file its name. */
  name: string;
  node: SourceNode;
}

/**
 * The files that sources name, wildcards in order of their names. @throws Invalid with `explain`'s words when one is not there, or leaves
 * the tree
 */
export function findSources(
  tree: SourceTree,
  sources: readonly string[],
  explain: (path: string, why: 'missing' | 'outside') => UmiakError,
): FoundSource[] {
  const found: FoundSource[] = [];
  for (const source of sources) {
    const bytes = fromText(source);
    const wanted = relativeOf(bytes);
    if (wanted === undefined) throw explain(source, 'outside');
    const paths = /[*?[]/.test(wanted) ? glob(tree, wanted) : [wanted.replaceAll(/\\(.)/g, '$1')];
    const here = paths.flatMap(path => {
      const resolved = follow(tree, path);
      const node = resolved === undefined ? undefined : tree.node(resolved);
      return node && resolved !== undefined ? [{ path: resolved, name: path.slice(path.lastIndexOf('/') + 1), node }] : [];
    });
    if (here.length === 0) throw explain(source, 'missing');
    found.push(...here);
  }
  return found;
}

/** Without leading slashes and `.`; undefined for one that climbs out. */
function relativeOf(path: string): string | undefined {
  const components: string[] = [];
  for (const component of path.split('/')) {
    if (component === '' || component === '.') continue;
    if (component === '..') {
      if (components.length === 0) return undefined;
      components.pop();
    } else components.push(component);
  }
  return components.join('/');
}

/** Component by component, so that only directories that fit are looked into. */
function glob(tree: SourceTree, pattern: string): string[] {
  let places = [''];
  for (const component of pattern.split('/')) {
    const matcher = Pattern.ofFiles(component);
    places = places.flatMap(place => {
      const directory = follow(tree, place);
      if (directory === undefined || tree.node(directory)?.type !== 'directory') return [];
      return tree
        .children(directory)
        .filter(name => matcher.matches(name))
        .map(name => join(place, name));
    });
  }
  return places;
}

/** Where a path leads when links are followed as one whose root is the tree's top would; undefined: nowhere. */
export function follow(tree: SourceTree, path: string): string | undefined {
  return followLinks(path, place => {
    const node = tree.node(place);
    return node?.type === 'symlink' ? node.linkName : node !== undefined;
  });
}

/** All that lies at and below a path, parents first. */
export function* walk(tree: SourceTree, path: string): Generator<{ path: string; node: SourceNode }> {
  const left = [path];
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    const node = tree.node(next);
    if (!node) continue;
    yield { path: next, node };
    if (node.type !== 'directory') continue;
    const names = tree.children(next);
    for (let i = names.length - 1; i >= 0; i--) left.push(join(next, names[i]!));
  }
}

/** A hash over what a copy of these would bring: names, kinds, modes, contents, links, attributes; no times and owners. With docker's word for them. */
export async function digestOfSources(tree: SourceTree, sources: readonly FoundSource[]): Promise<string> {
  const hash = createHash('sha256');
  const note = (...parts: string[]) => hash.update(`${parts.map(part => `${part.length}:${part}`).join(',')}\n`, 'latin1');
  for (const source of sources) {
    note('source', source.node.type === 'directory' ? '' : source.name);
    for (const { path, node } of walk(tree, source.path)) {
      if (node.type === 'other') continue;
      const content = node.type === 'file' ? await tree.hashOf(path) : node.linkName;
      const xattrs = [...node.xattrs].sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, value]) => `${key}=${value.toString('base64')}`);
      note(path.slice(source.path.length), node.type, node.type === 'symlink' ? '' : (node.mode & 0o7777).toString(8), content, ...xattrs);
    }
  }
  const [first, ...others] = sources;
  return `${others.length > 0 ? 'multi' : first?.node.type === 'directory' ? 'dir' : 'file'}:${hash.digest('hex')}`;
}

/** A name in a directory of a tree. */
export function join(directory: string, name: string): string {
  return directory === '' ? name : `${directory}/${name}`;
}

/** Says in docker's words what is wrong with a source of the context. */
export function explainContextSource(keyword: string): (path: string, why: 'missing' | 'outside') => UmiakError {
  return (path, why) =>
    why === 'missing'
      ? new UmiakError(
          'Invalid',
          `${keyword} failed: file not found in build context or excluded by .dockerignore: stat ${toText(fromText(path))}: file does not exist`,
        )
      : new UmiakError('Invalid', `${keyword} failed: forbidden path outside the build context: ${path} ()`);
}
