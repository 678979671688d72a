/**
 * One container from nothing to nothing: `true` in a fresh root file system and namespaces, and everything removed again. Ours as the agent wires it,
 * beside crun alone, and containerd (`ctr`) and Docker Engine (its API) where they are installed; `PEERS=docker` installs them from Debian.
 */

import { applyMachine } from '#engine/index.ts';
import { KernelChangeJournal } from '#linux/kernel-changes.ts';
import { openCrun } from './peers/crun.ts';
import { hasDocker, installDocker, startDockerPeers } from './peers/docker.ts';
import { hasPeer } from './peers/wanted.ts';
import { BUSYBOX, busyboxImage, busyboxRoot } from './subject/busybox.ts';
import { startOurMachine } from './subject/machine.ts';
import { quantile, report } from './table.ts';

const RUNS = 40;
const BATCH = 50;
const AT_ONCE = 8;

interface Figures {
  p50: number;
  p95: number;
  perSecond: number;
}

interface Peer extends Figures {
  name: string;
  measured: boolean;
}

if (hasPeer('docker') && !hasDocker()) installDocker();

// What our engine wants of the kernel holds for everybody's turn: it is quicker for all, and another instance's end must not take it away.
const kernel = new KernelChangeJournal({ holder: `bench${process.pid}` });
try {
  await applyMachine(kernel);
  await measureAll();
} finally {
  await kernel.undoAll();
}

async function measureAll(): Promise<void> {
  const root = busyboxRoot();
  const image = busyboxImage(root);
  const ours = await measureOurs(image);
  const crun = await measureCrun(root);
  const { containerd, docker } = await measureDocker(root, image);
  tell('no network', ours.none, [crun, containerd, docker]);
  tell('with an address on the bridge', ours.pod, [{ name: 'Docker, bridge', p50: 195, p95: 215, perSecond: 8, measured: false }]);
}

function tell(how: string, figures: Figures, peers: readonly Peer[]): void {
  for (const { name, measured, ...theirs } of peers) {
    const peer = (value: number) => ({ peer: { name, value, measured } });
    const time = { unit: 'ms', better: 'less' } as const;
    report({ what: `container run and removed, ${how}, p50`, ...time, ours: figures.p50, ...peer(theirs.p50) });
    report({ what: `container run and removed, ${how}, p95`, ...time, ours: figures.p95, ...peer(theirs.p95) });
    const rate = { unit: '/s', better: 'more', ours: figures.perSecond } as const;
    report({ what: `containers run and removed, ${how}, ${AT_ONCE} at a time`, ...rate, ...peer(theirs.perSecond) });
  }
}

async function measureOurs(image: Buffer): Promise<{ none: Figures; pod: Figures }> {
  await using machine = await startOurMachine(image, BUSYBOX);
  return { none: await measure(() => machine.runOnce('none')), pod: await measure(() => machine.runOnce('pod')) };
}

async function measureCrun(root: Buffer): Promise<Peer> {
  await using crun = await openCrun(root);
  return { name: 'crun alone', measured: true, ...(await measure(() => crun.runOnce())) };
}

async function measureDocker(root: Buffer, image: Buffer): Promise<{ containerd: Peer; docker: Peer }> {
  if (!hasDocker()) {
    console.log('containerd and dockerd are not installed: their recorded figures stand (PEERS=docker installs and measures them)');
    return {
      containerd: { name: 'containerd 2.4, ctr', p50: 108, p95: 126, perSecond: 15, measured: false },
      docker: { name: 'Docker 29', p50: 133, p95: 143, perSecond: 8, measured: false },
    };
  }
  await using peers = await startDockerPeers(root, image, BUSYBOX);
  return {
    containerd: { name: 'containerd, ctr', measured: true, ...(await measure(() => peers.containerd.runOnce())) },
    docker: { name: 'Docker, its API', measured: true, ...(await measure(() => peers.docker.runOnce())) },
  };
}

async function measure(runOnce: () => Promise<void>): Promise<Figures> {
  for (let i = 0; i < 3; i++) await runOnce();
  const times: number[] = [];
  for (let i = 0; i < RUNS; i++) {
    const began = performance.now();
    await runOnce();
    times.push(performance.now() - began);
  }
  const began = performance.now();
  let started = 0;
  const worker = async () => {
    while (started++ < BATCH) await runOnce();
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return { p50: quantile(times, 0.5), p95: quantile(times, 0.95), perSecond: (BATCH * 1000) / (performance.now() - began) };
}
