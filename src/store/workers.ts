import { Worker } from 'node:worker_threads';
import type { SideJob, WriterOptions } from './protocol.ts';

/** The one place where the store's threads are made: the bundler finds their files by these two lines. */
export function startWriterThread(options: WriterOptions): Worker {
  return new Worker(new URL('./sqlite-worker.ts', import.meta.url), { name: 'store', workerData: options });
}

/** A thread for one long job beside the writer; it ends with the job. */
export function startSideThread(job: SideJob): Worker {
  return new Worker(new URL('./sqlite-side-worker.ts', import.meta.url), { name: 'store-side', workerData: job });
}
