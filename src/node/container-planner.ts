import { mkdir, open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { quantityMilliValue, quantityValue, UmiakError } from '#base/index.ts';
import type { ContainerConfig, Mount, Resources, SecurityConfig } from '#engine/engine.ts';
import type { Pod } from '#kinds/pod.ts';
import type { Service } from '#kinds/service.ts';
import type { NodeFacts } from './downward.ts';
import { environmentReferences, expand, resolveEnvironment } from './environment.ts';
import type { ContainerPlanner, ContainerSpec, PreparedVolume } from './parts.ts';
import type { ObjectSource } from './volumes/object-source.ts';
import { SubPathPins } from './volumes/sub-path.ts';

export interface LocalContainerPlannerOptions {
  objects: Pick<ObjectSource, 'configMap' | 'secret'>;
  /** The cluster's Services as now known, for environment variables. */
  services: () => readonly Service[];
  facts: NodeFacts;
  /** Holds each pod's directory, by UID. */
  podDirectory: string;
  /** Seccomp profiles that pods name; by default `seccomp` beside the pods' directory. */
  seccompDirectory?: string;
  /** Something that a pod's environment refers to has changed. */
  onChange: (podUid: string) => void;
}

type Request = Parameters<ContainerPlanner['plan']>[0];

/** Gathers what a container refers to and turns its spec into the engine's terms. */
export class LocalContainerPlanner implements ContainerPlanner {
  readonly #options: LocalContainerPlannerOptions;

  constructor(options: LocalContainerPlannerOptions) {
    this.#options = options;
  }

  async plan(request: Request): Promise<ContainerConfig> {
    const { pod, container, sandbox, volumes } = request;
    const { objects, services, facts, podDirectory, onChange } = this.#options;
    const { uid, namespace = '' } = pod.metadata;
    const wanted = environmentReferences(container);
    const use = { user: uid, purpose: 'environment', changed: () => onChange(uid) } as const;
    const [configMaps, secrets] = await Promise.all([
      Promise.all(wanted.configMaps.map(async name => [name, await objects.configMap(namespace, name, use)] as const)),
      Promise.all(wanted.secrets.map(async name => [name, await objects.secret(namespace, name, use)] as const)),
    ]);
    const environment = resolveEnvironment(pod, container, {
      sources: { configMaps: new Map(configMaps), secrets: new Map(secrets) },
      services: services(),
      facts: { ...facts, podAddress: sandbox.address ?? facts.hostAddress },
    });
    const pins = new SubPathPins(join(podDirectory, uid, '..subpaths', container.name));
    const mounts = await planMounts(container, volumes, environment, pins);
    if (container.terminationMessagePath !== '')
      mounts.push(await terminationMount(terminationFile(podDirectory, uid, container.name, request.attempt), container));
    const seccompDirectory = this.#options.seccompDirectory ?? join(dirname(podDirectory), 'seccomp');
    return planContainerConfig(request, environment, mounts, { facts, seccompDirectory });
  }

  resources(pod: Pod, container: ContainerSpec): Resources {
    return planResources(pod, container, this.#options.facts);
  }
}

/** Where a container's last words lie on the machine. */
export function terminationFile(podDirectory: string, podUid: string, container: string, attempt: number): string {
  return join(podDirectory, podUid, `..${container}.${attempt}.termination`);
}

/** An empty file that whoever the container runs as may write. */
async function terminationMount(source: string, { terminationMessagePath = '/dev/termination-log' }: ContainerSpec): Promise<Mount> {
  const make = () => open(source, 'w');
  await using file = await make().catch(async () => {
    await mkdir(dirname(source), { recursive: true, mode: 0o750 });
    return make();
  });
  await file.chmod(0o666);
  return { source, destination: terminationMessagePath };
}

/** The engine's terms for a container. Pure. @throws `Invalid` for a user that it must not have */
export function planContainerConfig(
  { pod, container, sandbox, image, imageUser, attempt }: Request,
  environment: ReadonlyMap<string, string>,
  mounts: Mount[],
  { facts, seccompDirectory }: { facts: NodeFacts; seccompDirectory: string },
): ContainerConfig {
  checkNonRoot(pod, container, imageUser);
  const lookup = (name: string) => environment.get(name);
  const { name, command, args, workingDir, stdin, stdinOnce, tty } = container;
  return {
    sandboxId: sandbox.id,
    metadata: { name, attempt },
    image,
    ...(command && command.length > 0 ? { command: command.map(word => expand(word, lookup)) } : {}),
    ...(args && args.length > 0 ? { args: args.map(word => expand(word, lookup)) } : {}),
    env: [...environment].map(([key, value]) => ({ name: key, value })),
    ...(workingDir ? { workingDir } : {}),
    mounts,
    resources: planResources(pod, container, facts),
    security: planSecurity(pod, container, seccompDirectory),
    labels: {
      'io.kubernetes.container.name': name,
      'io.kubernetes.pod.name': pod.metadata.name,
      'io.kubernetes.pod.namespace': pod.metadata.namespace ?? '',
      'io.kubernetes.pod.uid': pod.metadata.uid,
    },
    logPath: `${name}/${attempt}.log`,
    stdin: stdin === true,
    stdinOnce: stdinOnce === true,
    tty: tty === true,
  };
}

const MIN_SHARES = 2;
const MAX_SHARES = 262_144;
const PERIOD_US = 100_000;
/** Of the class `system-node-critical`. */
const NODE_CRITICAL_PRIORITY = 2_000_001_000;

/** CPU and memory as the kubelet writes them into control groups. */
export function planResources(pod: Pod, { resources = {} }: ContainerSpec, facts: NodeFacts): Resources {
  const { requests = {}, limits = {} } = resources;
  const requestMilli = quantityMilliValue(requests.cpu ?? limits.cpu ?? 0);
  const limitMilli = quantityMilliValue(limits.cpu ?? 0);
  const memory = quantityValue(limits.memory ?? 0);
  return {
    cpuShares: Math.min(Math.max(Math.floor((requestMilli * 1024) / 1000), MIN_SHARES), MAX_SHARES),
    ...(limitMilli > 0 ? { cpuQuotaUs: Math.max((limitMilli * PERIOD_US) / 1000, 1000), cpuPeriodUs: PERIOD_US } : {}),
    ...(memory > 0 ? { memoryLimitBytes: memory } : {}),
    oomScoreAdj: oomScore(pod, quantityValue(requests.memory ?? limits.memory ?? 0), quantityValue(facts.allocatable.memory ?? 0)),
  };
}

/** Guaranteed pods go last, best-effort ones first, burstable ones by how little they asked for. */
function oomScore({ spec, status }: Pod, requestBytes: number, nodeBytes: number): number {
  if (status?.qosClass === 'Guaranteed' || (spec.priority ?? 0) >= NODE_CRITICAL_PRIORITY) return -997;
  if (status?.qosClass !== 'Burstable' || nodeBytes === 0) return 1000;
  return Math.min(Math.max(1000 - Math.floor((1000 * requestBytes) / nodeBytes), 3), 999);
}

/** Says before anything is made that a container which must not be root would be; names of users are the engine's to look up. */
function checkNonRoot({ metadata, spec }: Pod, { name, securityContext: own = {} }: ContainerSpec, imageUser = ''): void {
  const shared = spec.securityContext ?? {};
  if (!(own.runAsNonRoot ?? shared.runAsNonRoot)) return;
  const user = own.runAsUser ?? shared.runAsUser;
  const where = `(pod: "${metadata.name}_${metadata.namespace}(${metadata.uid})", container: ${name})`;
  if (user === 0) throw new UmiakError('Invalid', `container's runAsUser breaks non-root policy ${where}`);
  if (user === undefined && /^(0|root)?(:|$)/.test(imageUser))
    throw new UmiakError('Invalid', `container has runAsNonRoot and image will run as root ${where}`, {
      hint: 'Set runAsUser, or use an image with a USER that is not root.',
    });
}

/**
 * The container's security context over the pod's. Without a profile the default one applies, as with the kubelet's `seccompDefault`
 * switched on: containers are confined unless they say otherwise.
 */
export function planSecurity({ spec }: Pod, { securityContext: own = {} }: ContainerSpec, seccompDirectory: string): SecurityConfig {
  const shared = spec.securityContext ?? {};
  const user = own.runAsUser ?? shared.runAsUser;
  const group = own.runAsGroup ?? shared.runAsGroup;
  const profile = own.seccompProfile ?? shared.seccompProfile;
  const groups = [...(shared.supplementalGroups ?? []), ...(shared.fsGroup === undefined ? [] : [shared.fsGroup])];
  const { add, drop } = own.capabilities ?? {};
  return {
    ...(own.privileged ? { privileged: true } : {}),
    capabilities: { ...(add ? { add } : {}), ...(drop ? { drop } : {}) },
    noNewPrivileges: own.allowPrivilegeEscalation === false,
    readOnlyRoot: own.readOnlyRootFilesystem === true,
    seccomp:
      own.privileged || profile?.type === 'Unconfined'
        ? 'unconfined'
        : profile?.type === 'Localhost'
          ? join(seccompDirectory, join('/', profile.localhostProfile ?? ''))
          : 'runtime/default',
    ...(user === undefined ? {} : { user: String(user) }),
    ...(group === undefined ? {} : { runAsGroup: group }),
    supplementalGroups: groups,
    runAsNonRoot: (own.runAsNonRoot ?? shared.runAsNonRoot) === true,
    ...(own.procMount === 'Unmasked' ? { maskedPaths: [], readonlyPaths: [] } : {}),
  };
}

const PROPAGATION = { None: 'private', HostToContainer: 'rslave', Bidirectional: 'rshared' } as const;

async function planMounts(
  container: ContainerSpec,
  volumes: Map<string, PreparedVolume>,
  environment: ReadonlyMap<string, string>,
  pins: SubPathPins,
): Promise<Mount[]> {
  const mounts: Mount[] = [];
  for (const [index, mount] of (container.volumeMounts ?? []).entries()) {
    const volume = volumes.get(mount.name);
    if (!volume) throw new UmiakError('NotFound', `container ${container.name} mounts volume "${mount.name}", which the pod does not have`);
    const below = mount.subPathExpr ? expandSubPath(mount.subPathExpr, environment) : (mount.subPath ?? '');
    mounts.push({
      source: below === '' ? volume.path : await pins.pin(index, volume.path, below),
      destination: mount.mountPath,
      readOnly: mount.readOnly === true || volume.readOnly === true,
      ...(volume.noExec ? { options: ['noexec', 'nosuid', 'nodev'] } : {}),
      propagation: PROPAGATION[(mount.mountPropagation ?? 'None') as keyof typeof PROPAGATION] ?? 'private',
    });
  }
  return mounts;
}

/** @throws `NotFound` for a variable that the container does not have */
function expandSubPath(expression: string, environment: ReadonlyMap<string, string>): string {
  return expand(expression, name => {
    const value = environment.get(name);
    if (value === undefined) throw new UmiakError('NotFound', `subPathExpr ${JSON.stringify(expression)}: there is no variable ${name}`);
    return value;
  });
}
