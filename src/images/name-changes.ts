import type { Clock } from '#base/clock.ts';
import { UmiakError } from '#base/errors.ts';
import type { Digest } from './digest.ts';
import { HandedOut } from './handed-out.ts';
import type { ImageIndex, IndexEntry } from './image-index.ts';
import { planRemoval, type RemovalPlan, untaggedName } from './image-removal.ts';
import type { RemoveOptions } from './image-store.ts';
import { isTag, type NamedImages, nameOf } from './named-images.ts';
import type { Descriptor } from './oci.ts';
import { parseReference, toCanonicalName } from './reference.ts';

export interface NameChangesOptions {
  index: ImageIndex;
  named: NamedImages;
  clock: Clock;
  /** Whether a container needs the image. */
  isInUse: (imageId: Digest) => boolean;
}

/** Gives names to images and takes them away, one change after another, since each reads names first. */
export class NameChanges {
  readonly #options: NameChangesOptions;
  readonly #handedOut = new HandedOut();
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: NameChangesOptions) {
    this.#options = options;
  }

  /** Does something between two changes. */
  inTurn<T>(change: () => Promise<T>): Promise<T> {
    const done = this.#last.then(change);
    this.#last = done.catch(() => {});
    return done;
  }

  /** Points a name at an image; the image that had it stays, without a name if that was its last. */
  give(name: string, target: Descriptor, manifest: Descriptor): Promise<void> {
    return this.inTurn(() => this.#give(name, target, manifest));
  }

  /** @throws Invalid when the new name has a digest; NotFound */
  tag(reference: string, newName: string): Promise<void> {
    return this.inTurn(async () => {
      const parsed = parseReference(newName);
      if (parsed.digest !== undefined)
        throw new UmiakError('Invalid', `${newName}: an image is tagged with a name and a tag, not with a digest`);
      const { target, manifest } = (await this.#options.named.findAll(reference))[0]!;
      await this.#give(toCanonicalName(parsed), target, manifest);
    });
  }

  pin(reference: string, isPinned: boolean): Promise<void> {
    return this.inTurn(async () => {
      for (const { pinned: _, ...entry } of await this.#options.named.findAll(reference))
        await this.#options.index.set({ ...entry, ...(isPinned ? { pinned: true } : {}) });
    });
  }

  /** Begins a use of an image, which removals see from now on; call `release` once the use is noted. */
  handOut(reference: string): Promise<{ entry: IndexEntry; release: () => void }> {
    return this.inTurn(async () => {
      const entry = (await this.#options.named.findAll(reference))[0]!;
      return { entry, release: this.#handedOut.begin(await this.#options.named.idOf(entry)) };
    });
  }

  /** Takes a name away, or all of an id. @throws Conflict, NotFound */
  remove(reference: string, options: RemoveOptions): Promise<RemovalPlan & { id: Digest }> {
    return this.inTurn(() => this.#remove(reference, options));
  }

  /** Takes away the images that have no tag, no pin and no use; returns their ids. */
  removeUntagged(): Promise<Digest[]> {
    return this.inTurn(async () => {
      const gone: Digest[] = [];
      for (const [id, entries] of await this.#options.named.byId()) {
        if (entries.some(({ name, pinned }) => pinned || isTag(name)) || (await this.#isUsed(id))) continue;
        for (const { name } of entries) await this.#options.index.delete(name);
        gone.push(id);
      }
      return gone;
    });
  }

  async #give(name: string, target: Descriptor, manifest: Descriptor): Promise<void> {
    const { index, named, clock } = this.#options;
    const before = index.get(name);
    if (before !== undefined && before.manifest.digest !== manifest.digest) {
      const others = (await named.entriesOf(await named.idOf(before))).filter(entry => entry.name !== name);
      const { pinned: _, ...image } = before;
      if (others.length === 0) await index.set({ ...image, name: untaggedName(image.manifest.digest) });
    }
    const { manifest: its, config } = await named.read(manifest.digest);
    const needs = [its.config.digest, ...its.layers.map(layer => layer.digest), ...config.rootfs.diff_ids];
    await index.set({
      name,
      target,
      manifest,
      updatedAtMs: clock.now(),
      id: its.config.digest,
      needs,
      ...(before?.pinned ? { pinned: true } : {}),
    });
    if (isTag(name)) await index.delete(untaggedName(manifest.digest));
  }

  async #remove(reference: string, { force = false }: RemoveOptions): Promise<RemovalPlan & { id: Digest }> {
    const { index, named, clock } = this.#options;
    const found = await named.findAll(reference);
    const id = await named.idOf(found[0]!);
    const pinned = found.find(entry => entry.pinned);
    if (pinned !== undefined && !force)
      throw new UmiakError('Conflict', `image ${reference} is pinned as ${pinned.name}`, {
        details: { kind: 'image', name: reference },
        hint: 'Unpin it first (umiak image unpin), or use force.',
      });
    const plan: RemovalPlan = planRemoval({
      reference,
      id,
      ...(index.get(nameOf(reference)) !== undefined ? { name: nameOf(reference) } : {}),
      entries: await named.entriesOf(id),
      isInUse: await this.#isUsed(id),
      force,
    });
    if (plan.keepAs !== undefined) await index.set({ ...plan.keepAs, updatedAtMs: clock.now() });
    for (const name of plan.names) await index.delete(name);
    return { ...plan, id };
  }

  /** Whether a container needs the image, those included that are just being made. */
  async #isUsed(id: Digest): Promise<boolean> {
    await this.#handedOut.settled(id);
    return this.#options.isInUse(id);
  }
}
