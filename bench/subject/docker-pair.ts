import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { type DockerClients, findDockerClients } from '../../tests/docker-clients.ts';
import { busyboxArchive, DockerHost } from '../../tests/docker-host.ts';
import { hasDocker, installDocker } from '../peers/docker.ts';
import { startDockerd } from '../peers/dockerd.ts';
import { hasPeer } from '../peers/wanted.ts';
import { processesMentioning } from './processes.ts';

const run = promisify(execFile);

/** One of the two daemons that are measured beside each other. */
export interface Subject {
  name: string;
  /** The docker command against it; throws unless it exits with 0. */
  docker(...args: string[]): Promise<string>;
  /** Another program with docker's variables. */
  run(file: string, ...args: string[]): Promise<string>;
  /** One call of its API on a connection that is kept, without a client process. @throws with what it said from 400 on */
  call(method: string, path: string, body?: unknown): Promise<string>;
  /** Of daemon and, by dockerd, its containerd. */
  daemonMb(): number;
  /** Of all monitors of running containers: conmon, containerd's shims. */
  monitorsMb(): number;
  /** The highest of its memory (PSS) while `work` is at it, MB. */
  peakMb(work: () => Promise<unknown>): Promise<number>;
  /** The longest pause of its event loop since the last time, ms; undefined where there is no such loop. */
  longestPauseMs(): Promise<number | undefined>;
}

export interface DockerPair extends AsyncDisposable {
  ours: Subject;
  /** Absent where dockerd is not installed: PEERS=docker installs it. */
  theirs: Subject | undefined;
  /** Both, ours first. */
  all: Subject[];
  /** For files of the bench's. */
  directory: string;
}

/** Our agent and Debian's dockerd, both with `busybox`, in one run. @param probe false: nobody looks at the event loop, which costs memory */
export async function startDockerPair({ probe: isProbed = true } = {}): Promise<DockerPair> {
  if (hasPeer('docker') && !hasDocker()) installDocker();
  const { have: clients, missing } = await findDockerClients({ compose: true });
  if (!clients) throw new Error(missing);
  await using stack = new AsyncDisposableStack();
  const directory = mkdtempSync(join(tmpdir(), 'umiak-bench-docker-'));
  stack.defer(() => rmSync(directory, { recursive: true, force: true }));
  const config = join(directory, 'config');
  mkdirSync(config);
  const plugins = clients.compose.have ? [join(clients.compose.have, '..')] : [];
  writeFileSync(join(config, 'config.json'), JSON.stringify({ cliPluginsExtraDirs: plugins }));
  const probe = isProbed ? join(directory, 'pause') : undefined;
  const watching = probe ? [`--import=${join(import.meta.dirname, 'loop-probe.ts')}`] : [];
  // As `umiak up` calls it.
  const env = { NODE_OPTIONS: ['--max-semi-space-size=2', ...watching].join(' '), ...(probe ? { UMIAK_LOOP_PROBE: probe } : {}) };
  const host = stack.use(await DockerHost.start({ clients, agentEnv: env }));
  const shared = { clients, config, stack };
  const ours = open({
    ...shared,
    name: 'umiak',
    socketPath: host.socketPath,
    daemon: () => [host.agentPid],
    monitors: () => processesMentioning(`${host.cluster.runDir}/engine/bundles/`),
    ...(probe ? { probe } : {}),
  });
  let theirs: Subject | undefined;
  if (hasDocker()) {
    const dockerd = stack.use(await startDockerd());
    theirs = open({
      ...shared,
      name: `dockerd ${dockerd.version}`,
      socketPath: dockerd.socketPath,
      daemon: () => Object.values(dockerd.pids),
      monitors: () => processesMentioning(dockerd.directory).filter(pid => commandOf(pid).includes('containerd-shim')),
    });
    const archive = join(directory, 'busybox.tar');
    writeFileSync(archive, await busyboxArchive('busybox:latest'));
    await theirs.docker('load', '-i', archive);
  } else console.log('dockerd is not installed: PEERS=docker installs it and measures it beside us');
  const owned = stack.move();
  const all = theirs ? [ours, theirs] : [ours];
  return { ours, theirs, all, directory, [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose]() };
}

