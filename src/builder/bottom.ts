import { mkdirSync, writeFileSync } from 'node:fs';

const DIRECTORIES = ['dev', 'dev/pts', 'dev/shm', 'proc', 'sys', 'etc'];
const FILES = ['etc/hosts', 'etc/hostname', 'etc/resolv.conf'];

/**
 * Makes what containers get mounted something over, as a directory to lie below all layers: where an image lacks it, a runtime would make it
 * among what the step writes, and it would become part of the image.
 */
export function makeBottom(directory: string): void {
  for (const path of DIRECTORIES) mkdirSync(`${directory}/${path}`, { recursive: true, mode: 0o755 });
  for (const path of FILES) writeFileSync(`${directory}/${path}`, '', { mode: 0o644 });
}
