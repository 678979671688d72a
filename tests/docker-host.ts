import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { type IncomingHttpHeaders, request } from 'node:http';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { isUmiakError } from '#base/errors.ts';
import { buildTar } from '#images/fixtures.ts';
import { hostPlatform } from '#images/oci.ts';
import { type Ran, TestCluster, until } from './cluster.ts';
import type { DockerClients } from './docker-clients.ts';

const run = promisify(execFile);
const root = resolve(import.meta.dirname, '..');
const COMMAND_MS = 60_000;
/** Another daemon to judge by the same tests, dockerd say: that shows whether they ask for what docker does. */
const OTHER = process.env.UMIAK_TEST_DOCKER_SOCKET;

/** What the docker API answered. */
export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
  /** The text as JSON; undefined where it is none. */
  json: unknown;
}

/** One more argument than docker's own: what its stdin reads, and how long it may take. */
export interface CommandOptions {
  input?: string | Buffer;
  timeoutMs?: number;
  env?: NodeJS.ProcessEnv;
  cwd?: string;
}

export interface StartOptions {
  /** Without them only the API is spoken to. */
  clients?: DockerClients | undefined;
  /** Loads `busybox`. Default: true. */
  image?: boolean;
  /** More variables for the agent. */
  agentEnv?: Record<string, string>;
}

/**
 * An agent alone, with no server: as much of an instance as docker needs, up in a third of a second. The docker command speaks to it with a
 * configuration of its own. Disposing leaves nothing; what is left fails the test, by `TestCluster`'s census.
 */
export class DockerHost implements AsyncDisposable {
  readonly cluster: TestCluster;
  /** Of the docker command: `config.json`, and plugins where some were asked for. */
  readonly configDirectory: string;
  readonly #clients: DockerClients | undefined;
  #agent: ChildProcess | undefined;

  private constructor(cluster: TestCluster, clients: DockerClients | undefined) {
    this.cluster = cluster;
    this.#clients = clients;
    this.configDirectory = join(cluster.directory, 'docker-config');
    mkdirSync(this.configDirectory, { recursive: true });
    const plugins = clients?.compose.have ? [resolve(clients.compose.have, '..')] : [];
    writeFileSync(join(this.configDirectory, 'config.json'), JSON.stringify({ cliPluginsExtraDirs: plugins }));
  }

  /** Starts the agent. */
  static async start({ clients, image = true, agentEnv = {} }: StartOptions = {}): Promise<DockerHost> {
    const cluster = await TestCluster.open(agentEnv);
    const host = new DockerHost(cluster, clients);
    try {
      await host.startAgent();
      if (image) await host.loadBusybox('busybox:latest');
      return host;
    } catch (error) {
      await host[Symbol.asyncDispose]().catch(() => {});
      throw error;
    }
  }

  get socketPath(): string {
    return OTHER ?? this.cluster.dockerSocket;
  }

  get address(): string {
    return `unix://${this.socketPath}`;
  }

  /** The agent's process. */
  get agentPid(): number {
    return this.cluster.pid('agent');
  }

  /** Returns when the socket answers. */
  async startAgent(): Promise<void> {
    if (OTHER) return;
    const logs = join(this.cluster.dataDir, 'logs');
    mkdirSync(logs, { recursive: true });
    const log = openSync(join(logs, 'agent.log'), 'a');
    const options = {
      env: { ...process.env, ...this.cluster.env, NO_COLOR: '1' },
      stdio: ['ignore', log, log] as ['ignore', number, number],
    };
    const agent = spawn(join(root, 'bin/umiak'), ['agent'], options);
    this.#agent = agent;
    let ended = false;
    agent.once('exit', () => (ended = true));
    await until('the docker socket', async () => {
      if (ended) throw new Error(`the agent ended:\n${this.agentLog()}`);
      return await this.api('GET', '/_ping').then(
        ({ status }) => status === 200,
        () => false,
      );
    });
  }

