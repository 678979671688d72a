/** kube-apiserver and etcd, built from their published Go modules, as a peer to measure. */
import { execFile } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { systemClock } from '#base/clock.ts';
import { ClusterPki } from '#pki/index.ts';
import type { ApiTarget } from '../kload/kload.ts';
import { root } from '../subject/bundle.ts';
import { Child, freePort } from '../subject/child.ts';
import { demandReady } from '../subject/ready.ts';

const run = promisify(execFile);

const KUBERNETES = 'v1.36.3';
const ETCD = 'v3.6.16';
const SERVICE_CIDR = '10.96.0.0/24';
/** Of the documentation network: nobody is told to come there, kube-apiserver only refuses to have none. */
const ADVERTISED = '192.0.2.1';

/** etcd with its flushes on and kube-apiserver with its defaults, RBAC and client certificates, in a fresh directory, on ports of their own. */
export async function startKubernetesPeer(): Promise<ApiTarget & AsyncDisposable> {
  const { etcd, apiServer } = await buildKubernetes();
  await using stack = new AsyncDisposableStack();
  const directory = mkdtempSync(join(tmpdir(), 'umiak-bench-kubernetes-'));
  stack.defer(() => rmSync(directory, { recursive: true, force: true }));
  const [clientPort, peerPort, port] = [await freePort(), await freePort(), await freePort()];

  const client = `http://127.0.0.1:${clientPort}`;
  const peer = `http://127.0.0.1:${peerPort}`;
  const etcdArgs = ['--data-dir', join(directory, 'etcd'), '--listen-client-urls', client, '--advertise-client-urls', client];
  etcdArgs.push('--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer, '--initial-cluster', `default=${peer}`);
  const store = stack.use(new Child(etcd, etcdArgs));
  await store.ready('etcd', () => demandHealthy(client));

  const pki = join(directory, 'pki');
  await ClusterPki.open({ directory: pki, clock: systemClock, hosts: ['127.0.0.1'] });
  const tokenKey = join(directory, 'tokens.key');
  writeFileSync(tokenKey, generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ type: 'pkcs8', format: 'pem' }), {
    mode: 0o600,
  });
  const flags = {
    'etcd-servers': client,
    'secure-port': port,
    'bind-address': '127.0.0.1',
    'advertise-address': ADVERTISED,
    'endpoint-reconciler-type': 'none',
    'service-cluster-ip-range': SERVICE_CIDR,
    'authorization-mode': 'Node,RBAC',
    'client-ca-file': join(pki, 'ca.crt'),
    'tls-cert-file': join(pki, 'apiserver.crt'),
    'tls-private-key-file': join(pki, 'apiserver.key'),
    'service-account-issuer': 'https://kubernetes.default.svc',
    'service-account-key-file': tokenKey,
    'service-account-signing-key-file': tokenKey,
  };
  const args = Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
  const server = stack.use(new Child(apiServer, args, { cwd: directory }));
  const url = `https://127.0.0.1:${port}`;
  await server.ready('kube-apiserver', () => demandReady(url));

  const owned = stack.move();
  return {
    url,
    cert: join(pki, 'admin.crt'),
    key: join(pki, 'admin.key'),
    pids: { 'kube-apiserver': server.pid, etcd: store.pid },
    directory,
    [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose](),
  };
}

/** Builds what is not yet in `.cache/peers`; the first time takes minutes. */
async function buildKubernetes(): Promise<{ etcd: string; apiServer: string }> {
  const etcd = { module: 'go.etcd.io/etcd/server/v3', version: ETCD, command: '' };
  const apiServer = { module: 'k8s.io/kubernetes', version: KUBERNETES, command: '/cmd/kube-apiserver' };
  return { etcd: await buildProgram('etcd', etcd), apiServer: await buildProgram('kube-apiserver', apiServer) };
}

interface GoProgram {
  module: string;
  version: string;
  /** Its package, below the module's path. */
  command: string;
}

/** Builds a program inside a module of our own: `go install` refuses modules that find their parts in their own tree, as both do. */
async function buildProgram(name: string, program: GoProgram): Promise<string> {
  const { module, version, command } = program;
  const directory = join(root, '.cache/peers', `${name}-${version}`);
  const binary = join(directory, name);
  if (existsSync(binary)) return binary;
  console.log(`building ${name} ${version} …`);
  mkdirSync(directory, { recursive: true });
  const env = { ...process.env, GOFLAGS: '-buildvcs=false', CGO_ENABLED: '0' };
  const { stdout } = await run('go', ['mod', 'download', '-json', `${module}@${version}`], { env });
  const { GoMod } = JSON.parse(stdout) as { GoMod: string };
  writeFileSync(join(directory, 'go.mod'), wrapperModule(program, readFileSync(GoMod, 'utf8')));
  const flags = `-s -w -X k8s.io/component-base/version.gitVersion=${version}`;
  await run('go', ['build', '-mod=mod', '-trimpath', '-ldflags', flags, '-o', binary, `${module}${command}`], {
    cwd: directory,
    env,
    maxBuffer: 16 << 20,
  });
  return binary;
}

/** The go.mod of a module that requires `module`; Kubernetes' parts, which its own go.mod finds in its tree, are those that were published of it. */
export function wrapperModule({ module, version }: Pick<GoProgram, 'module' | 'version'>, goMod: string): string {
  const goVersion = /^go .*$/m.exec(goMod)?.[0] ?? '';
  const staging = [...goMod.matchAll(/(k8s\.io\/\S+) => \.\/staging\//g)].map(([, part]) => part);
  const published = version.replace('v1.', 'v0.');
  const replaced = staging.map(part => `replace ${part} => ${part} ${published}`);
  return ['module umiak.bench/peer', '', goVersion, '', `require ${module} ${version}`, '', ...replaced, ''].join('\n');
}

/** @throws unless etcd says it is healthy */
async function demandHealthy(url: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const asking = request(`${url}/health`, response => {
    response.resume();
    if (response.statusCode === 200) resolve();
    else reject(new Error(`/health answers ${response.statusCode}`));
  });
  asking.on('error', reject).end();
  await promise;
}
