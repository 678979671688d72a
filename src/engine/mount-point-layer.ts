import { chmodSync, closeSync, mkdirSync, openSync } from 'node:fs';
import { ROOT_DIRECTORIES } from './overlay.ts';

/** What the runtime mounts a container's own files on, beside the directories. */
const FILES = ['etc/hosts', 'etc/hostname', 'etc/resolv.conf'];

/**
 * Layers to be laid below all others, with nothing in them but what things are mounted on: what is there need not be made in each container,
 * and taken away with it. Shared by all, written to by none.
 */
export class MountPointLayer {
  readonly #directory: string;
  readonly #made = new Set<string>();

  constructor(directory: string) {
    this.#directory = directory;
    try {
      for (const hasFiles of [true, false]) this.of(hasFiles);
    } catch {
      // A disk that takes nothing keeps nobody from stopping and removing containers; who starts one hears of it.
    }
  }

  /** The one for a container whose name, hosts and resolver are given by files, or for one without them. */
  of(hasFiles: boolean): string {
    const layer = `${this.#directory}/${hasFiles ? 'files' : 'plain'}`;
    if (!this.#made.has(layer)) make(layer, hasFiles);
    this.#made.add(layer);
    return layer;
  }
}

function make(layer: string, hasFiles: boolean): void {
  for (const path of ['', ...ROOT_DIRECTORIES.map(name => `/${name}`)]) {
    mkdirSync(`${layer}${path}`, { recursive: true });
    chmodSync(`${layer}${path}`, 0o755);
  }
  if (!hasFiles) return;
  for (const file of FILES) {
    closeSync(openSync(`${layer}/${file}`, 'a'));
    chmodSync(`${layer}/${file}`, 0o644);
  }
}
