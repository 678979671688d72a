import { Worker } from 'node:worker_threads';
import { type FromSide, fromWireError, type SideJob, type WriterOptions } from './protocol.ts';

/** The one place where the store's threads are made: the bundler finds their files by these two lines. */
export function startWriterThread(options: WriterOptions): Worker {
  return new Worker(new URL('./sqlite-worker.ts', import.meta.url), { name: 'store', workerData: options });
}

function startSideThread(job: SideJob): Worker {
  return new Worker(new URL('./sqlite-side-worker.ts', import.meta.url), { name: 'store-side', workerData: job });
}

/** Runs one long job beside the writer, on a thread that ends with it. Returns the problems it found. */
export async function runAside(job: SideJob): Promise<string[]> {
  const worker = startSideThread(job);
  try {
    const answer = await new Promise<FromSide>((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
    });
    if (answer.kind === 'failed') throw fromWireError(answer.error);
    return answer.problems;
  } finally {
    await worker.terminate();
  }
}
