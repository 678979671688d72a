import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import type { Engine } from '#engine/index.ts';
import { unmountBelow } from '#linux/unmount-below.ts';

/** Where file systems of steps are made; nothing in it outlives the process. */
export function temporaryOf(dataDir: string): string {
  return `${dataDir}/builder/tmp`;
}

/** Stand for layers where there are too few. */
export const NOTHING = ['nothing', 'nothing-more'];

/** Removes what builds of a killed process left: containers of steps, and file systems that were being made. To be called once, before the first build. */
export async function removeLeftSteps(engine: Engine, dataDir: string): Promise<void> {
  await Promise.all(engine.sandboxes({ internal: true }).map(({ id }) => engine.removeSandbox(id)));
  clearTemporary(temporaryOf(dataDir));
}

function clearTemporary(directory: string): void {
  const left = existsSync(directory) ? readdirSync(directory).filter(name => !NOTHING.includes(name)) : [];
  if (left.length === 0) return;
  unmountBelow(directory);
  for (const name of left) rmSync(`${directory}/${name}`, { recursive: true, force: true });
}

/** Makes the place, empty. */
export function openTemporary(dataDir: string): string {
  const directory = temporaryOf(dataDir);
  clearTemporary(directory);
  for (const name of NOTHING) mkdirSync(`${directory}/${name}`, { recursive: true, mode: 0o755 });
  return directory;
}
