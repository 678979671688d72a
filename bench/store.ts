/** Commits a second of the SQLite store: single keys of 1.4 KB, each flushed to the disk, by 1, 16 and 64 clients. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { openSqliteStore } from '#store/sqlite-store.ts';

const SECONDS = Number(process.env.UMIAK_BENCH_SECONDS ?? 4);
const directory = mkdtempSync(join(process.env.UMIAK_BENCH_DIR ?? tmpdir(), 'umiak-bench-store-'));
const value = new Uint8Array(1400).fill(97);

try {
  await using store = await openSqliteStore({ path: join(directory, 'state.db') });
  const stop = new AbortController();
  let seen = 0;
  const receive = ({ events }: { events: unknown[] }) => {
    seen += events.length;
  };
  const watching = store.watch('/', { after: store.revision, receive, signal: stop.signal });
  for (const [how, keyOf] of [
    ['create', (n: number) => `/registry/configmaps/default/bench-${n}`],
    ['update', (n: number) => `/registry/configmaps/default/bench-${n % 5000}`],
  ] as const) {
    for (const clients of [1, 16, 64]) await measure(how, clients, keyOf);
  }
  stop.abort();
  await watching;
  console.log(`events seen by the watcher: ${seen} of ${store.revision - 1}`);

  async function measure(how: string, clients: number, keyOf: (n: number) => string): Promise<void> {
    const latencies: number[] = [];
    const loop = monitorEventLoopDelay({ resolution: 1 });
    loop.enable();
    const from = performance.now();
    const first = store.revision;
    let next = first;
    const client = async () => {
      for (let now = performance.now(); now - from < SECONDS * 1000; ) {
        await store.commit({ writes: [{ key: keyOf(next++), value }] });
        const then = now;
        now = performance.now();
        latencies.push(now - then);
      }
    };
    await Promise.all(Array.from({ length: clients }, client));
    const elapsed = performance.now() - from;
    loop.disable();
    latencies.sort((a, b) => a - b);
    const at = (part: number) => latencies[Math.floor(latencies.length * part)]!.toFixed(2);
    console.log(
      `${how} ${String(clients).padStart(2)} in flight: ${String(Math.round((latencies.length / elapsed) * 1000)).padStart(6)} commits/s, ` +
        `p50 ${at(0.5)} p99 ${at(0.99)} p99.9 ${at(0.999)} ms; event loop p99 ${(loop.percentile(99) / 1e6).toFixed(1)} max ${(loop.max / 1e6).toFixed(1)} ms`,
    );
  }
} finally {
  rmSync(directory, { recursive: true, force: true });
}
