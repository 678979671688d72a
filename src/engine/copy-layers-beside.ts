import { WorkerCalls } from '#base/worker-calls.ts';
import type { CopyHandlers } from './copy-layers-worker.ts';
import type { DirectoryFilling } from './fill-directory.ts';

/** `copyLayers` in a thread of its own, which ends with it. */
export async function copyLayersBeside(layers: readonly string[], target: string): Promise<void> {
  await using worker = copier();
  await worker.call('copyLayers', layers, target);
}

/** `fillDirectory` in a thread of its own, which ends with it. */
export async function fillDirectoryBeside(filling: DirectoryFilling): Promise<void> {
  await using worker = copier();
  await worker.call('fillDirectory', filling);
}

function copier(): WorkerCalls<CopyHandlers> {
  return new WorkerCalls<CopyHandlers>(new URL('./copy-layers-worker.ts', import.meta.url), { name: 'copy-layers' });
}