interface Open {
  name: string;
  socketPath: string;
  clients: DockerClients;
  config: string;
  daemon: () => number[];
  monitors: () => number[];
  probe?: string;
  stack: AsyncDisposableStack;
}

function open({ name, socketPath, clients, config, daemon, monitors, probe, stack }: Open): Subject {
  const agent = new Agent({ keepAlive: true });
  stack.defer(() => agent.destroy());
  const env = {
    ...process.env,
    DOCKER_HOST: `unix://${socketPath}`,
    DOCKER_CONFIG: config,
    DOCKER_BUILDKIT: '0',
    DOCKER_CLI_HINTS: 'false',
  };
  const command = async (file: string, ...args: string[]) =>
    (await run(file, args, { env, maxBuffer: 64 << 20, timeout: 600_000 })).stdout.trimEnd();
  const pauses = async () => {
    if (!probe) return undefined;
    rmSync(probe, { force: true });
    for (const pid of daemon()) process.kill(pid, 'SIGUSR2');
    while (!existsSync(probe)) await pause(5);
    return (JSON.parse(readFileSync(probe, 'utf8')) as { maxMs: number }).maxMs;
  };
  return {
    name,
    docker: (...args) => command(clients.docker, ...args),
    run: command,
    call: (method, path, body) => callApi({ socketPath, agent, method, path, body }),
    daemonMb: () => sum(daemon().map(proportionalMb)),
    monitorsMb: () => sum(monitors().map(proportionalMb)),
    async peakMb(work) {
      let peak = 0;
      let isOver = false;
      const look = async () => {
        while (!isOver) {
          peak = Math.max(peak, sum(daemon().map(proportionalMb)));
          await pause(50);
        }
      };
      const looking = look();
      try {
        await work();
      } finally {
        isOver = true;
      }
      await looking;
      return peak;
    },
    longestPauseMs: pauses,
  };
}

interface Call {
  socketPath: string;
  agent: Agent;
  method: string;
  path: string;
  body: unknown;
}

function callApi({ socketPath, agent, method, path, body }: Call): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const bytes = body === undefined ? '' : JSON.stringify(body);
  const headers = body === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(bytes) };
  const asking = request({ socketPath, agent, method, path, headers }, response => {
    let text = '';
    response.setEncoding('utf8').on('data', chunk => (text += chunk));
    response.once('error', reject).once('end', () => {
      if ((response.statusCode ?? 500) < 400) resolve(text);
      else reject(new Error(`${method} ${path}: ${response.statusCode} ${text}`));
    });
  });
  asking.once('error', reject).end(bytes);
  return promise;
}

function proportionalMb(pid: number): number {
  return kilobytes(`/proc/${pid}/smaps_rollup`, /^Pss:\s+(\d+)/m) / 1024;
}

function kilobytes(file: string, pattern: RegExp): number {
  try {
    return Number(pattern.exec(readFileSync(file, 'utf8'))?.[1] ?? 0);
  } catch {
    return 0; // it ended
  }
}

function commandOf(pid: number): string {
  return readdirSync('/proc').includes(String(pid)) ? readFileSync(`/proc/${pid}/cmdline`, 'utf8') : '';
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, each) => total + each, 0);
}

/** Milliseconds that each subject took, `rounds` times, in alternation, so that what else the machine does meets both. */
export async function alternate(
  subjects: readonly Subject[],
  rounds: number,
  work: (subject: Subject, round: number) => Promise<unknown>,
): Promise<number[][]> {
  const times = subjects.map((): number[] => []);
  for (let round = -1; round < rounds; round++)
    for (const [index, subject] of subjects.entries()) {
      const began = performance.now();
      await work(subject, round);
      // The first ones fill caches.
      if (round >= 0) times[index]!.push(performance.now() - began);
    }
  return times;
}
