import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { unshareNamespaces } from '#linux/namespaces.ts';
import { linkUp, Netlink } from '#linux/netlink.ts';
import { type Bridge, ensureBridge, type KernelChanges } from './bridge.ts';

/** For this room's tests: every test file runs in a process, hence in a network, of its own. */
export const POD_CIDR = '10.42.7.0/24';
export const SERVICE_CIDR = '10.43.0.0/16';

/** Writes sysctls without remembering: the test's network namespace ends with the test. */
const forgetfulKernel: KernelChanges = {
  sysctl: async (path, value) => writeFileSync(`/proc/sys/${path}`, value),
};

/** Moves this test process (and the workers and children it starts) into a new network namespace with loopback up. */
export function enterTestNetwork(): void {
  unshareNamespaces(['net']);
  using netlink = new Netlink();
  netlink.send(linkUp(1));
}

export function makeTestBridge(instance: string): Promise<Bridge> {
  return ensureBridge({ instance, podCidr: POD_CIDR, serviceCidr: SERVICE_CIDR, kernel: forgetfulKernel, mtu: 1500 });
}

export function temporaryRunDir(): string {
  return mkdtempSync(join(tmpdir(), 'umiak-net-'));
}

/** Runs a command, inside a pinned network namespace when `path` is given, and returns what it printed. */
export function run(command: string[], path?: string): string {
  const [file, ...args] = path ? ['nsenter', `--net=${path}`, ...command] : command;
  return execFileSync(file!, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim();
}

const SERVER = `
const [port, address, text] = process.argv.slice(1);
require('node:http').createServer((q, r) => r.end(text + ' ' + q.socket.remoteAddress.replace('::ffff:', ''))).listen(+port, address, () => {
  const u = require('node:dgram').createSocket(address.includes(':') ? 'udp6' : 'udp4');
  u.on('message', (m, from) => u.send(text + ' ' + from.address, from.port, from.address)).bind(+port, address, () => console.log('up'));
});`;

/** A process that answers HTTP and UDP on a port with `text` and the caller's address; resolves when it listens. */
export async function startEcho({
  path,
  port,
  text,
  address = '0.0.0.0',
}: {
  path?: string;
  port: number;
  text: string;
  address?: string;
}) {
  const command = [...(path ? ['nsenter', `--net=${path}`] : []), process.execPath, '-e', SERVER, String(port), address, text];
  const child: ChildProcess = spawn(command[0]!, command.slice(1), { stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise((resolve, reject) => {
    child.stdout!.once('data', resolve);
    child.once('exit', code => reject(new Error(`echo server ended with ${code}`)));
  });
  return { [Symbol.dispose]: () => void child.kill('SIGKILL') };
}

/** The answer of an HTTP request, or curl's exit code as `curl 7`. */
export function fetchText(target: string, path?: string, maxSeconds = 3): string {
  try {
    return run(['curl', '-gsS', '--noproxy', '*', '--max-time', String(maxSeconds), `http://${target}/`], path);
  } catch (error) {
    return `curl ${(error as { status: number }).status}`;
  }
}

const ASK = `
const [port, address, from] = process.argv.slice(1);
const u = require('node:dgram').createSocket('udp4').bind(+from);
u.on('message', m => { console.log(String(m)); process.exit(0); }).send('hi', +port, address);
setTimeout(() => process.exit(28), 3000);`;

/** What comes back for one datagram, sent from any port or a given one. */
export function askUdp(address: string, port: number, path?: string, fromPort = 0): string {
  return run([process.execPath, '-e', ASK, String(port), address, String(fromPort)], path);
}
