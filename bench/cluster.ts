/** The whole platform: start, memory, pods, Services. Peers' figures are those of a like machine (marked) unless measured. */
import { readdirSync, readFileSync } from 'node:fs';
import type { Client } from '#client/index.ts';
import { EndpointSlice } from '#kinds/endpoint-slice.ts';
import { Pod } from '#kinds/pod.ts';
import { Service } from '#kinds/service.ts';
import { whenState } from '#main/control-socket.ts';
import { TestCluster, until } from '../tests/cluster.ts';
import { quantile, report } from './table.ts';

/** Enough that p99 is not the slowest one; the first ones fill caches and pools. */
const PODS = 150;
const WARM_PODS = 5;
const BURST = 50;
/** As many pods as a node takes. */
const MANY = 250;
/** An agent that ends sooner is not started again at once. */
const LIVED_MS = 6_000;

const cluster = await TestCluster.up();
try {
  await cluster.loadBusybox();
  await measureStart();
  const client = await cluster.client();
  await measureIdle();
  await measurePods(client);
  await measureBurst(client);
  await measureServices(client);
  await measureAgentStart(client);
} finally {
  await cluster[Symbol.asyncDispose]();
}

/** `umiak up` by the clock, process start to Ready, with everything already set up. */
async function measureStart(): Promise<void> {
  const times: number[] = [];
  for (let round = 0; round < 5; round++) {
    await cluster.must('down');
    const began = performance.now();
    await cluster.must('up');
    times.push((performance.now() - began) / 1000);
  }
  report({
    what: 'umiak up to Ready node and working API, not the first start, p50',
    unit: 's',
    ours: quantile(times, 0.5),
    better: 'less',
    target: 1,
    peer: { name: 'kube-apiserver + etcd alone', value: 2.4, measured: false },
  });
}

/** Proportional set size of server and agent, and what they burn doing nothing. */
async function measureIdle(): Promise<void> {
  await new Promise(done => setTimeout(done, 15_000));
  const pids = (['server', 'agent'] as const).map(role => cluster.pid(role));
  const memory = pids.map(pssMb);
  console.log(`PSS: server ${memory[0]?.toFixed(0)} MB, agent ${memory[1]?.toFixed(0)} MB`);
  report({ what: 'memory of the idle agent (PSS)', unit: 'MB', better: 'less', target: 90, ours: memory[1] ?? 0 });
  report({
    what: 'memory of the whole idle cluster (PSS, server + agent)',
    unit: 'MB',
    ours: memory[0]! + memory[1]!,
    better: 'less',
    target: 180,
    peer: { name: 'Kubernetes with containerd', value: 637, measured: false },
  });
  const burnt = async (seconds: number) => {
    const before = pids.map(cpuTicks);
    await new Promise(done => setTimeout(done, seconds * 1000));
    return pids.map(cpuTicks).reduce((sum, now, index) => sum + now - before[index]!, 0) / seconds;
  };
  // Half a minute after its start each gives memory back, once.
  report({ what: 'CPU of server + agent while memory is given back', unit: '% of a core', ours: await burnt(20), better: 'less' });
  report({ what: 'idle CPU of server + agent', unit: '% of a core', ours: await burnt(30), better: 'less', target: 0.5 });
}

/** Create request sent to Running seen by a watch, one pod after another. */
async function measurePods(client: Client): Promise<void> {
  const stop = new AbortController();
  const seen = new Map<string, (atMs: number) => void>();
  const watching = watchRunning(client, stop.signal, name => seen.get(name)?.(performance.now()));
  const times: number[] = [];
  for (let index = -WARM_PODS; index < PODS; index++) {
    const name = `one-${index + WARM_PODS}`;
    const running = new Promise<number>(resolve => seen.set(name, resolve));
    const began = performance.now();
    await client.create(Pod, podOf(name));
    const took = (await running) - began;
    if (index >= 0) times.push(took);
    await client.delete(Pod, { namespace: 'default', name }, { gracePeriodSeconds: 0 });
    await until('the pod to be gone', async () => !(await client.get(Pod, { namespace: 'default', name })));
  }
  stop.abort();
  await watching;
  const peer = (value: number) => ({ name: 'kubelet + containerd', value, measured: false });
  report({
    what: 'pod: create to Running seen by a watch, p50',
    unit: 'ms',
    ours: quantile(times, 0.5),
    better: 'less',
    target: 35,
    peer: peer(504),
  });
  report({
    what: 'pod: create to Running seen by a watch, p99',
    unit: 'ms',
    ours: quantile(times, 0.99),
    better: 'less',
    target: 60,
    peer: peer(574),
  });
}

async function measureBurst(client: Client): Promise<void> {
  const stop = new AbortController();
  const running = new Set<string>();
  const all = Promise.withResolvers<void>();
  const watching = watchRunning(client, stop.signal, name => {
    if (name.startsWith('burst-') && running.add(name).size === BURST) all.resolve();
  });
  const began = performance.now();
  await Promise.all(Array.from({ length: BURST }, (_, index) => client.create(Pod, podOf(`burst-${index}`))));
  await all.promise;
  const seconds = (performance.now() - began) / 1000;
  stop.abort();
  await watching;
  report({
    what: `${BURST} pods at once: until all run`,
    unit: 's',
    ours: seconds,
    better: 'less',
    target: 1.2,
    peer: { name: 'kubelet + containerd', value: 5.9, measured: false },
  });
  await client.deleteCollection(Pod, { namespace: 'default' }, { gracePeriodSeconds: 0 });
  await until('the pods to be gone', async () => (await client.list(Pod, { namespace: 'default' })).items.length === 0);
}

