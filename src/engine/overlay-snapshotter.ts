import { existsSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { SyscallError } from '#linux/libc.ts';
import { mount, umount, umountInThread } from '#linux/mount.ts';
import type { MappedMounts } from './mapped-mounts.ts';
import { mountOverlay, type OverlayOptions, planOverlayOptions } from './overlay.ts';
import { partsOf, type Snapshot, type Snapshotter } from './snapshotter.ts';
import type { WritableQuotas } from './writable-quotas.ts';

/** So many that one more might be one too many. */
const MANY_LAYERS = 100;

/** Lays a directory that is written to over the layers, which many containers share: one system call each. */
export class OverlaySnapshotter implements Snapshotter {
  readonly kind = 'overlay';
  readonly #mapped: Pick<MappedMounts, 'mountOverlay'>;
  readonly #quotas: WritableQuotas | undefined;
  #hasVolatile = true;

  constructor({ mapped, quotas }: { mapped: Pick<MappedMounts, 'mountOverlay'>; quotas?: WritableQuotas | undefined }) {
    this.#mapped = mapped;
    this.#quotas = quotas;
  }

  async mount({ id, lowerDirs, floor, directory, users, limitBytes, isTransient = false }: Snapshot): Promise<void> {
    const { merged: target, upper, work } = partsOf(directory);
    // What a reboot in the middle of a mount left in the work directory would make the next one fail.
    if (existsSync(work)) await rm(work, { recursive: true, force: true });
    await Promise.all([upper, work, target].map(each => mkdir(each, { recursive: true, mode: 0o755 })));
    if (this.#quotas?.begin(upper, [work]) && limitBytes !== undefined) this.#quotas.limit(upper, limitBytes);
    const isFew = floor !== undefined && lowerDirs.length < MANY_LAYERS;
    const layers = { lowerDirs: isFew ? [...lowerDirs, floor] : lowerDirs, writable: { upper, work }, target };
    await (users ? this.#mapped.mountOverlay(id, users, layers) : this.#mount(layers, isTransient));
  }

  async #mount(layers: OverlayOptions, isTransient: boolean): Promise<void> {
    if (!isTransient || !this.#hasVolatile) return await mountOverlay(layers);
    try {
      await mountOverlay({ ...layers, isVolatile: true });
    } catch (error) {
      if (!(error instanceof SyscallError)) throw error;
      await mountOverlay(layers);
      this.#hasVolatile = false; // before Linux 5.10
    }
  }

  async unmount(directory: string): Promise<void> {
    await umountInThread(partsOf(directory).merged);
  }
}

/** Tries a small overlay in a directory of its own there. */
export async function canOverlay(directory: string): Promise<boolean> {
  const trial = `${directory}/trial`;
  const [lower, upper, work, target] = ['lower', 'upper', 'work', 'merged'].map(name => `${trial}/${name}`) as [
    string,
    string,
    string,
    string,
  ];
  try {
    for (const each of [lower, upper, work, target]) await mkdir(each, { recursive: true });
    mount('overlay', target, 'overlay', 0, planOverlayOptions({ lowerDirs: [lower], writable: { upper, work } }) ?? null);
    umount(target, { detach: true });
    return true;
  } catch {
    return false;
  } finally {
    await rm(trial, { recursive: true, force: true });
  }
}
