import type { ContainerConfig, IdMapping, Mount, Sandbox, UserNamespaceMappings } from '#engine/engine.ts';
import { planResources } from './plan-resources.ts';
import { planSecurity } from './plan-security.ts';
import { invalidField, requiredField } from './refuse.ts';
import { fromSignal } from './signals.ts';
import type {
  ContainerConfig as CriContainerConfig,
  Mount as CriMount,
  Device,
  IDMapping,
  KeyValue,
  NamespaceOption,
} from './types.gen.ts';

const NAMESPACES = 'config.linux.security_context.namespace_options';
const PROPAGATION = {
  PROPAGATION_PRIVATE: 'private',
  PROPAGATION_HOST_TO_CONTAINER: 'rslave',
  PROPAGATION_BIDIRECTIONAL: 'rshared',
} as const;

/** A container in the engine's words. Network and IPC are the sandbox's, whatever is said here. Pure. @throws `Invalid` that names the field */
export function planContainer(config: CriContainerConfig, sandbox: Sandbox, images: MountedImages = new Map()): ContainerConfig {
  const {
    metadata: { name = '', attempt = 0 } = {},
    image: { image = '', userSpecifiedImage = '' } = {},
    linux = {},
    windows,
    logPath = '',
  } = config;
  if (name === '') throw requiredField('config.metadata.name');
  if (image === '') throw requiredField('config.image.image');
  if (windows) throw invalidField('config.windows', 'this machine runs Linux');
  const cdiDevices = planCdiDevices(config);
  const stopSignal = fromSignal(config.stopSignal);
  return {
    sandboxId: sandbox.id,
    metadata: { name, attempt },
    image,
    ...(userSpecifiedImage === '' ? {} : { imageName: userSpecifiedImage }),
    ...(config.command?.length ? { command: config.command } : {}),
    ...(config.args?.length ? { args: config.args } : {}),
    env: (config.envs ?? []).map(planVariable),
    ...(config.workingDir ? { workingDir: config.workingDir } : {}),
    mounts: (config.mounts ?? []).map(mount => planMount(mount, sandbox, images)),
    devices: (config.devices ?? []).map(planDevice),
    ...(cdiDevices.length > 0 ? { cdiDevices } : {}),
    resources: planResources(linux.resources, 'config.linux.resources'),
    security: planSecurity(linux.securityContext),
    labels: config.labels ?? {},
    annotations: config.annotations ?? {},
    ...(logPath === '' ? {} : { logPath }),
    stdin: config.stdin ?? false,
    stdinOnce: config.stdinOnce ?? false,
    tty: config.tty ?? false,
    ...(stopSignal === undefined ? {} : { stopSignal }),
    ...planPid(linux.securityContext?.namespaceOptions, sandbox),
  };
}

/** Images that mounts name, unpacked, by the name they are asked for with. */
export type MountedImages = ReadonlyMap<string, { imageId: string; lowerDirs: string[] }>;

/** What no two containers of a sandbox may have in common. */
export function containerName(
  { metadata: { name = '', attempt = 0 } = {} }: Pick<CriContainerConfig, 'metadata'>,
  { id }: Pick<Sandbox, 'id'>,
): string {
  return [name, id, attempt].join('_');
}

function planVariable({ key = '', value }: KeyValue): { name: string; value: string } {
  if (key === '' || key.includes('=')) throw invalidField('config.envs.key', `${JSON.stringify(key)} is no name of a variable`);
  return { name: key, value: value ? Buffer.from(value).toString() : '' };
}

