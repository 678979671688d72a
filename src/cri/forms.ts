import type { Container, Mount, Resources, Sandbox, SandboxConfig } from '#engine/engine.ts';
import { toSignal } from './signals.ts';
import type {
  ContainerState,
  ContainerStatus,
  Container as CriContainer,
  Mount as CriMount,
  LinuxContainerResources,
  NamespaceOption,
  PodSandbox,
  PodSandboxState,
  PodSandboxStatus,
} from './types.gen.ts';

/** What an image is called, for containers' statuses. */
export interface ImageNames {
  /** A tag, if it has one. */
  tag?: string | undefined;
  /** `name@digest`, if it came from a registry. */
  digest?: string | undefined;
}

/** CRI counts nanoseconds. */
export const toNanoseconds = (ms: number | undefined): number => (ms === undefined ? 0 : Math.round(ms * 1e6));

export const toSandboxState = (state: Sandbox['state']): PodSandboxState => (state === 'ready' ? 'SANDBOX_READY' : 'SANDBOX_NOTREADY');

const CONTAINER_STATES: Record<Container['state'], ContainerState> = {
  created: 'CONTAINER_CREATED',
  running: 'CONTAINER_RUNNING',
  exited: 'CONTAINER_EXITED',
};
export const toContainerState = (state: Container['state']): ContainerState => CONTAINER_STATES[state];

/** A sandbox as `ListPodSandbox` tells it. */
export function toPodSandbox({ id, config, state, createdAtMs }: Sandbox): PodSandbox {
  return {
    id,
    metadata: config.metadata,
    state: toSandboxState(state),
    createdAt: toNanoseconds(createdAtMs),
    labels: config.labels,
    annotations: config.annotations,
    runtimeHandler: config.runtime,
  };
}

/** A sandbox as `PodSandboxStatus` tells it. */
export function toPodSandboxStatus(sandbox: Sandbox): PodSandboxStatus {
  const { config, address, addresses = [] } = sandbox;
  return {
    ...toPodSandbox(sandbox),
    network: { ip: address, additionalIps: addresses.filter(ip => ip !== address).map(ip => ({ ip })) },
    linux: { namespaces: { options: toNamespaceOptions(config) } },
  };
}

function toNamespaceOptions({ network, pid, ipc, userNamespace }: SandboxConfig): NamespaceOption {
  return {
    network: network === 'host' ? 'NODE' : 'POD',
    pid: pid === 'host' ? 'NODE' : pid === 'pod' ? 'POD' : 'CONTAINER',
    ipc: ipc === 'host' ? 'NODE' : 'POD',
    usernsOptions: userNamespace ? { mode: 'POD', uids: userNamespace.uids, gids: userNamespace.gids } : { mode: 'NODE' },
  };
}

/** A container as `ListContainers` tells it. */
export function toCriContainer({ id, config, imageId, state, createdAtMs }: Container): CriContainer {
  return {
    id,
    podSandboxId: config.sandboxId,
    metadata: config.metadata,
    image: { image: config.image, userSpecifiedImage: config.imageName },
    imageRef: imageId,
    state: toContainerState(state),
    createdAt: toNanoseconds(createdAtMs),
    labels: config.labels,
    annotations: config.annotations,
    imageId,
  };
}

/** A container as `ContainerStatus` tells it. */
export function toContainerStatus(container: Container, image: ImageNames = {}): ContainerStatus {
  const { id, config, imageId, imageRef, state, exitCode, reason, message, logPath } = container;
  return {
    id,
    metadata: config.metadata,
    state: toContainerState(state),
    createdAt: toNanoseconds(container.createdAtMs),
    startedAt: toNanoseconds(container.startedAtMs),
    finishedAt: toNanoseconds(container.finishedAtMs),
    exitCode,
    image: { image: image.tag ?? imageRef, userSpecifiedImage: config.imageName },
    imageRef: image.digest ?? imageId,
    imageId,
    reason,
    message,
    labels: config.labels,
    annotations: config.annotations,
    mounts: (config.mounts ?? []).map(toMount),
    logPath: config.logPath === undefined ? '' : logPath,
    resources: { linux: toLinuxResources(config.resources) },
    stopSignal: toSignal(container.stopSignal),
    ...(container.user ? { user: { linux: container.user } } : {}),
  };
}

const PROPAGATION = {
  private: 'PROPAGATION_PRIVATE',
  rslave: 'PROPAGATION_HOST_TO_CONTAINER',
  rshared: 'PROPAGATION_BIDIRECTIONAL',
} as const;

function toMount({ source, destination, readOnly, recursiveReadOnly, propagation = 'private', imageId, imageSubPath }: Mount): CriMount {
  return {
    ...(imageId === undefined ? { hostPath: source } : { image: { image: imageId }, imageSubPath }),
    containerPath: destination,
    readonly: readOnly,
    recursiveReadOnly,
    propagation: PROPAGATION[propagation],
  };
}

/** Limits in CRI's words; what is not limited is zero. */
export function toLinuxResources(resources: Resources = {}): LinuxContainerResources {
  return {
    cpuPeriod: resources.cpuPeriodUs,
    cpuQuota: resources.cpuQuotaUs,
    cpuShares: resources.cpuShares,
    memoryLimitInBytes: resources.memoryLimitBytes,
    memorySwapLimitInBytes: resources.memorySwapLimitBytes,
    oomScoreAdj: resources.oomScoreAdj,
    cpusetCpus: resources.cpusetCpus,
    cpusetMems: resources.cpusetMems,
    hugepageLimits: resources.hugepageLimits?.map(({ pageSize, limitBytes }) => ({ pageSize, limit: limitBytes })),
    unified: resources.unified,
  };
}
