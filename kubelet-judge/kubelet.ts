import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Cgroup, readCgroupLayout } from '#linux/cgroup.ts';
import { unmountBelow } from '#linux/unmount-below.ts';
import type { TestCluster } from '../tests/cluster.ts';

export interface KubeletOptions {
  program: string;
  cluster: TestCluster;
  /** Its state, its configuration and its log. */
  directory: string;
  /** The cluster's DNS server, without its port. */
  clusterDns: string;
}

/** A real kubelet on an instance's API and `cri.sock`, as the instance's only node. */
export class Kubelet implements AsyncDisposable {
  readonly #options: KubeletOptions;
  readonly logFile: string;
  #process: ChildProcess | undefined;

  constructor(options: KubeletOptions) {
    this.#options = options;
    this.logFile = join(options.directory, 'kubelet.log');
    mkdirSync(options.directory, { recursive: true });
  }

  /** The kubelet wants it to be there, in every hierarchy. */
  get #cgroup(): string {
    return `${this.#options.cluster.name}kubelet`;
  }

  /** Starts it, or starts it again. */
  start(): void {
    for (const hierarchy of hierarchies()) mkdirSync(join(hierarchy, this.#cgroup), { recursive: true });
    const { program, cluster, directory } = this.#options;
    const name = cluster.env.UMIAK_NODE_NAME ?? '';
    writeFileSync(join(directory, 'config.yaml'), JSON.stringify(this.#configuration(name)));
    writeFileSync(join(directory, 'kubeconfig'), JSON.stringify(this.#kubeconfig(name)));
    const log = openSync(this.logFile, 'a');
    const args = {
      config: join(directory, 'config.yaml'),
      kubeconfig: join(directory, 'kubeconfig'),
      'hostname-override': name,
      'root-dir': join(directory, 'root'),
      'cert-dir': join(directory, 'pki'),
      v: process.env.KUBELET_V ?? '2',
    };
    const flags = Object.entries(args).map(([flag, value]) => `--${flag}=${value}`);
    this.#process = spawn(program, flags, { stdio: ['ignore', log, log], detached: true });
    closeSync(log);
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    child.kill(signal);
    await once(child, 'exit');
  }

  /** How it ended, if it did so by itself. */
  get ended(): string | undefined {
    const child = this.#process;
    return child && (child.exitCode ?? child.signalCode) !== null ? `exit code ${child.exitCode}, signal ${child.signalCode}` : undefined;
  }

  /** The end of its log. */
  lastWords(): string {
    return readFileSync(this.logFile, 'utf8').split('\n').slice(-25).join('\n');
  }

  #pair(role: 'client' | 'server'): { certificate: string; key: string } {
    const { cluster } = this.#options;
    const file = join(cluster.dataDir, 'pki', `node-${encodeURIComponent(cluster.env.UMIAK_NODE_NAME ?? '')}-${role}`);
    return { certificate: `${file}.crt`, key: `${file}.key` };
  }

  #kubeconfig(name: string): object {
    const { cluster } = this.#options;
    const { certificate, key } = this.#pair('client');
    const authority = join(cluster.dataDir, 'pki', 'ca.crt');
    return {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'umiak', cluster: { server: `https://127.0.0.1:${cluster.apiPort}`, 'certificate-authority': authority } }],
      users: [{ name, user: { 'client-certificate': certificate, 'client-key': key } }],
      contexts: [{ name: 'umiak', context: { cluster: 'umiak', user: name } }],
      'current-context': 'umiak',
    };
  }

  #configuration(name: string): object {
    const { cluster, directory, clusterDns } = this.#options;
    const { certificate, key } = this.#pair('server');
    return {
      apiVersion: 'kubelet.config.k8s.io/v1beta1',
      kind: 'KubeletConfiguration',
      containerRuntimeEndpoint: `unix://${cluster.runDir}/cri.sock`,
      authentication: {
        x509: { clientCAFile: join(cluster.dataDir, 'pki', 'ca.crt') },
        anonymous: { enabled: false },
        webhook: { enabled: true },
      },
      authorization: { mode: 'Webhook' },
      tlsCertFile: certificate,
      tlsPrivateKeyFile: key,
      port: 20_000 + (process.pid % 10_000),
      healthzPort: 0,
      readOnlyPort: 0,
      clusterDNS: [clusterDns],
      clusterDomain: 'cluster.local',
      cgroupDriver: 'cgroupfs',
      // Hierarchies of its own, beside those of other tests.
      cgroupRoot: `/${this.#cgroup}`,
      cgroupsPerQOS: true,
      enforceNodeAllocatable: ['pods'],
      // Without a pause container cAdvisor finds no network of a pod.
      featureGates: { PodAndContainerStatsFromCRI: true },
      failSwapOn: false,
      failCgroupV1: false,
      podLogsDir: join(directory, 'pod-logs'),
      volumePluginDir: join(directory, 'volume-plugins'),
      staticPodPath: '',
      imageGCHighThresholdPercent: 100,
      evictionHard: { 'memory.available': '50Mi' },
      nodeStatusUpdateFrequency: '5s',
      registerNode: true,
      providerID: `umiak://${name}`,
      serializeImagePulls: false,
      shutdownGracePeriod: '0s',
      resolvConf: '/etc/resolv.conf',
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    // Its pods have mounts below its directory and processes below its groups.
    await this.#options.cluster.umiak('down', '--containers', '--grace', '0');
    unmountBelow(this.#options.directory);
    await new Cgroup(readCgroupLayout(), `/${this.#cgroup}`).kill(); // also what a killed run left there
    for (const hierarchy of hierarchies()) removeGroups(join(hierarchy, this.#cgroup));
  }
}

/** Where control groups are mounted. */
function hierarchies(): string[] {
  const mounts = readFileSync('/proc/self/mounts', 'utf8').split('\n');
  return mounts.map(line => line.split(' ')).flatMap(([, target = '', type = '']) => (/^cgroup2?$/.test(type) ? [target] : []));
}

/** A group with all below it; their processes have ended. */
function removeGroups(directory: string): void {
  if (!existsSync(directory)) return;
  for (const entry of readdirSync(directory, { withFileTypes: true })) if (entry.isDirectory()) removeGroups(join(directory, entry.name));
  rmdirSync(directory);
}
