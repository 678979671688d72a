/** containerd from Debian with its CRI plugin, started privately, and the bridge of the CNI plugins with a network of its own. */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { buildImage, buildLayout } from '#images/fixtures.ts';
import { Cgroup, readCgroupLayout } from '#linux/cgroup.ts';
import { unmountBelow } from '#linux/unmount-below.ts';
import { busyboxRoot } from '../subject/busybox.ts';
import { Child } from '../subject/child.ts';
import { processesMentioning } from '../subject/processes.ts';

const run = promisify(execFile);
const PLUGINS = '/usr/lib/cni';
const SANDBOX_IMAGE = 'docker.io/library/sandbox:bench';
/** Where it writes whatever its configuration says. */
const SHARED = ['/run/containerd'];
const BRIDGE = 'umbenchcni0';

/** Whether containerd and the plugins that it needs are on the machine. */
export function hasContainerdCri(): boolean {
  return existsSync('/usr/bin/containerd') && ['bridge', 'host-local', 'loopback'].every(name => existsSync(`${PLUGINS}/${name}`));
}

/** Starts it with `image` in its store. Disposed, no process, mount, link or control group of it is left. */
export async function startContainerdCri(image: string): Promise<AsyncDisposable & { socketPath: string }> {
  await using stack = new AsyncDisposableStack();
  const name = `umiakbench${process.pid}`;
  const directory = mkdtempSync(join(tmpdir(), `${name}-`));
  const group = new Cgroup(readCgroupLayout(), '/k8s.io');
  const hadGroup = ['', '/memory', '/unified'].some(tree => existsSync(`/sys/fs/cgroup${tree}/k8s.io`));
  const madeHere = SHARED.filter(path => !existsSync(path));
  stack.defer(async () => {
    for (const pid of processesMentioning(directory)) process.kill(pid, 'SIGKILL');
    if (!hadGroup) {
      await group.kill();
      group.remove();
    }
    unmountBelow(directory);
    await run('ip', ['link', 'del', BRIDGE]).catch(() => {});
    for (const path of [directory, ...madeHere]) rmSync(path, { recursive: true, force: true });
  });
  const socketPath = join(directory, 'containerd.sock');
  writeNetwork(directory);
  writeFileSync(join(directory, 'containerd.toml'), configuration(directory, socketPath));
  const child = stack.use(new Child('containerd', ['--config', join(directory, 'containerd.toml')]));
  await child.ready('containerd', () => run('ctr', ['-a', socketPath, 'version']));
  const sleeps = buildImage([busyboxRoot()], { Entrypoint: ['sleep', '100000'], Env: ['PATH=/bin'] });
  for (const reference of [image, SANDBOX_IMAGE]) {
    const archive = join(directory, 'image.tar');
    writeFileSync(archive, buildLayout(sleeps, reference));
    await run('ctr', ['-a', socketPath, '-n', 'k8s.io', 'images', 'import', archive]);
  }
  const owned = stack.move();
  return { socketPath, [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose]() };
}

function configuration(directory: string, socketPath: string): string {
  return `version = 2
root = "${directory}/containerd"
state = "${directory}/state"
[grpc]
address = "${socketPath}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "${SANDBOX_IMAGE}"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "${PLUGINS}"
conf_dir = "${directory}/net.d"
`;
}

function writeNetwork(directory: string): void {
  mkdirSync(join(directory, 'net.d'));
  const ipam = { type: 'host-local', dataDir: join(directory, 'ipam'), ranges: [[{ subnet: '10.98.0.0/16' }]] };
  const list = { cniVersion: '1.0.0', name: 'bench', plugins: [{ type: 'bridge', bridge: BRIDGE, isGateway: true, ipam }] };
  writeFileSync(join(directory, 'net.d/10-bench.conflist'), JSON.stringify(list));
}
