import { readFileSync, statfsSync } from 'node:fs';
import { arch, cpus, networkInterfaces, release, totalmem } from 'node:os';
import { type Clock, isUmiakError, type Log, messageOf, toMicroTime, toTime } from '#base/index.ts';
import type { Client } from '#client/index.ts';
import type { Draft } from '#kinds/kind.ts';
import { Lease } from '#kinds/lease.ts';
import { Node } from '#kinds/node.ts';

export interface NodeRegistrationOptions {
  client: Client;
  nodeName: string;
  hostAddress: string;
  /** Where images and volumes lie: its size is the node's ephemeral storage. */
  dataDir: string;
  version: string;
  /** The images that are here, for the scheduler. */
  images: () => Promise<{ names: string[]; sizeBytes: number }[]>;
  clock: Clock;
  log: Log;
}

const LEASES = 'kube-node-lease';
const LEASE_SECONDS = 40;
const RENEW_MS = 10_000;
const STATUS_MS = 300_000;
/** More than the kubelet's 110: a pod costs us no pause process and no per-pod daemon. */
const MOST_PODS = 250;

type Condition = NonNullable<NonNullable<Node['status']>['conditions']>[number];

/** Makes this machine a Node, says how it is, and keeps its lease. Ready is said only by `markReady` of this very process. */
export class NodeRegistration implements AsyncDisposable {
  readonly allocatable: Record<string, string>;
  readonly #options: NodeRegistrationOptions;
  readonly #timers = new Set<Disposable>();
  #ready = false;
  #port = 0;
  #closed = false;

  constructor(options: NodeRegistrationOptions) {
    this.#options = options;
    const { bsize, blocks } = statfsSync(options.dataDir);
    this.allocatable = {
      cpu: String(cpus().length),
      memory: `${Math.floor(totalmem() / 1024)}Ki`,
      pods: String(MOST_PODS),
      'ephemeral-storage': String(bsize * blocks),
    };
  }

