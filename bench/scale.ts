/** The API with many objects: memory with 10,000 and 100,000 pods, and how long other requests wait while one client lists them all in a loop. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { Connection } from './kload/connection.ts';
import { openKload, runKload } from './kload/kload.ts';
import { startOurServer } from './subject/api-server.ts';
import { quantile, report } from './table.ts';

const PEER = 'kube-apiserver + etcd';
/** Pods, what memory may be in use then, and what the peer used. */
const STEPS = [
  { pods: 10_000, target: 320, recorded: 699 },
  { pods: 100_000, target: 1126 },
];
const OTHER_REQUESTS = 1500;
const SETTLE_MS = 20_000;

const kload = await openKload();
if (kload) {
  await using server = await startOurServer();
  let made = 0;
  for (const { pods, target, recorded } of STEPS) {
    await runKload(kload, server, 'create-pods', {
      concurrency: 64,
      n: pods - made,
      http: 1,
      namespace: 'pods',
      'scheduler-name': 'nobody',
    });
    made = pods;
    // Garbage of the creates goes, and the store folds its log.
    await new Promise(resume => setTimeout(resume, SETTLE_MS));
    const { mem } = await runKload(kload, server, 'mem', {});
    report({
      what: `API: memory with ${pods.toLocaleString('en-US')} pods (PSS, objects only)`,
      unit: 'MB',
      ours: Object.values(mem ?? {}).reduce((sum, { pss_kb }) => sum + pss_kb, 0) / 1024,
      better: 'less',
      target,
      ...(recorded === undefined ? {} : { peer: { name: PEER, value: recorded, measured: false } }),
    });
  }
  const others = await measureOthers(kload, server);
  for (const [how, times] of Object.entries(others)) {
    report({
      what: `API: ${how} while one client lists ${made.toLocaleString('en-US')} pods in a loop, p99`,
      unit: 'ms',
      ours: quantile(times, 0.99),
      better: 'less',
      target: 50,
    });
  }
}

/** Times of gets and of writes, one after another on one connection, while kload lists in a loop. */
async function measureOthers(kload: string, server: Awaited<ReturnType<typeof startOurServer>>): Promise<Record<string, number[]>> {
  const listing = new AbortController();
  const lists = repeat(listing.signal, () => promisify(execFile)(kload, listArguments(server), { signal: listing.signal }));
  using connection = new Connection(server);
  const path = '/api/v1/namespaces/default/configmaps';
  const body = (round: number) => ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'other' }, data: { round: String(round) } });
  await connection.send('POST', path, body(0));
  const times: Record<string, number[]> = { gets: [], puts: [] };
  for (let round = 0; round < OTHER_REQUESTS; round++) {
    const began = performance.now();
    await connection.send('GET', `${path}/other`);
    const got = performance.now();
    await connection.send('PUT', `${path}/other`, body(round));
    times.gets?.push(got - began);
    times.puts?.push(performance.now() - got);
  }
  listing.abort();
  await lists;
  return times;
}

async function repeat(signal: AbortSignal, act: () => Promise<unknown>): Promise<void> {
  while (!signal.aborted)
    await act().catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });
}

function listArguments({ url, cert, key }: { url: string; cert: string; key: string }): string[] {
  return ['--server', url, '--cert', cert, '--key', key, '--test', 'list', '--repeat', '1000', '--http', '1', '--namespace', 'pods'];
}
