import { copyFileSync, existsSync, mkdirSync, renameSync } from 'node:fs';
import type { ImageDefaults } from './ports.ts';
import type { SandboxRecord } from './records.ts';

const BUSYBOX = '/bin/busybox';
const COMMAND = [BUSYBOX, 'sh', '-c', `trap '' CHLD; exec ${BUSYBOX} sleep 2147483647`];

/** What the record of a sandbox's pause container says beyond any other's. */
export interface PauseContainer {
  config: { sandboxId: string; metadata: { name: string; attempt: number }; image: string; security: { readOnlyRoot: boolean } };
  imageId: string;
  imageRef: string;
  imageConfig: ImageDefaults;
  lowerDirs: string[];
  isPause: true;
}

/**
 * A process that does nothing but hold a PID namespace open and let the kernel reap what is orphaned in it; only for sandboxes whose
 * containers share one. Its root file system, in `directory`, has nothing but a static busybox.
 */
export function makePauseContainer({ id }: SandboxRecord, directory: string): PauseContainer {
  return {
    config: { sandboxId: id, metadata: { name: 'pause', attempt: 0 }, image: 'pause', security: { readOnlyRoot: true } },
    imageId: '',
    imageRef: '',
    imageConfig: { Entrypoint: COMMAND },
    lowerDirs: [makeRoot(directory)],
    isPause: true,
  };
}

function makeRoot(directory: string): string {
  if (!existsSync(`${directory}${BUSYBOX}`)) {
    mkdirSync(`${directory}/bin`, { recursive: true });
    copyFileSync(BUSYBOX, `${directory}${BUSYBOX}.new`);
    renameSync(`${directory}${BUSYBOX}.new`, `${directory}${BUSYBOX}`);
  }
  return directory;
}
