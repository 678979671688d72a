import { WorkerCalls } from '#base/worker-calls.ts';
import type { CopyHandlers } from './copy-layers-worker.ts';

/** `copyLayers` in a thread of its own, which ends with it. */
export async function copyLayersBeside(layers: readonly string[], target: string): Promise<void> {
  await using worker = new WorkerCalls<CopyHandlers>(new URL('./copy-layers-worker.ts', import.meta.url), { name: 'copy-layers' });
  await worker.call('copyLayers', layers, target);
}
