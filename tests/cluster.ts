import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { isUmiakError, systemClock } from '#base/index.ts';
import { type Client, createClient, HttpsTransport } from '#client/index.ts';
import { buildImage, buildLayout, buildTar } from '#images/fixtures.ts';
import { Pod } from '#kinds/pod.ts';
import { lockFile } from '#linux/lock.ts';
import { unmountBelow } from '#linux/unmount-below.ts';
import { stateNow } from '#main/control-socket.ts';
import { ClusterPki } from '#pki/index.ts';
import { deletedFilesOf } from './process-census.ts';
import { findRemainsOfPods, findStrays } from './remains.ts';
import { Census, type Resources } from './resources.ts';

const run = promisify(execFile);
const root = resolve(import.meta.dirname, '..');
const SLOTS = 64;
const FIRST_OWN_PORT = 22_000;
const OWN_PORTS = 40;
const STRAYS_MS = 15_000;

/** What a command printed and how it ended. */
export interface Ran {
  stdout: string;
  stderr: string;
  code: number;
}

/**
 * A whole instance of the platform for one test file: own name, directories, networks and ports, so that several run side by side and
 * beside what people run. What a killed one left under the same name is cleared first. Dispose it, and nothing is left: what is fails the
 * test, with the part of the house that was to free it.
 */
export class TestCluster implements AsyncDisposable {
  readonly name: string;
  readonly directory: string;
  readonly dataDir: string;
  readonly runDir: string;
  readonly apiPort: number;
  readonly env: Record<string, string>;
  readonly #slot: Slot;
  #census: Census | undefined;
  #transports: HttpsTransport[] = [];

  private constructor(slot: Slot, apiPort: number, more: Record<string, string>) {
    this.#slot = slot;
    this.name = `ut${slot.number}`;
    this.directory = mkdtempSync(join(tmpdir(), `${this.name}-`));
    this.dataDir = join(this.directory, 'data');
    this.runDir = `/run/umiak-${this.name}`;
    this.apiPort = apiPort;
    this.env = {
      UMIAK_NAME: this.name,
      UMIAK_DATA_DIR: this.dataDir,
      UMIAK_RUN_DIR: this.runDir,
      UMIAK_API_ADDRESS: `127.0.0.1:${apiPort}`,
      UMIAK_POD_CIDR: `10.${100 + slot.number}.0.0/16`,
      UMIAK_SERVICE_CIDR: `10.${180 + slot.number}.0.0/16`,
      UMIAK_NODE_PORT_RANGE: `${30_000 + slot.number * 40}-${30_039 + slot.number * 40}`,
      UMIAK_NODE_NAME: `node-${this.name}`,
      ...more,
    };
  }

  /** Takes a free slot and clears what an earlier run left in it. Nothing runs yet. */
  static async open(more: Record<string, string> = {}): Promise<TestCluster> {
    const cluster = new TestCluster(takeSlot(), await freePort(), more);
    await cluster.umiak('down', '--containers', '--grace', '0');
    clearStaleDirectories(cluster);
    cluster.#census = new Census(cluster.scope, { descriptors: false });
    return cluster;
  }

