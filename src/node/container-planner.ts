import { mkdir, open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { UmiakError } from '#base/index.ts';
import type { ContainerConfig, Mount, Resources } from '#engine/engine.ts';
import type { Pod } from '#kinds/pod.ts';
import type { Service } from '#kinds/service.ts';
import type { NodeFacts } from './downward.ts';
import { environmentReferences, expand, resolveEnvironment } from './environment.ts';
import type { ContainerPlanner, ContainerSpec } from './parts.ts';
import { planResources } from './plan-container-resources.ts';
import { isRecursiveReadOnly, planSecurity } from './plan-security.ts';
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
    const { pod, container, sandbox } = request;
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
    const mounts = await planMounts(request, environment, pins);
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
    security: planSecurity(pod, container, { seccompDirectory, hasSelinux: facts.traits?.hasSelinux ?? false }),
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
    ...(container.lifecycle?.stopSignal ? { stopSignal: container.lifecycle.stopSignal } : {}),
  };
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

const PROPAGATION = { None: 'private', HostToContainer: 'rslave', Bidirectional: 'rshared' } as const;

async function planMounts(
  { container, volumes, sandbox }: Request,
  environment: ReadonlyMap<string, string>,
  pins: SubPathPins,
): Promise<Mount[]> {
  const mounts: Mount[] = [];
  for (const [index, mount] of (container.volumeMounts ?? []).entries()) {
    const volume = volumes.get(mount.name);
    if (!volume) throw new UmiakError('NotFound', `container ${container.name} mounts volume "${mount.name}", which the pod does not have`);
    const below = mount.subPathExpr ? expandSubPath(mount.subPathExpr, environment) : (mount.subPath ?? '');
    const propagation = PROPAGATION[(mount.mountPropagation ?? 'None') as keyof typeof PROPAGATION] ?? 'private';
    mounts.push({
      source: below === '' ? volume.path : await pins.pin(index, volume.path, below),
      destination: mount.mountPath,
      readOnly: mount.readOnly === true || volume.readOnly === true,
      ...(volume.noExec ? { options: ['noexec', 'nosuid', 'nodev'] } : {}),
      ...(isRecursiveReadOnly(mount) ? { recursiveReadOnly: true } : {}),
      ...(sandbox.config.userNamespace && volume.lowerDirs && below === '' ? { type: 'overlay', lowerDirs: volume.lowerDirs } : {}),
      propagation,
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
