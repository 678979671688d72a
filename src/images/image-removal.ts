import { UmiakError } from '#base/errors.ts';
import type { Digest } from './digest.ts';
import type { IndexEntry } from './image-index.ts';

export interface RemovalRequest {
  /** As the person gave it. */
  reference: string;
  id: Digest;
  /** The canonical name when `reference` was a name; otherwise it was an id. */
  name?: string;
  /** All names of the image. */
  entries: readonly IndexEntry[];
  isInUse: boolean;
  force: boolean;
}

export interface RemovalPlan {
  /** Names to delete. */
  names: string[];
  /** Of these, what a person would call names. */
  untagged: string[];
  /** What keeps the content of an image in use, or undefined. */
  keepAs?: Omit<IndexEntry, 'updatedAtMs'>;
  /** Nothing refers to the image afterwards. */
  isGone: boolean;
}

/** The name under which an image without names is kept. */
export function untaggedName(manifestDigest: Digest): string {
  return `<none>@${manifestDigest}`;
}

/**
 * What removing a name or an id comes to, in docker's way: a name goes alone while the image has others; digests of a repository go
 * with its last tag; an id with names in several repositories needs force; an image in use keeps its content.
 * @throws Conflict with what to do instead.
 */
export function planRemoval({ reference, id, name, entries, isInUse, force }: RemovalRequest): RemovalPlan {
  const names = name === undefined ? planId() : planName(name);
  const isGone = names.length === entries.length;
  const untagged = names.filter(each => !each.startsWith('<none>'));
  if (!isGone || !isInUse) return { names, untagged, isGone };
  const short = id.slice('sha256:'.length, 'sha256:'.length + 12);
  if (!force || untagged.length === 0)
    throw new UmiakError('Conflict', `image ${reference} (${short}) is used by a container`, {
      details: { kind: 'image', name: reference },
      hint: untagged.length === 0 ? 'Remove the container first.' : 'Remove the container first, or use force to take the name away only.',
    });
  const { target, manifest, id: itsId, needs } = entries[0]!;
  const kept = untaggedName(manifest.digest);
  return {
    names: names.filter(each => each !== kept),
    untagged,
    keepAs: { name: kept, target, manifest, ...(itsId && needs ? { id: itsId, needs } : {}) },
    isGone: false,
  };

  function planName(named: string): string[] {
    const repository = repositoryOf(named);
    const others = entries.filter(entry => entry.name !== named);
    const tagsLeft = others.filter(entry => !entry.name.includes('@'));
    if (named.includes('@')) return [named];
    const digests = others.filter(entry => entry.name.includes('@') && repositoryOf(entry.name) === repository);
    const hasTagLeft = tagsLeft.some(entry => repositoryOf(entry.name) === repository);
    return [named, ...(hasTagLeft ? [] : digests.map(entry => entry.name))];
  }

  function planId(): string[] {
    const tagged = entries.map(entry => entry.name).filter(each => !each.startsWith('<none>'));
    const repositories = new Set(tagged.map(repositoryOf));
    if (repositories.size > 1 && !force)
      throw new UmiakError('Conflict', `image ${reference} has names in ${repositories.size} repositories: ${tagged.join(', ')}`, {
        details: { kind: 'image', name: reference },
        hint: 'Remove them by name, or use force to remove all.',
      });
    return entries.map(entry => entry.name);
  }
}

function repositoryOf(name: string): string {
  const at = name.indexOf('@');
  return at >= 0 ? name.slice(0, at) : name.slice(0, name.lastIndexOf(':'));
}