  /** kill -9, and nothing else: its containers go on. */
  async killAgent(): Promise<void> {
    if (OTHER) return;
    const ended = this.#agent && this.#agent.exitCode === null && this.#agent.signalCode === null ? once(this.#agent, 'exit') : undefined;
    try {
      process.kill(this.agentPid, 'SIGKILL');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
    await ended;
  }

  /** The end of what it said. */
  agentLog(bytes = 4_000): string {
    return this.cluster.log('agent').slice(-bytes);
  }

  get env(): NodeJS.ProcessEnv {
    return { ...process.env, DOCKER_HOST: this.address, DOCKER_CONFIG: this.configDirectory, DOCKER_BUILDKIT: '0', NO_COLOR: '1' };
  }

  /** The docker command; throws unless it exits with 0. What it printed, without the last line's end. */
  async docker(...args: string[]): Promise<string> {
    const { stdout, stderr, code } = await this.tryDocker(args);
    assert.equal(code, 0, `docker ${args.join(' ')} exited with ${code}\n${stdout}${stderr}\n--- agent\n${this.agentLog()}`);
    return stdout.trimEnd();
  }

  /** The docker command, however it ends. */
  tryDocker(args: readonly string[], options: CommandOptions = {}): Promise<Ran> {
    if (!this.#clients) throw new Error('no docker command was asked for');
    return this.command(this.#clients.docker, args, options);
  }

  /** Any other client of the socket, with docker's variables. */
  async command(
    file: string,
    args: readonly string[],
    { input = '', timeoutMs = COMMAND_MS, env = {}, cwd }: CommandOptions = {},
  ): Promise<Ran> {
    const running = run(file, [...args], {
      env: { ...this.env, ...env },
      maxBuffer: 64 << 20,
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
      ...(cwd ? { cwd } : {}),
    });
    running.child.stdin?.on('error', () => {}); // it ended without reading all
    running.child.stdin?.end(input);
    try {
      return { ...(await running), code: 0 };
    } catch (error) {
      const { stdout = '', stderr = '', code, killed } = error as Partial<Ran> & { killed?: boolean };
      const said = killed ? `${stderr}\nkilled after ${timeoutMs / 1000} s` : stderr;
      return { stdout, stderr: said || String(error), code: typeof code === 'number' ? code : 1 };
    }
  }

  /** A client that goes on in the background, `docker events` say; ends with the host. */
  spawnDocker(...args: string[]): ChildProcess {
    if (!this.#clients) throw new Error('no docker command was asked for');
    return spawn(this.#clients.docker, args, { env: this.env, stdio: ['pipe', 'pipe', 'pipe'] });
  }

  /** One call of the API, on a connection of its own. */
  async api(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    const isBytes = typeof body === 'string' || Buffer.isBuffer(body);
    const bytes = body === undefined ? undefined : isBytes ? body : JSON.stringify(body);
    const type = bytes === undefined ? {} : { 'content-type': isBytes ? 'application/x-tar' : 'application/json' };
    const { promise, resolve: done, reject } = Promise.withResolvers<Answer>();
    const asking = request({ socketPath: this.socketPath, method, path, headers: { ...type, ...headers }, agent: false }, response => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.once('error', reject);
      response.once('end', () => {
        const text = Buffer.concat(chunks).toString();
        done({ status: response.statusCode ?? 0, headers: response.headers, text, json: parsed(text) });
      });
    });
    asking.once('error', reject);
    asking.setTimeout(COMMAND_MS, () => asking.destroy(new Error(`${method} ${path}: no answer for ${COMMAND_MS / 1000} s`)));
    asking.end(bytes);
    return await promise;
  }

  /** A call that must be answered with a status below 400; its JSON. */
  async must<T = Record<string, unknown>>(method: string, path: string, body?: unknown): Promise<T> {
    const { status, text, json } = await this.api(method, path, body);
    assert.ok(status < 400, `${method} ${path}: ${status} ${text}\n--- agent\n${this.agentLog(1_500)}`);
    return json as T;
  }

  /** Loads static busybox with all its applets under a name. */
  async loadBusybox(name: string): Promise<void> {
    const { status, text } = await this.api('POST', '/images/load?quiet=1', await busyboxArchive(name));
    assert.equal(status, 200, text);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.removeContainers();
    await this.cluster[Symbol.asyncDispose]();
  }

  /** All of them by the API, as people do it; `down` ends what this could not. */
  async removeContainers(): Promise<void> {
    try {
      const { json } = await this.api('GET', '/containers/json?all=1');
      if (Array.isArray(json)) for (const { Id } of json as { Id: string }[]) await this.api('DELETE', `/containers/${Id}?force=1&v=1`);
    } catch (error) {
      if (isUmiakError(error) || !(error instanceof Error)) throw error;
      // No agent: nobody to ask.
    }
  }
}

/** As `docker load` takes it. */
export async function busyboxArchive(name: string): Promise<Buffer> {
  return dockerArchive([await busyboxLayer()], { Cmd: ['sh'], Env: ['PATH=/bin'] }, [name]);
}

/** A root file system of static busybox with all its applets. */
export async function busyboxLayer(): Promise<Buffer> {
  const applets = (await run('/bin/busybox', ['--list'])).stdout.trim().split('\n');
  const links = applets
    .filter(applet => applet !== 'busybox')
    .map(applet => ({ name: `bin/${applet}`, type: 'symlink' as const, linkName: 'busybox' }));
  return buildTar([
    { name: 'bin/' },
    { name: 'bin/busybox', content: readFileSync('/bin/busybox'), mode: 0o755 },
    ...links,
    { name: 'etc/' },
    { name: 'etc/passwd', content: 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n' },
    { name: 'etc/group', content: 'root:x:0:\nnogroup:x:65534:\n' },
    { name: 'root/', mode: 0o700 },
    { name: 'tmp/', mode: 0o1777 },
    { name: 'var/' },
    { name: 'usr/' },
  ]);
}

/** As `docker save` writes it: an image of whole layers under names. */
export function dockerArchive(layers: readonly Buffer[], config: object, names: readonly string[], platform = hostPlatform()): Buffer {
  const rootfs = { type: 'layers', diff_ids: layers.map(layer => `sha256:${createHash('sha256').update(layer).digest('hex')}`) };
  const created = '2026-01-01T00:00:00Z';
  const content = JSON.stringify({ ...platform, created, config, rootfs, history: layers.map(() => ({ created })) });
  const configName = `${createHash('sha256').update(content).digest('hex')}.json`;
  const manifest = [{ Config: configName, RepoTags: names, Layers: layers.map((_, index) => `${index}/layer.tar`) }];
  return buildTar([
    { name: configName, content },
    ...layers.map((layer, index) => ({ name: `${index}/layer.tar`, content: layer })),
    { name: 'manifest.json', content: JSON.stringify(manifest) },
  ]);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