function planMount(mount: CriMount, { config: { userNamespace } }: Sandbox, images: MountedImages): Mount {
  const { containerPath = '', hostPath = '', readonly = false, recursiveReadOnly = false, propagation = 'PROPAGATION_PRIVATE' } = mount;
  const field = `config.mounts[${containerPath}]`;
  if (containerPath === '') throw requiredField('config.mounts.container_path');
  if (mount.image?.image) return planImageMount(mount, images);
  checkMappings(mount, userNamespace, field);
  if (hostPath === '') throw requiredField(`${field}.host_path`);
  if (!hostPath.startsWith('/')) throw invalidField(`${field}.host_path`, `${JSON.stringify(hostPath)} is not absolute`);
  if (recursiveReadOnly && !readonly) throw invalidField(`${field}.recursive_read_only`, 'needs readonly');
  if (recursiveReadOnly && propagation !== 'PROPAGATION_PRIVATE')
    throw invalidField(`${field}.recursive_read_only`, 'needs the propagation PROPAGATION_PRIVATE');
  return {
    source: hostPath,
    destination: containerPath.startsWith('/') ? containerPath : `/${containerPath}`,
    readOnly: readonly,
    ...(recursiveReadOnly ? { recursiveReadOnly } : {}),
    propagation: PROPAGATION[propagation],
  };
}

/** An image's content or a part of it, to be read, not to be run: one layer as it lies, several as one. */
function planImageMount({ containerPath = '', image = {}, imageSubPath = '' }: CriMount, images: MountedImages): Mount {
  const { imageId, lowerDirs } = images.get(image.image ?? '') ?? { imageId: '', lowerDirs: [] };
  const shared = {
    destination: containerPath,
    readOnly: true,
    options: ['noexec', 'nosuid', 'nodev'],
    imageId,
    ...(imageSubPath === '' ? {} : { imageSubPath }),
  };
  const [only = ''] = lowerDirs;
  return lowerDirs.length === 1 ? { ...shared, source: only } : { ...shared, source: imageId, type: 'overlay', lowerDirs };
}

/** All mounts of a sandbox with users of its own are shown with their ids: others than the sandbox's can't be had. */
function checkMappings({ uidMappings = [], gidMappings = [] }: CriMount, own: UserNamespaceMappings | undefined, field: string): void {
  const isSame = (given: IDMapping[], its: IdMapping[] = []) =>
    given.length === 0 ||
    (given.length === its.length &&
      given.every(
        ({ containerId = 0, hostId = 0, length = 0 }, i) =>
          containerId === its[i]?.containerId && hostId === its[i]?.hostId && length === its[i]?.length,
      ));
  if (!isSame(uidMappings, own?.uids)) throw invalidField(`${field}.uidMappings`, "must be the sandbox's own, or none");
  if (!isSame(gidMappings, own?.gids)) throw invalidField(`${field}.gidMappings`, "must be the sandbox's own, or none");
}

function planDevice({ hostPath = '', containerPath = '', permissions = '' }: Device): NonNullable<ContainerConfig['devices']>[number] {
  if (hostPath === '') throw requiredField('config.devices.host_path');
  return { path: hostPath, ...(containerPath ? { containerPath } : {}), ...(permissions ? { permissions } : {}) };
}

/** Both ways of asking for them: the field, and annotations of `cdi.k8s.io/…` with names by comma. */
function planCdiDevices({ CDIDevices = [], annotations = {} }: CriContainerConfig): string[] {
  const annotated = Object.entries(annotations).filter(([key]) => key.startsWith('cdi.k8s.io/'));
  return [...new Set([...CDIDevices.map(({ name = '' }) => name), ...annotated.flatMap(([, names]) => names.split(','))])];
}

function planPid(options: NamespaceOption | undefined, { config }: Sandbox): Pick<ContainerConfig, 'pidOf' | 'ownPid'> {
  if (!options) return {};
  const { pid = 'POD', targetId = '' } = options;
  if (pid === 'TARGET') {
    if (targetId === '') throw requiredField(`${NAMESPACES}.target_id`);
    return { pidOf: targetId };
  }
  const wanted = pid === 'NODE' ? 'host' : pid === 'POD' ? 'pod' : 'container';
  const has = config.pid ?? 'container';
  if (wanted === 'container' && has === 'pod') return { ownPid: true };
  if (wanted !== has)
    throw invalidField(
      `${NAMESPACES}.pid`,
      `${pid} is not how the sandbox was made`,
      `Its own PID namespaces are ${has}; ask for the same.`,
    );
  return {};
}
