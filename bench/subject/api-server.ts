import { join } from 'node:path';
import { TestCluster } from '../../tests/cluster.ts';
import type { ApiTarget } from '../kload/kload.ts';
import { openBundle } from './bundle.ts';
import { Child } from './child.ts';
import { demandReady } from './ready.ts';

/** Our server alone, as published: store, API, controllers and scheduler in one process, no agent, a fresh data directory. */
export async function startOurServer(): Promise<ApiTarget & AsyncDisposable> {
  const entry = await openBundle();
  await using stack = new AsyncDisposableStack();
  const cluster = stack.use(await TestCluster.open());
  const url = `https://127.0.0.1:${cluster.apiPort}`;
  const flags = process.env.UMIAK_BENCH_NODE_FLAGS?.split(' ') ?? [];
  const environment = { env: { ...process.env, ...cluster.env } };
  const child = stack.use(new Child(process.execPath, [...flags, '--disable-warning=ExperimentalWarning', entry, 'server'], environment));
  await child.ready('umiak server', () => demandReady(url));
  const pki = join(cluster.dataDir, 'pki');
  const owned = stack.move();
  return {
    url,
    cert: join(pki, 'admin.crt'),
    key: join(pki, 'admin.key'),
    pids: { server: child.pid },
    directory: cluster.directory,
    [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose](),
  };
}
