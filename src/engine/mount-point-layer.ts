import { chmodSync, closeSync, mkdirSync, openSync } from 'node:fs';

/** What runtimes mount on, and so have to find or make. */
const DIRECTORIES = ['dev', 'proc', 'sys', 'etc'];
const FILES = ['etc/hosts', 'etc/hostname', 'etc/resolv.conf'];

/**
 * Layers to be laid below all others, with nothing in them but what things are mounted on: what is there need not be made in each container,
 * and taken away with it. Shared by all, written to by none.
 */
export class MountPointLayer {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
    for (const hasFiles of [true, false]) make(this.of(hasFiles), hasFiles);
  }

  /** The one for a container whose name, hosts and resolver are given by files, or for one without them. */
  of(hasFiles: boolean): string {
    return `${this.#directory}/${hasFiles ? 'files' : 'plain'}`;
  }
}

function make(layer: string, hasFiles: boolean): void {
  for (const path of ['', ...DIRECTORIES.map(name => `/${name}`)]) {
    mkdirSync(`${layer}${path}`, { recursive: true });
    chmodSync(`${layer}${path}`, 0o755);
  }
  if (!hasFiles) return;
  for (const file of FILES) {
    closeSync(openSync(`${layer}/${file}`, 'a'));
    chmodSync(`${layer}/${file}`, 0o644);
  }
}
