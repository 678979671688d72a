/** containerd and dockerd from Debian, started privately: sockets, data and control groups of their own, no bridge, no rules. */
import { execFile, execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Cgroup, readCgroupLayout } from '#linux/cgroup.ts';
import { unmountBelow } from '#linux/unmount-below.ts';
import { Child } from '../subject/child.ts';
import { processesMentioning } from '../subject/processes.ts';

const run = promisify(execFile);
/** Where both write whatever their configuration says. */
const SHARED = ['/run/containerd', '/run/docker'];
const POLICY = '/usr/sbin/policy-rc.d';

export interface ContainerEngine extends AsyncDisposable {
  runOnce(): Promise<void>;
}

export interface DockerPeers extends AsyncDisposable {
  /** `ctr run --rm`, a process each time, as there is no other everyday client. */
  containerd: ContainerEngine;
  /** By its API, no client process: create, start, wait until it is removed. */
  docker: ContainerEngine;
}

/** Whether both are on the machine. */
export function hasDocker(): boolean {
  return existsSync('/usr/bin/containerd') && existsSync('/usr/sbin/dockerd');
}

/** Installs them from Debian without starting their services. They stay installed. */
export function installDocker(): void {
  console.log('installing containerd and docker.io …');
  const isOurs = !existsSync(POLICY);
  if (isOurs) {
    writeFileSync(POLICY, '#!/bin/sh\nexit 101\n');
    chmodSync(POLICY, 0o755);
  }
  try {
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    execFileSync('apt-get', ['install', '-qq', '-y', '--no-install-recommends', 'containerd', 'docker.io'], { env, stdio: 'pipe' });
  } finally {
    if (isOurs) rmSync(POLICY);
  }
}

/** Starts both over one containerd. Disposed, no process, mount or control group of theirs is left. */
export async function startDockerPeers(root: Buffer, image: Buffer, reference: string): Promise<DockerPeers> {
  await using stack = new AsyncDisposableStack();
  const name = `umiakbench${process.pid}`;
  const directory = mkdtempSync(join(tmpdir(), `${name}-`));
  const groups = [`/${name}`, `/${name}-docker`].map(path => new Cgroup(readCgroupLayout(), path));
  const madeHere = SHARED.filter(path => !existsSync(path));
  stack.defer(async () => {
    for (const pid of processesMentioning(directory)) process.kill(pid, 'SIGKILL');
    for (const group of groups) {
      await group.kill();
      group.remove();
    }
    unmountBelow(directory);
    for (const path of [directory, `/run/containerd/runc/${name}`, ...madeHere]) rmSync(path, { recursive: true, force: true });
  });
  const containerd = join(directory, 'containerd.sock');
  await startContainerd(stack, directory, containerd);
  const ctr = (...args: string[]) => run('ctr', ['-a', containerd, '-n', name, ...args]);
  const archive = join(directory, 'image.tar');
  writeFileSync(archive, image);
  await ctr('images', 'import', archive);
  const docker = join(directory, 'docker.sock');
  await startDockerd(stack, { directory, containerd, docker, cgroupParent: `/${name}-docker` });
  const api = new DockerClient(docker);
  stack.use(api);
  await api.call('POST', '/images/create?fromSrc=-&repo=busybox&tag=bench', root, 'application/x-tar');

  const owned = stack.move();
  let count = 0;
  const nothing = { [Symbol.asyncDispose]: async () => {} };
  return {
    containerd: { ...nothing, runOnce: async () => void (await ctr('run', '--rm', reference, `one-${count++}`, 'true')) },
    docker: { ...nothing, runOnce: () => api.runOnce() },
    [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose](),
  };
}

/** A containerd without CRI, on its socket below `directory`. */
export async function startContainerd(stack: AsyncDisposableStack, directory: string, socket: string): Promise<void> {
  const config = join(directory, 'containerd.toml');
  const lines = [
    'version = 2',
    `root = "${directory}/containerd"`,
    `state = "${directory}/state"`,
    'disabled_plugins = ["io.containerd.grpc.v1.cri"]',
    '[grpc]',
    `address = "${socket}"`,
  ];
  writeFileSync(config, `${lines.join('\n')}\n`);
  const child = stack.use(new Child('containerd', ['--config', config]));
  await child.ready('containerd', () => run('ctr', ['-a', socket, 'version']));
}

interface DockerdPaths {
  directory: string;
  containerd: string;
  docker: string;
  cgroupParent: string;
}

async function startDockerd(stack: AsyncDisposableStack, { directory, containerd, docker, cgroupParent }: DockerdPaths): Promise<void> {
  const flags = {
    host: `unix://${docker}`,
    containerd,
    'data-root': join(directory, 'docker'),
    'exec-root': join(directory, 'exec'),
    pidfile: join(directory, 'docker.pid'),
    'config-file': join(directory, 'none.json'),
    'cgroup-parent': cgroupParent,
    bridge: 'none',
    iptables: false,
    ip6tables: false,
    'ip-forward': false,
    'ip-masq': false,
  };
  writeFileSync(flags['config-file'], '{}');
  const child = stack.use(
    new Child(
      'dockerd',
      Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`),
    ),
  );
  await using api = new DockerClient(docker);
  await child.ready('dockerd', () => api.call('GET', '/_ping'));
}

/** As much of the Docker API as a run needs. */
class DockerClient implements AsyncDisposable {
  readonly #socketPath: string;
  readonly #agent = new Agent({ keepAlive: true });

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
  }

  async runOnce(): Promise<void> {
    const config = { Image: 'busybox:bench', Cmd: ['/bin/true'], HostConfig: { AutoRemove: true, NetworkMode: 'none' } };
    const { Id } = JSON.parse(await this.call('POST', '/containers/create', Buffer.from(JSON.stringify(config)))) as { Id: string };
    const removed = this.call('POST', `/containers/${Id}/wait?condition=removed`);
    await this.call('POST', `/containers/${Id}/start`);
    await removed;
  }

  /** @throws with what docker says unless it is content */
  async call(method: string, path: string, body?: Buffer, type = 'application/json'): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const headers = body ? { 'content-type': type, 'content-length': body.length } : {};
    const asking = request({ socketPath: this.#socketPath, agent: this.#agent, method, path, headers }, response => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject).on('end', () => {
        const text = Buffer.concat(chunks).toString();
        if ((response.statusCode ?? 500) < 300) resolve(text);
        else reject(new Error(`docker: ${method} ${path}: ${response.statusCode} ${text}`));
      });
    });
    asking.on('error', reject).end(body);
    return await promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#agent.destroy();
  }
}