/** An endpoint of one of 1,000 Services written until the kernel's table shows it. */
async function measureServices(client: Client): Promise<void> {
  const { NftTransactions } = await import('#net/index.ts');
  const ports = [{ name: 'p', port: 80, protocol: 'TCP', targetPort: 80 }];
  for (let from = 0; from < 1000; from += 100) {
    await Promise.all(
      Array.from({ length: 100 }, async (_, index) => {
        const name = `s-${from + index}`;
        await client.create(Service, { apiVersion: 'v1', kind: 'Service', metadata: { namespace: 'default', name }, spec: { ports } });
        await client.create(EndpointSlice, sliceOf(name, '10.200.0.1'));
      }),
    );
  }
  await using nft = new NftTransactions();
  await until('all Services in the kernel', async () => ((await nft.list(cluster.name)) ?? '').split('10.200.0.1').length > 1000, 120_000);
  const { spec } = (await client.get(Service, { namespace: 'default', name: 's-500' })) ?? {};
  const element = `get element ip ${cluster.name} endpoints { ${spec?.clusterIP} . tcp . 80 . 1 }`;
  const times: number[] = [];
  for (let round = 0; round < 100; round++) {
    const addresses = round % 2 === 0 ? ['10.200.0.1', '10.201.0.1'] : ['10.200.0.1'];
    const endpoints = addresses.map(address => ({ addresses: [address], conditions: { ready: true } }));
    const began = performance.now();
    await client.patch(EndpointSlice, { namespace: 'default', name: 's-500' }, { endpoints }, { type: 'merge' });
    await hasElement(nft, element, addresses.length === 2);
    times.push(performance.now() - began);
  }
  report({
    what: "a Service's endpoint: API write to nftables, 1,000 Services, p99",
    unit: 'ms',
    ours: quantile(times, 0.99),
    better: 'less',
    target: 20,
  });
}

/** Asks the kernel, again and again, until the second endpoint is there or gone. */
async function hasElement(nft: { apply(ruleset: string): Promise<void> }, element: string, wanted: boolean): Promise<void> {
  for (;;) {
    const there = await nft.apply(element).then(
      () => true,
      () => false,
    );
    if (there === wanted) return;
  }
}

async function watchRunning(client: Client, signal: AbortSignal, seen: (name: string) => void): Promise<void> {
  for await (const event of client.watch(Pod, { namespace: 'default' }, signal)) {
    if (event.type !== 'BOOKMARK' && event.object.status?.phase === 'Running') seen(event.object.metadata.name);
  }
}

/** From the agent's kill, with many containers running, to the next one's word that it is ready; the server starts it. */
async function measureAgentStart(client: Client): Promise<void> {
  const stop = new AbortController();
  const running = new Set<string>();
  const all = Promise.withResolvers<void>();
  const watching = watchRunning(client, stop.signal, name => {
    if (name.startsWith('many-') && running.add(name).size === MANY) all.resolve();
  });
  await Promise.all(Array.from({ length: MANY }, (_, index) => client.create(Pod, podOf(`many-${index}`))));
  await all.promise;
  stop.abort();
  await watching;
  const seconds: number[] = [];
  for (let round = 0; round < 5; round++) {
    await new Promise(done => setTimeout(done, LIVED_MS));
    const killed = cluster.pid('agent');
    const began = performance.now();
    process.kill(killed, 'SIGKILL');
    const accept = ({ state }: { state: string }) => state === 'ready' && cluster.pid('agent') !== killed;
    await whenState(`${cluster.runDir}/agent.sock`, { accept });
    seconds.push((performance.now() - began) / 1000);
  }
  report({
    what: `an agent killed over ${MANY} running containers: until the next is ready, p50`,
    unit: 's',
    ours: quantile(seconds, 0.5),
    better: 'less',
    target: 1.5,
  });
  await client.deleteCollection(Pod, { namespace: 'default' }, { gracePeriodSeconds: 0 });
  await until('the pods to be gone', async () => (await client.list(Pod, { namespace: 'default' })).items.length === 0, 60_000);
}

function podOf(name: string) {
  const container = { name: 'main', image: 'busybox:test', imagePullPolicy: 'IfNotPresent', command: ['sleep', '1000'] };
  return {
    apiVersion: 'v1' as const,
    kind: 'Pod' as const,
    metadata: { namespace: 'default', name },
    spec: { containers: [container], terminationGracePeriodSeconds: 0 },
  };
}

function sliceOf(service: string, address: string) {
  return {
    apiVersion: 'discovery.k8s.io/v1' as const,
    kind: 'EndpointSlice' as const,
    metadata: { namespace: 'default', name: service, labels: { 'kubernetes.io/service-name': service } },
    addressType: 'IPv4',
    ports: [{ name: 'p', port: 80, protocol: 'TCP' }],
    endpoints: [{ addresses: [address], conditions: { ready: true } }],
  };
}

/** The process and its children: none of ours are left out, containers' monitors are not counted. */
function pssMb(pid: number): number {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  return Number(/^Pss:\s+(\d+)/m.exec(rollup)?.[1] ?? 0) / 1024;
}

function cpuTicks(pid: number): number {
  let ticks = 0;
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    const fields = readFileSync(`/proc/${pid}/task/${task}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
    ticks += Number(fields[11]) + Number(fields[12]);
  }
  return ticks;
}
