import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Cgroup, readCgroupLayout } from '#linux/cgroup.ts';
import { unmountBelow } from '#linux/unmount-below.ts';
import { Child } from '../subject/child.ts';
import { processesMentioning } from '../subject/processes.ts';
import { startContainerd } from './docker.ts';

const run = promisify(execFile);
/** Where both write whatever their configuration says. */
const SHARED = ['/run/containerd', '/run/docker'];

/** dockerd as people have it, with its own bridge and rules. */
export interface Dockerd extends AsyncDisposable {
  socketPath: string;
  /** `20.10.24` */
  version: string;
  /** dockerd and its containerd. */
  pids: { dockerd: number; containerd: number };
  /** In every command line of its shims. */
  directory: string;
}

/**
 * Starts Debian's dockerd over a containerd of its own, in a network namespace of its own, where its bridge and its rules meet nobody's.
 * Disposed, no process, mount, link or control group of theirs is left.
 */
export async function startDockerd(): Promise<Dockerd> {
  await using stack = new AsyncDisposableStack();
  const name = `umdockerd${process.pid}`;
  const directory = mkdtempSync(join(tmpdir(), `${name}-`));
  const group = new Cgroup(readCgroupLayout(), `/${name}`);
  const madeHere = SHARED.filter(path => !existsSync(path));
  stack.defer(async () => {
    for (const pid of processesMentioning(directory)) process.kill(pid, 'SIGKILL');
    await group.kill();
    group.remove();
    unmountBelow(directory);
    await run('ip', ['netns', 'del', name]).catch(() => {});
    for (const path of [directory, ...madeHere]) rmSync(path, { recursive: true, force: true });
  });
  await run('ip', ['netns', 'add', name]);
  await run('ip', ['-n', name, 'link', 'set', 'lo', 'up']);
  const containerd = join(directory, 'containerd.sock');
  await startContainerd(stack, directory, containerd);
  const socketPath = join(directory, 'docker.sock');
  const flags = {
    host: `unix://${socketPath}`,
    containerd,
    'data-root': join(directory, 'docker'),
    'exec-root': join(directory, 'exec'),
    pidfile: join(directory, 'docker.pid'),
    'config-file': join(directory, 'none.json'),
    'cgroup-parent': `/${name}`,
    iptables: existsSync('/usr/sbin/iptables'),
    'ip-masq': existsSync('/usr/sbin/iptables'),
    'userland-proxy': false,
  };
  writeFileSync(flags['config-file'], '{}');
  const words = Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`);
  const child = stack.use(new Child('nsenter', [`--net=/run/netns/${name}`, 'dockerd', ...words]));
  const env = { ...process.env, DOCKER_HOST: flags.host };
  const ask = () => run('docker', ['version', '-f', '{{.Server.Version}}'], { env });
  await child.ready('dockerd', ask);
  const version = (await ask()).stdout.trim().split('+')[0] ?? '';
  const [containerdPid = 0] = processesMentioning(join(directory, 'containerd.toml'));
  const owned = stack.move();
  return {
    socketPath,
    version,
    directory,
    // nsenter becomes dockerd; `ip netns exec` would hide the control groups from it.
    pids: { dockerd: child.pid, containerd: containerdPid },
    [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose](),
  };
}