  /** Makes or renews the Node object, not Ready yet, and its lease. */
  async start({ kubeletPort }: { kubeletPort: number }): Promise<void> {
    this.#port = kubeletPort;
    await this.#ensureNode();
    await Promise.all([this.#writeStatus(), this.#renewLease()]);
  }

  /** Runtime, network and DNS have answered: pods may come. */
  async markReady(): Promise<void> {
    this.#ready = true;
    await this.#writeStatus();
  }

  async #ensureNode(): Promise<void> {
    const { client, nodeName } = this.#options;
    const present = await client.get(Node, { name: nodeName });
    const labels = {
      'kubernetes.io/hostname': nodeName,
      'kubernetes.io/os': 'linux',
      'kubernetes.io/arch': goArch(),
      'beta.kubernetes.io/os': 'linux',
      'beta.kubernetes.io/arch': goArch(),
    };
    if (!present) {
      const draft: Draft<Node> = { apiVersion: 'v1', kind: 'Node', metadata: { name: nodeName, labels }, spec: {} };
      try {
        await client.create(Node, draft);
      } catch (error) {
        if (!isUmiakError(error, 'AlreadyExists')) throw error;
      }
    } else if (Object.entries(labels).some(([key, value]) => present.metadata.labels?.[key] !== value)) {
      await client.patch(Node, { name: nodeName }, { metadata: { labels } }, { type: 'merge' });
    }
  }

  async #writeStatus(): Promise<void> {
    const { client, nodeName, hostAddress, version, images, clock } = this.#options;
    const present = await client.get(Node, { name: nodeName });
    const now = toTime(clock.now());
    const ready = this.#ready
      ? { status: 'True', reason: 'KubeletReady', message: 'umiak is posting ready status' }
      : { status: 'False', reason: 'KubeletNotReady', message: 'runtime, network or DNS have not answered yet' };
    const fine = (type: string, reason: string, message: string) => ({ type, status: 'False', reason, message });
    const conditions = [
      fine('MemoryPressure', 'KubeletHasSufficientMemory', 'umiak has sufficient memory available'),
      fine('DiskPressure', 'KubeletHasNoDiskPressure', 'umiak has no disk pressure'),
      fine('PIDPressure', 'KubeletHasSufficientPID', 'umiak has sufficient PID available'),
      { type: 'Ready', ...ready },
    ].map((condition): Condition => {
      const before = present?.status?.conditions?.find(({ type }) => type === condition.type);
      const lastTransitionTime = before?.status === condition.status ? before.lastTransitionTime : now;
      return { ...condition, lastHeartbeatTime: now, lastTransitionTime };
    });
    const status = {
      capacity: this.allocatable,
      allocatable: this.allocatable,
      addresses: [
        { type: 'InternalIP', address: hostAddress },
        { type: 'Hostname', address: nodeName },
      ],
      daemonEndpoints: { kubeletEndpoint: { Port: this.#port } },
      nodeInfo: nodeInfo(version),
      images: (await images()).slice(0, 50).map(({ names, sizeBytes }) => ({ names, sizeBytes })),
      conditions,
    };
    await client.patch(Node, { name: nodeName }, { status }, { type: 'merge', subresource: 'status' });
    this.#again(STATUS_MS, () => this.#writeStatus());
  }

  async #renewLease(): Promise<void> {
    const { client, nodeName, clock, log } = this.#options;
    const renewTime = toMicroTime(clock.now());
    try {
      await client.patch(Lease, { namespace: LEASES, name: nodeName }, { spec: { renewTime } }, { type: 'merge' });
    } catch (error) {
      if (isUmiakError(error, 'NotFound')) {
        const spec = { holderIdentity: nodeName, leaseDurationSeconds: LEASE_SECONDS, renewTime };
        await client
          .create(Lease, { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { namespace: LEASES, name: nodeName }, spec })
          .catch(problem => log.warn('the lease could not be made', { error: messageOf(problem) }));
      } else log.warn('the lease could not be renewed', { error: messageOf(error) });
    }
    this.#again(RENEW_MS, () => this.#renewLease());
  }

  #again(ms: number, work: () => Promise<void>): void {
    if (this.#closed) return;
    const timer = this.#options.clock.after(ms, () => {
      this.#timers.delete(timer);
      work().catch(error => {
        this.#options.log.warn("the node's state could not be written", { error: messageOf(error) });
        this.#again(RENEW_MS, work);
      });
    });
    this.#timers.add(timer);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    for (const timer of this.#timers) timer[Symbol.dispose]();
  }
}

function nodeInfo(version: string) {
  const read = (file: string) => {
    try {
      return readFileSync(file, 'utf8').trim();
    } catch {
      return '';
    }
  };
  return {
    architecture: goArch(),
    bootID: read('/proc/sys/kernel/random/boot_id'),
    containerRuntimeVersion: `umiak://${version}`,
    kernelVersion: release(),
    kubeletVersion: `v1.36.3+umiak-${version}`,
    kubeProxyVersion: '',
    machineID: read('/etc/machine-id'),
    operatingSystem: 'linux',
    osImage: /^PRETTY_NAME="?([^"\n]*)/m.exec(read('/etc/os-release'))?.[1] ?? 'Linux',
    systemUUID: read('/sys/class/dmi/id/product_uuid'),
  };
}

function goArch(): string {
  return arch() === 'x64' ? 'amd64' : arch();
}

/** The machine's own address: its first that is not loopback and not `exceptFor`, which serves where there is none. */
export function hostAddressOf(exceptFor: string): string {
  const all = Object.entries(networkInterfaces()).flatMap(([name, addresses = []]) => addresses.map(each => ({ name, ...each })));
  const usable = all.find(
    ({ name, family, internal, address }) =>
      family === 'IPv4' && !internal && address !== exceptFor && !/^(docker|br-|veth|virbr)/.test(name),
  );
  return usable?.address ?? exceptFor;
}
