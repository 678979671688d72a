import { execFile, spawn } from 'node:child_process';
import { promisify } from 'node:util';
import type { TestCluster } from './cluster.ts';

const run = promisify(execFile);

/** The machine's pid of a process in the pod, found by its host name and the instance's control groups. */
export function processOf(cluster: TestCluster, podName: string): number {
  const found = cluster.processes().find(({ environment }) => environment.includes(`HOSTNAME=${podName}`));
  if (found) return found.pid;
  throw new Error(`no process of pod ${podName} found`);
}

/**
 * Runs JavaScript of ours in the network of a process, where busybox's tools fall short (TLS, DNS record types). `print` writes the
 * result as JSON; the script may await.
 */
export async function inNetworkOf<T>(pid: number, script: string, ...args: string[]): Promise<T> {
  const code = `const print = value => process.stdout.write(JSON.stringify(value));${script}`;
  const { stdout } = await run(
    'nsenter',
    [`--net=/proc/${pid}/ns/net`, process.execPath, '--input-type=module', '-e', code, '--', ...args],
    { timeout: 30_000 },
  );
  return JSON.parse(stdout) as T;
}

/** A network namespace of the test's own, linked to the machine: what lies outside the cluster. */
export class OutsideNetwork implements AsyncDisposable {
  readonly name: string;
  /** Its address. */
  readonly address: string;
  /** The machine's address on the link to it. */
  readonly machineAddress: string;

  private constructor(name: string, network: string) {
    this.name = name;
    this.address = `${network}.2`;
    this.machineAddress = `${network}.1`;
  }

  /** @param network three numbers of a /24, `198.18.7` */
  static async open(name: string, network: string): Promise<OutsideNetwork> {
    const outside = new OutsideNetwork(name, network);
    await outside[Symbol.asyncDispose]();
    const ip = (...args: string[]) => run('ip', args);
    await ip('netns', 'add', name);
    await ip('link', 'add', `${name}h`, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name);
    await ip('addr', 'add', `${outside.machineAddress}/24`, 'dev', `${name}h`);
    await ip('link', 'set', `${name}h`, 'up');
    await ip('-n', name, 'addr', 'add', `${outside.address}/24`, 'dev', 'eth0');
    await ip('-n', name, 'link', 'set', 'eth0', 'up');
    return outside;
  }

  /** A TCP server in it that tells each caller the address it came from. */
  async tellAddresses(port: number): Promise<AsyncDisposable> {
    const script = `require('node:net').createServer(s => s.end(s.remoteAddress + '\\n')).listen(${port}, () => console.log('ready'))`;
    const child = spawn('ip', ['netns', 'exec', this.name, process.execPath, '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    const ended = new Promise<void>(done => child.once('close', () => done()));
    await new Promise<void>(ready => child.stdout.once('data', () => ready()));
    return {
      async [Symbol.asyncDispose]() {
        child.kill('SIGKILL');
        await ended;
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await run('ip', ['link', 'del', `${this.name}h`]).catch(() => {});
    await run('ip', ['netns', 'del', this.name]).catch(() => {});
  }
}