  /** `open`, then `umiak up`. */
  static async up(more: Record<string, string> = {}): Promise<TestCluster> {
    const cluster = await TestCluster.open(more);
    try {
      await cluster.must('up');
      return cluster;
    } catch (error) {
      await cluster[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Everything that is this instance's, for `countResources`. */
  get scope() {
    return { instance: this.name, directories: [this.directory, this.runDir] };
  }

  /** What there was before anything of it ran. */
  get nothing(): Resources {
    if (!this.#census) throw new Error('the cluster was not opened');
    return this.#census.before;
  }

  /** One of forty ports of the machine that are this instance's own, below those that the kernel lends. */
  hostPort(n: number): number {
    if (n >= OWN_PORTS) throw new Error(`an instance has ${OWN_PORTS} ports of the machine`);
    return FIRST_OWN_PORT + this.#slot.number * OWN_PORTS + n;
  }

  get kubeconfig(): string {
    return join(this.dataDir, 'kubeconfig');
  }

  get dockerSocket(): string {
    return join(this.runDir, 'docker.sock');
  }

  /** What `umiak` is here; a test of the published bundle has another. */
  program: readonly [string, ...string[]] = [join(root, 'bin/umiak')];

  umiak(...args: string[]): Promise<Ran> {
    const [file, ...first] = this.program;
    return this.command(file, [...first, ...args]);
  }

  /** Runs `umiak`, and throws with what it said unless it exits with 0. */
  async must(...args: string[]): Promise<string> {
    return demand(`umiak ${args.join(' ')}`, await this.umiak(...args), this);
  }

  /** Real kubectl against this instance; throws unless it exits with 0. */
  async kubectl(...args: string[]): Promise<string> {
    return demand(`kubectl ${args.join(' ')}`, await this.tryKubectl(...args), this);
  }

  tryKubectl(...args: string[]): Promise<Ran> {
    return this.tryKubectlWith('', ...args);
  }

  /** kubectl with something on its stdin. */
  tryKubectlWith(input: string, ...args: string[]): Promise<Ran> {
    return this.command(join(root, '.bin/kubectl'), args, input);
  }

  /** One value of objects, by kubectl's JSONPath: `jsonPath('pods -l app=db', '{.items[*].metadata.name}')`. */
  async jsonPath(what: string, path: string): Promise<string> {
    return await this.kubectl('get', ...what.split(' '), '-o', `jsonpath=${path}`);
  }

  /** `kubectl apply` of manifests given as text. */
  async apply(manifests: string): Promise<string> {
    return demand('kubectl apply', await this.tryKubectlWith(manifests, 'apply', '-f', '-'), this);
  }

  /** Loads `busybox:test`: static busybox with all its applets. */
  async loadBusybox(): Promise<void> {
    const archive = join(this.directory, 'busybox.tar');
    const applets = (await run('/bin/busybox', ['--list'])).stdout.trim().split('\n');
    const links = applets
      .filter(name => name !== 'busybox')
      .map(name => ({ name: `bin/${name}`, type: 'symlink' as const, linkName: 'busybox' }));
    const files = [
      { name: 'bin/' },
      { name: 'bin/busybox', content: readFileSync('/bin/busybox'), mode: 0o755 },
      ...links,
      { name: 'etc/' },
      { name: 'etc/passwd', content: 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n' },
      { name: 'etc/group', content: 'root:x:0:\nnogroup:x:65534:\n' },
      { name: 'tmp/', mode: 0o1777 },
    ];
    const image = buildImage([buildTar(files)], { Cmd: ['sh'], Env: ['PATH=/bin'] });
    writeFileSync(archive, buildLayout(image, 'docker.io/library/busybox:test'));
    await this.must('image', 'load', archive);
  }

  /** The typed client as the cluster's administrator. */
  async client(): Promise<Client> {
    return createClient(await this.transport());
  }

  /** The wire below `client`, for what it has no call for. */
  async transport(): Promise<HttpsTransport> {
    const pki = await ClusterPki.open({ directory: join(this.dataDir, 'pki'), clock: systemClock, hosts: this.#serverHosts() });
    const transport = new HttpsTransport({
      server: `https://127.0.0.1:${this.apiPort}`,
      ca: pki.authority.certificate,
      cert: pki.admin.certificate,
      key: pki.admin.key,
    });
    this.#transports.push(transport);
    return transport;
  }

  /** The pid of a role's process, from its lock file. */
  pid(role: 'server' | 'agent'): number {
    return Number(readFileSync(join(this.runDir, `${role}.pid`), 'utf8'));
  }

  /** Kills all that runs the instance, its monitors too, at once and until nothing of it is left; what runs in containers is not touched. */
  async killEverything(): Promise<void> {
    const roles = /umiak\.(ts|js) (server|agent)( |$)/;
    for (;;) {
      const found = readdirSync('/proc').filter(pid => {
        if (!/^\d+$/.test(pid)) return false;
        const command = readProcess(pid, 'cmdline').replaceAll('\0', ' ');
        if (/(^|\/)conmon /.test(command)) return command.includes(`${this.runDir}/`);
        return roles.test(command) && readProcess(pid, 'environ').split('\0').includes(`UMIAK_RUN_DIR=${this.runDir}`);
      });
      if (found.length === 0) return;
      for (const pid of found) kill(Number(pid));
      await new Promise(resume => setTimeout(resume, 5));
    }
  }

  /** Processes in the instance's containers. */
  processes(): { pid: number; environment: string[] }[] {
    return readdirSync('/proc').flatMap(name => {
      if (!/^\d+$/.test(name) || !readProcess(name, 'cgroup').includes(`/${this.name}/`)) return [];
      return [{ pid: Number(name), environment: readProcess(name, 'environ').split('\0') }];
    });
  }

  log(role: 'server' | 'agent'): string {
    const file = join(this.dataDir, 'logs', `${role}.log`);
    return existsSync(file) ? readFileSync(file, 'utf8') : '';
  }

  /** Runs a command with this instance's environment, `input` as its stdin. */
  async command(file: string, args: string[], input = ''): Promise<Ran> {
    try {
      const running = run(file, args, { env: this.#environment(), maxBuffer: 64 << 20, timeout: 180_000 });
      running.child.stdin?.on('error', () => {}); // it ended without reading all
      running.child.stdin?.end(input);
      const { stdout, stderr } = await running;
      return { stdout, stderr, code: 0 };
    } catch (error) {
      const { stdout = '', stderr = '', code } = error as { stdout?: string; stderr?: string; code?: number | string };
      return { stdout, stderr: stderr || String(error), code: typeof code === 'number' ? code : 1 };
    }
  }

  #environment(): NodeJS.ProcessEnv {
    return { ...process.env, ...this.env, KUBECONFIG: this.kubeconfig, DOCKER_HOST: `unix://${this.dockerSocket}`, NO_COLOR: '1' };
  }

  /** As the server asks for them, so that opening the keys again issues nothing anew. */
  #serverHosts(): string[] {
    const first = (cidr = '') => cidr.replace(/\.0\/\d+$/, '.1');
    return [first(this.env.UMIAK_POD_CIDR), first(this.env.UMIAK_SERVICE_CIDR), '127.0.0.1', this.env.UMIAK_NODE_NAME ?? ''];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const strays = await this.#strays().catch(error => [`what is there can not be told: ${error}`]);
    for (const transport of this.#transports) await transport[Symbol.asyncDispose]();
    await this.umiak('down', '--containers', '--grace', '0');
    strays.push(...findStrays(this.dataDir));
    rmSync(this.directory, { recursive: true, force: true });
    try {
      await this.#census?.settle();
    } finally {
      this.#slot[Symbol.dispose]();
    }
    assert.deepEqual(strays, [], 'something belongs to nobody');
  }

  /** While both roles run: what is left of pods that are gone, and files that are gone and still open. */
  async #strays(): Promise<string[]> {
    const isUp = await Promise.all(
      (['server', 'agent'] as const).map(async role => (await stateNow(join(this.runDir, `${role}.sock`)))?.state === 'ready'),
    );
    if (isUp.includes(false)) return [];
    const client = await this.client();
    const find = async () => {
      const { items } = await client.list(Pod);
      const open = (['server', 'agent'] as const).flatMap(role => deletedFilesOf(this.pid(role), [this.directory, this.runDir]));
      return [...findRemainsOfPods(this.dataDir, new Set(items.map(({ metadata }) => metadata.uid))), ...open];
    };
    let found = await find();
    // Pods that a test deleted last may still be ending.
    for (const end = performance.now() + STRAYS_MS; found.length > 0 && performance.now() < end; found = await find())
      await new Promise(resume => setTimeout(resume, 100));
    return found;
  }
}

/** Waits until `look` gives something, looking again whenever `again` says so or a little later. @throws with `what` after the deadline */
export async function until<T>(
  what: string,
  look: () => T | undefined | false | Promise<T | undefined | false>,
  timeoutMs = 60_000,
): Promise<T> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > end) throw new Error(`waited ${timeoutMs / 1000} s in vain for ${what}`);
    await new Promise(resume => setTimeout(resume, 50));
  }
}

/** Empty when the process has ended meanwhile. */
function readProcess(pid: string, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return '';
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It was quicker.
  }
}

function demand(what: string, { stdout, stderr, code }: Ran, cluster: TestCluster): string {
  if (code === 0) return stdout;
  const logs = (['server', 'agent'] as const).map(role => `--- ${role}\n${cluster.log(role).split('\n').slice(-15).join('\n')}`).join('\n');
  throw new Error(`${what} exited with ${code}\n${stdout}${stderr}\n${logs}`);
}

/** The slot is ours: what lies under its name is a killed run's. */
function clearStaleDirectories({ name, directory }: TestCluster): void {
  for (const entry of readdirSync(tmpdir())) {
    const path = join(tmpdir(), entry);
    if (!entry.startsWith(`${name}-`) || path === directory) continue;
    unmountBelow(path);
    rmSync(path, { recursive: true, force: true, maxRetries: 5 });
  }
}

interface Slot extends Disposable {
  number: number;
}

/** One of a few numbers, held by a file lock that a killed test lets go of. */
function takeSlot(): Slot {
  const directory = join(tmpdir(), 'umiak-test-slots');
  mkdirSync(directory, { recursive: true });
  for (let number = 0; number < SLOTS; number++) {
    try {
      const lock = lockFile(join(directory, String(number)), `slot ${number}`);
      return { number, [Symbol.dispose]: () => lock[Symbol.dispose]() };
    } catch (error) {
      if (!isUmiakError(error) || error.reason !== 'Conflict') throw error;
    }
  }
  throw new Error('no free slot for a test instance');
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done));
  const address = server.address();
  await new Promise(done => server.close(done));
  return typeof address === 'object' && address ? address.port : 0;
}
