import { existsSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { umountInThread } from '#linux/mount.ts';
import { copyLayersBeside } from './copy-layers-beside.ts';
import { shiftOwners } from './shift-owners.ts';
import { partsOf, type Snapshot, type Snapshotter } from './snapshotter.ts';
import type { WritableQuotas } from './writable-quotas.ts';

/**
 * Copies the layers for each container, for machines without overlayfs. A copy that was not finished is made anew; what an overlay had
 * written over the same layers before is taken along.
 */
export class CopySnapshotter implements Snapshotter {
  readonly kind = 'copy';
  readonly #quotas: WritableQuotas | undefined;
  /** One after another: each keeps the disk busy by itself. */
  #last: Promise<unknown> = Promise.resolve();

  constructor({ quotas }: { quotas?: WritableQuotas | undefined } = {}) {
    this.#quotas = quotas;
  }

  async mount({ lowerDirs, directory, users, limitBytes }: Snapshot): Promise<void> {
    const { merged, upper, work, copied } = partsOf(directory);
    if (existsSync(copied)) return;
    await rm(merged, { recursive: true, force: true });
    await mkdir(merged, { recursive: true, mode: 0o755 });
    const isCounted = this.#quotas?.begin(merged) ?? false;
    const layers = existsSync(upper) ? [upper, ...lowerDirs] : [...lowerDirs];
    await this.#inTurn(() => copyLayersBeside(layers, merged));
    if (users) await shiftOwners(merged, users.mappings);
    if (isCounted && limitBytes !== undefined) this.#quotas?.limit(merged, limitBytes);
    await writeFile(copied, '', { flush: true });
    for (const part of [upper, work]) await rm(part, { recursive: true, force: true });
  }

  async unmount(directory: string): Promise<void> {
    await umountInThread(partsOf(directory).merged);
  }

  async #inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => {});
    await done;
  }
}
