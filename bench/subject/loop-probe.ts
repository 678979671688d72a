/**
 * Loaded into a process by `NODE_OPTIONS=--import=…`: keeps the delays of its event loop, and writes the longest since the last time to the
 * file in `UMIAK_LOOP_PROBE`, in milliseconds, whenever it gets SIGUSR2.
 */
import { renameSync, writeFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { isMainThread } from 'node:worker_threads';

const RESOLUTION_MS = 4;
const file = process.env.UMIAK_LOOP_PROBE;

if (file && isMainThread) {
  const delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delays.enable();
  process.on('SIGUSR2', () => {
    const said = { maxMs: Math.max(0, delays.max / 1e6 - RESOLUTION_MS), p99Ms: Math.max(0, delays.percentile(99) / 1e6 - RESOLUTION_MS) };
    writeFileSync(`${file}.new`, JSON.stringify(said));
    renameSync(`${file}.new`, file);
    delays.reset();
  });
}
