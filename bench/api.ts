/**
 * The Kubernetes API by kload, over TLS with every write flushed to the disk: creates, get, list, watch fan-out. Load generator and server
 * share the machine. With `PEERS=kubernetes` kube-apiserver and etcd are measured by the same calls in the same run; else their recorded figures stand.
 */
import { statfsSync } from 'node:fs';
import { Connection } from './kload/connection.ts';
import { type ApiTarget, openKload, runKload } from './kload/kload.ts';
import { startKubernetesPeer } from './peers/kubernetes.ts';
import { hasPeer } from './peers/wanted.ts';
import { startOurServer } from './subject/api-server.ts';
import { type Row, report } from './table.ts';

const PODS = 10_000;
const CLIENTS = 64;
const WATCHERS = 100;
const APPLIES = 1500;
/** A list of 10,000 pods as kube-apiserver writes it; with `managedFields`, so ours is compared per byte. */
const PEER_LIST_BYTES = 28e6;
const TMPFS = 0x0102_1994;

interface Figure extends Pick<Row, 'what' | 'unit' | 'better' | 'target'> {
  /** kube-apiserver's and etcd's, on a like machine. */
  recorded?: number;
  value: number;
}

const kload = await openKload();
if (kload) {
  const ours = await measureThenEnd(kload, await startOurServer());
  const peer = hasPeer('kubernetes') ? await measureThenEnd(kload, await startKubernetesPeer()) : undefined;
  for (const [index, { recorded, value, ...row }] of ours.entries()) {
    const measured = peer?.[index]?.value;
    const figure = measured ?? recorded;
    report({
      ...row,
      ours: value,
      ...(figure === undefined ? {} : { peer: { name: 'kube-apiserver + etcd', value: figure, measured: measured !== undefined } }),
    });
  }
}

async function measureThenEnd(kload: string, target: ApiTarget & AsyncDisposable): Promise<Figure[]> {
  await using _ = target;
  if (statfsSync(target.directory).type === TMPFS) console.log(`note: ${target.directory} is in memory, a flush costs nothing there`);
  return await measure(kload, target);
}

/** The same figures in the same order for whichever server. */
async function measure(kload: string, target: ApiTarget): Promise<Figure[]> {
  const run = (test: string, options: Record<string, string | number>) => runKload(kload, target, test, options);
  const figures: Figure[] = [];
  const rate = (what: string, value: number, recorded?: number, target?: number) =>
    figures.push({
      what,
      unit: '/s',
      better: 'more',
      value,
      ...(recorded === undefined ? {} : { recorded }),
      ...(target === undefined ? {} : { target }),
    });
  const time = (what: string, value: number, recorded?: number, target?: number) =>
    figures.push({
      what,
      unit: 'ms',
      better: 'less',
      value,
      ...(recorded === undefined ? {} : { recorded }),
      ...(target ? { target } : {}),
    });

  const creates = { concurrency: CLIENTS, n: 15_000, warm: 2000 };
  const http1 = await run('create-configmaps', { ...creates, http: 1 });
  rate(`API: creates of 1 KB ConfigMaps, TLS, HTTP/1.1, ${CLIENTS} connections`, http1.rps, 1948, 5000);
  time('API: the same, p99', http1.p99_ms);
  const http2 = await run('create-configmaps', { ...creates, http: 2 });
  rate(`API: creates of 1 KB ConfigMaps, h2, ${CLIENTS} streams on one connection`, http2.rps, 1695);
  const single = await run('create-configmaps', { concurrency: 1, n: 1500, warm: 200, http: 1 });
  rate('API: creates of 1 KB ConfigMaps, one client', single.rps, 508, 1000);

  // A scheduler that nobody serves: the pods stay pending.
  const pods = await run('create-pods', { concurrency: CLIENTS, n: PODS, http: 1, namespace: 'pods', 'scheduler-name': 'nobody' });
  rate(`API: creates of pods, HTTP/1.1, ${CLIENTS} connections`, pods.rps, 1059, 3500);
  const get = await run('get', { concurrency: 16, n: 20_000, http: 1 });
  rate('API: get, HTTP/1.1, 16 connections', get.rps, 3025, 12_000);
  rate('API: server-side apply of a Deployment that changes, one client', await measureApplies(target), undefined, 600);

  const list = await run('list', { repeat: 7, http: 1, namespace: 'pods' });
  const scaled = (list.wall_s_median * 1000 * PEER_LIST_BYTES) / list.bytes;
  console.log(`list of ${PODS} pods: ${(list.wall_s_median * 1000).toFixed(0)} ms for ${(list.bytes / 1e6).toFixed(1)} MB`);
  time(`API: list of ${PODS.toLocaleString('en-US')} pods, p50, per ${PEER_LIST_BYTES / 1e6} MB`, scaled, 375, 100);
  const memory = Object.values(list.mem ?? {}).reduce((sum, { rss_kb }) => sum + rss_kb, 0) / 1024;
  figures.push({ what: 'API: memory after all this (RSS)', unit: 'MB', better: 'less', value: memory, recorded: 699 });

  for (const http of [2, 1]) {
    const options = { watchers: WATCHERS, n: 400, http, namespace: `watched-${http}`, 'scheduler-name': 'nobody' };
    const { put_sent_to_last_watcher: last } = await run('watch-fanout', options);
    const how = http === 2 ? 'h2' : 'HTTP/1.1';
    time(`API: PUT sent to the last of ${WATCHERS} watchers, ${how}, p50`, last.p50_ms, 4.7, 3);
    time(`API: PUT sent to the last of ${WATCHERS} watchers, ${how}, p99`, last.p99_ms, 11, 8);
  }
  return figures;
}

/** Applies a second of a Deployment of one manager, another image and label each time; nobody else is in the way but the Deployment's own controllers. */
async function measureApplies(target: ApiTarget): Promise<number> {
  using connection = new Connection(target);
  const apply = (round: number) =>
    connection.send(
      'PATCH',
      '/apis/apps/v1/namespaces/default/deployments/applied?fieldManager=bench&force=true',
      deploymentOf(`v${round}`),
      'application/apply-patch+yaml',
    );
  for (let round = 0; round < 200; round++) await apply(round);
  const began = performance.now();
  for (let round = 200; round < 200 + APPLIES; round++) await apply(round);
  return (APPLIES / (performance.now() - began)) * 1000;
}

/** Paused: the applies are measured, not rollouts. */
function deploymentOf(version: string) {
  const labels = { app: 'applied' };
  const resources = { requests: { cpu: '100m', memory: '64Mi' }, limits: { memory: '128Mi' } };
  const env = ['A', 'B', 'C', 'D'].map(name => ({ name, value: version }));
  const containers = [{ name: 'main', image: `registry.example/app:${version}`, ports: [{ containerPort: 80 }], env, resources }];
  const template = { metadata: { labels: { ...labels, version } }, spec: { containers } };
  const spec = { replicas: 0, paused: true, selector: { matchLabels: labels }, template };
  return { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'applied', labels: { version } }, spec };
}
