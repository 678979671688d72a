import type { ContentStore } from './content-store.ts';
import type { Digest } from './digest.ts';
import type { ImageIndex } from './image-index.ts';
import { untaggedName } from './image-removal.ts';
import type { NameChanges } from './name-changes.ts';
import type { NamedImages } from './named-images.ts';
import { maxDocumentBytes, parseManifestOrIndex } from './oci.ts';

export interface NamelessOptions {
  content: ContentStore;
  index: ImageIndex;
  named: NamedImages;
  names: NameChanges;
}

/**
 * Keeps the whole images that no name tells of, as images without a name: for when records of names were lost, before a collection takes what
 * containers run on. Returns their manifests.
 */
export async function keepNameless({ content, index, named, names }: NamelessOptions): Promise<Digest[]> {
  const known = new Set<Digest>();
  for (const { target, manifest, needs = [] } of index.list())
    for (const digest of [target.digest, manifest.digest, ...needs]) known.add(digest);
  const kept: Digest[] = [];
  for (const digest of await content.list()) {
    const size = known.has(digest) ? undefined : await content.size(digest);
    if (size === undefined || size > maxDocumentBytes) continue;
    const mediaType = await mediaTypeOfImage(content, named, digest);
    if (mediaType === undefined) continue;
    const descriptor = { mediaType, digest, size };
    await names.give(untaggedName(digest), descriptor, descriptor);
    kept.push(digest);
  }
  return kept;
}

/** Undefined for what is no manifest of an image that is here in whole. */
async function mediaTypeOfImage(content: ContentStore, named: NamedImages, digest: Digest): Promise<string | undefined> {
  try {
    const parsed = parseManifestOrIndex(await content.readDocument(digest, 'a manifest'), 'a manifest');
    if (parsed.kind === 'index') return undefined;
    const { manifest } = await named.read(digest);
    for (const layer of manifest.layers) if ((await content.size(layer.digest)) !== layer.size) return undefined;
    return manifest.mediaType;
  } catch {
    return undefined; // another document, or an altered one
  }
}
