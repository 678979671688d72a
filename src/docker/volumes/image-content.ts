import { lstatSync, readlinkSync } from 'node:fs';
import { getXattr } from '#linux/file-attributes.ts';

/** What lies at a path of an image: the layers' directories that make it up, top first, or something else than a directory. */
export type ImageContent = { kind: 'directory'; layers: string[] } | { kind: 'other' } | { kind: 'nothing' };

const MOST_LINKS = 40;

/**
 * Finds a path in layers of overlay's form (top first) as a process whose root they are would find it: links stay below, a layer's whiteouts and
 * opaque directories hide what lies under them. Layers never change, so nothing is mounted for it.
 */
export function findInLayers(layers: readonly string[], path: string): ImageContent {
  const pending = partsOf(path);
  /** The way to where we are: each with the directories that make it up. */
  let way: string[][] = [[...layers]];
  let links = 0;
  while (pending.length > 0) {
    const name = pending.shift() ?? '';
    if (name === '..') {
      if (way.length > 1) way.pop();
      continue;
    }
    const found = enter(way.at(-1) ?? [], name);
    if (found.kind === 'nothing') return found;
    if (found.kind === 'directory') way.push(found.layers);
    else if (found.kind === 'link') {
      if (++links > MOST_LINKS) return { kind: 'nothing' };
      if (found.target.startsWith('/')) way = way.slice(0, 1);
      pending.unshift(...partsOf(found.target));
    } else return pending.length === 0 ? found : { kind: 'nothing' };
  }
  return { kind: 'directory', layers: way.at(-1) ?? [] };
}

function enter(layers: readonly string[], name: string): ImageContent | { kind: 'link'; target: string } {
  const found: string[] = [];
  for (const layer of layers) {
    const path = `${layer}/${name}`;
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (!stat) continue;
    if (!stat.isDirectory()) {
      if (found.length > 0) break;
      if (stat.isCharacterDevice() && stat.rdev === 0) return { kind: 'nothing' };
      return stat.isSymbolicLink() ? { kind: 'link', target: readlinkSync(path) } : { kind: 'other' };
    }
    found.push(path);
    if (getXattr(Buffer.from(path), 'trusted.overlay.opaque')?.toString() === 'y') break;
  }
  return found.length > 0 ? { kind: 'directory', layers: found } : { kind: 'nothing' };
}

function partsOf(path: string): string[] {
  return path.split('/').filter(part => part !== '' && part !== '.');
}
