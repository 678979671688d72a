import { UmiakError } from '#base/errors.ts';
import type { ContentStore } from './content-store.ts';
import { type Digest, hexOf, isDigest } from './digest.ts';
import type { ImageIndex, IndexEntry } from './image-index.ts';
import { type ImageConfig, type ImageManifest, parseImageConfig, parseManifestOrIndex } from './oci.ts';
import { type ImageReference, parseReference, toCanonicalName, toRepositoryName } from './reference.ts';

/** Of a name whose record is in the quarantine. */
const ALTERED = 'What this name stood for was altered on disk. Pull or load the image again.';

/** What describes an image. */
export interface ImageDocuments {
  manifest: ImageManifest;
  config: ImageConfig;
}

/** What names say: which images there are, and what each is made of. */
export class NamedImages {
  readonly #index: ImageIndex;
  readonly #content: ContentStore;
  /** Immutable, so kept while a name points there. */
  readonly #documents = new Map<Digest, ImageDocuments>();

  constructor(index: ImageIndex, content: ContentStore) {
    this.#index = index;
    this.#content = content;
  }

  /** A manifest and its configuration. @throws NotFound when they are not here, or altered */
  async read(manifestDigest: Digest): Promise<ImageDocuments> {
    const known = this.#documents.get(manifestDigest);
    if (known) return known;
    const parsed = parseManifestOrIndex(await this.#content.readDocument(manifestDigest, 'the manifest'), `manifest ${manifestDigest}`);
    if (parsed.kind !== 'manifest') throw new UmiakError('Invalid', `manifest ${manifestDigest} is an index, not an image`);
    const { digest } = parsed.manifest.config;
    const config = parseImageConfig(await this.#content.readDocument(digest, 'the image configuration'), `configuration ${digest}`);
    const documents = { manifest: parsed.manifest, config };
    this.#documents.set(manifestDigest, documents);
    return documents;
  }

  /** What an image is made of besides its documents: blobs and layers. */
  async needsOf(entry: IndexEntry): Promise<Digest[]> {
    if (entry.needs !== undefined) return entry.needs;
    const { manifest, config } = await this.read(entry.manifest.digest);
    return [manifest.config.digest, ...manifest.layers.map(layer => layer.digest), ...config.rootfs.diff_ids];
  }

  /** What a manifest names, whether it is here or not; nothing if the manifest itself is not. */
  async blobsOf({ manifest: { digest } }: IndexEntry): Promise<Digest[]> {
    if (!(await this.#content.has(digest))) return [];
    const parsed = parseManifestOrIndex(await this.#content.readDocument(digest, 'the manifest'), `manifest ${digest}`);
    return parsed.kind === 'index' ? [] : [parsed.manifest.config, ...parsed.manifest.layers].map(blob => blob.digest);
  }

  /** The entry of a name. @throws NotFound */
  entryOf(name: string): IndexEntry {
    const entry = this.#index.get(nameOf(name));
    if (entry !== undefined) return entry;
    throw new UmiakError('NotFound', `no image is named ${name} here`, {
      details: { kind: 'image', name },
      hint: this.#index.wasAltered(nameOf(name))
        ? ALTERED
        : 'Give the image the name by which the registry shall know it: umiak image tag IMAGE NAME.',
    });
  }

  /** The entries of all tags of a repository. @throws NotFound when there is none */
  tagsOf(reference: ImageReference): IndexEntry[] {
    const repository = toRepositoryName(reference);
    const found = this.#index.list().filter(({ name }) => isTag(name) && toRepositoryName(parseReference(name)) === repository);
    if (found.length > 0) return found;
    throw new UmiakError('NotFound', `no image here has a tag of ${repository}`, { details: { kind: 'image', name: repository } });
  }

  /** Repositories of a registry that have the blob, as far as names tell: what came from there is there. */
  repositoriesWith(registry: string, digest: Digest): string[] {
    const found = this.#index.list().filter(({ name, needs }) => !name.startsWith('<none>') && needs?.includes(digest));
    const references = found.map(({ name }) => parseReference(name)).filter(each => each.registry === registry);
    return [...new Set(references.map(({ repository }) => repository))];
  }

  /** The digest of the configuration. */
  async idOf(entry: IndexEntry): Promise<Digest> {
    return entry.id ?? (await this.read(entry.manifest.digest)).manifest.config.digest;
  }

  /** All entries, by the image that they name. */
  async byId(): Promise<Map<Digest, IndexEntry[]>> {
    const byId = new Map<Digest, IndexEntry[]>();
    for (const entry of this.#index.list()) {
      const id = await this.idOf(entry);
      byId.set(id, [...(byId.get(id) ?? []), entry]);
    }
    return byId;
  }

  /** All names of an image. */
  async entriesOf(id: Digest): Promise<IndexEntry[]> {
    const entries: IndexEntry[] = [];
    for (const entry of this.#index.list()) if ((await this.idOf(entry)) === id) entries.push(entry);
    return entries;
  }

  /** The entry of a name, or all entries of an id or the beginning of one. @throws NotFound, Conflict */
  async findAll(reference: string): Promise<IndexEntry[]> {
    const named = this.#index.get(nameOf(reference));
    if (named !== undefined) return [named];
    const hex = reference.startsWith('sha256:') ? reference.slice(7) : reference;
    if (/^[0-9a-f]{4,64}$/.test(hex)) {
      const fitting = new Map<Digest, IndexEntry[]>();
      for (const entry of this.#index.list()) {
        const id = await this.idOf(entry);
        const isIt = [id, entry.manifest.digest, entry.target.digest].some(digest => hexOf(digest).startsWith(hex));
        if (isIt) fitting.set(id, [...(fitting.get(id) ?? []), entry]);
      }
      if (fitting.size > 1)
        throw new UmiakError('Conflict', `${reference} is the beginning of ${fitting.size} image ids`, {
          hint: 'Give more of its digits.',
        });
      for (const entries of fitting.values()) return entries;
    }
    throw new UmiakError('NotFound', `no such image: ${reference}`, {
      details: { kind: 'image', name: reference },
      hint: this.#index.wasAltered(nameOf(reference)) ? ALTERED : `Pull it: umiak image pull ${reference}`,
    });
  }

  /** Reads again what the disk may have altered or a collection took; all of it unless a digest is given. */
  forget(digest?: Digest): void {
    if (digest === undefined) this.#documents.clear();
    else this.#documents.delete(digest);
  }
}

/** A tag, not a digest of a repository, and not what stands for no name. */
export function isTag(name: string): boolean {
  return !name.includes('@');
}

/** The canonical form of what may be a name; what is none stays as it is and is not found. */
export function nameOf(reference: string): string {
  if (reference.startsWith('<none>@') || isDigest(reference)) return reference;
  try {
    return toCanonicalName(parseReference(reference));
  } catch {
    return reference;
  }
}
