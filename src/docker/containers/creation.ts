import { availableParallelism } from 'node:os';
import { isUmiakError, messageOf, UmiakError } from '#base/errors.ts';
import type { Engine } from '#engine/index.ts';
import type { ImageRecord, ImageStore } from '#images/image-store.ts';
import { parsePlatform, parseReference } from '#images/index.ts';
import type { ContainerLookup, DockerContainer, DockerData, Networks, Streams, Volumes } from '../rooms.ts';
import { type CreateBody, ofVersion, planConfig, planHostConfig } from './config.ts';
import { toCreateError } from './failures.ts';
import { fitToMachine, type MachineSupport } from './machine-support.ts';
import { type PlanContext, planCommand, planContainer, planSandbox } from './plan.ts';
import { containerOf, validateContainer } from './validate.ts';

export interface CreationOptions {
  engine: Pick<Engine, 'createSandbox' | 'createContainer' | 'removeSandbox' | 'runtimeHandlers'>;
  images: Pick<ImageStore, 'inspect' | 'ensureUnpacked'>;
  rooms: { networks: Networks; volumes: Volumes; streams?: Streams | undefined };
  lookup: ContainerLookup;
  support: MachineSupport;
}

/** What `POST /containers/create` asks for. */
export interface CreateRequest {
  /** Taken already. */
  name: string;
  id: string;
  body: CreateBody;
  /** `linux/amd64`: the image must be of that one. */
  platform?: string | undefined;
  apiMinor: number;
}

/** Init programs that docker's packages and Debian install. */
const INITS = ['/usr/bin/docker-init', '/usr/bin/tini-static', '/usr/bin/tini'];

/** Makes the sandbox and the container of one docker container, or nothing. @throws in docker's words */
export async function createContainer(options: CreationOptions, request: CreateRequest): Promise<string[]> {
  const { name, id, platform, apiMinor } = request;
  const body = ofVersion(request.body, apiMinor);
  const { engine, images, lookup, support } = options;
  const { networks, volumes, streams } = options.rooms;
  if (!body.Image) throw new UmiakError('BadRequest', 'no image was named: give Image');
  const image = await imageOf(body.Image, images);
  if (platform !== undefined && apiMinor >= 41) checkPlatform(body.Image, image.config, platform);
  const config = planConfig(body, image.config.config ?? {}, id);
  const asked = body.HostConfig ?? {};
  const whole = planHostConfig(asked, {
    runtime: engine.runtimeHandlers()[0] ?? 'crun',
    cgroupns: cgroupnsDefault(support, asked.Privileged),
  });
  validateContainer(body, config, whole, { ...support, cpus: availableParallelism() });
  for (const link of whole.Links ?? []) checkLink(link, lookup);
  for (const mode of ['NetworkMode', 'PidMode', 'IpcMode'] as const) whole[mode] = byId(whole[mode], lookup);
  if (streams) whole.LogConfig = streams.planLogConfig(asked.LogConfig);
  const { hostConfig, warnings } = fitToMachine(whole, support);
  const data: DockerData = {
    name,
    image: body.Image,
    config,
    hostConfig,
    platform: 'linux',
    ...planCommand(config),
    endpoints: networks.planEndpoints({ name, config, hostConfig, endpoints: body.NetworkingConfig?.EndpointsConfig ?? {}, lookup }),
    mounts: [],
    wasStopped: false,
    restartCount: 0,
  };
  const context = await planContext(options, id, data);
  using prepared = await volumes.prepare({
    volumes: config.Volumes,
    host: hostConfig,
    lowerDirs: await images.ensureUnpacked(image.id),
    apiMinor,
  });
  data.mounts = prepared.containerMounts;
  context.mounts = prepared.mounts;
  let sandboxId: string | undefined;
  try {
    sandboxId = (await engine.createSandbox(planSandbox(data, context))).id;
    const planned = planContainer(data, sandboxId, context);
    const log = streams?.planEngineLog(hostConfig.LogConfig);
    await engine.createContainer({ ...planned, image: image.id, ...(log ? { log } : {}) }, { id });
  } catch (error) {
    if (sandboxId !== undefined) await engine.removeSandbox(sandboxId);
    await prepared.undo();
    throw toCreateError(error);
  }
  return warnings;
}

/** @throws NotFound, BadRequest for what can be no image's name */
async function imageOf(name: string, images: CreationOptions['images']): Promise<ImageRecord> {
  try {
    return await images.inspect(name);
  } catch (cause) {
    if (isUmiakError(cause, 'NotFound') && !/^[0-9a-f]{64}$/.test(name)) checkReference(name);
    throw cause;
  }
}

function checkReference(name: string): void {
  try {
    parseReference(name);
  } catch (cause) {
    throw new UmiakError('BadRequest', 'invalid reference format', { cause });
  }
}

/** @throws NotFound, by which clients know that they are to pull the other one */
function checkPlatform(
  name: string,
  { os, architecture, variant }: { os: string; architecture: string; variant?: string },
  asked: string,
): void {
  const wanted = parsePlatform(asked);
  const isSame = wanted.os === os && wanted.architecture === architecture && (!wanted.variant || !variant || wanted.variant === variant);
  if (isSame) return;
  throw new UmiakError(
    'NotFound',
    `image with reference ${name} was found but its platform (${os}/${architecture}${variant ? `/${variant}` : ''}) does not match the specified platform (${asked})`,
  );
}

/** `container:name` with the id, so that a later rename changes nothing. @throws BadRequest: not found is for images alone, which clients then pull */
function byId(mode: string, lookup: ContainerLookup): string {
  const reference = containerOf(mode);
  if (reference === undefined) return mode;
  try {
    return `container:${lookup.find(reference).id}`;
  } catch (cause) {
    throw new UmiakError('BadRequest', messageOf(cause), { cause });
  }
}

/** @throws BadRequest for a container that is not there: not found is for images alone */
function checkLink(link: string, lookup: ContainerLookup): void {
  const name = link.split(':', 1)[0] ?? '';
  try {
    lookup.find(name);
  } catch (cause) {
    throw new UmiakError('BadRequest', `could not get container for ${name}: ${messageOf(cause)}`, { cause });
  }
}

function cgroupnsDefault({ cgroupVersion }: MachineSupport, privileged = false): 'host' | 'private' {
  return cgroupVersion === 2 && !privileged ? 'private' : 'host';
}

async function planContext(options: CreationOptions, id: string, { config, hostConfig }: DockerData): Promise<PlanContext> {
  const { engine, lookup, support } = options;
  const { IpcMode, PidMode } = hostConfig;
  const other = (mode: string): DockerContainer | undefined => {
    const reference = containerOf(mode);
    return reference === undefined ? undefined : lookup.find(reference);
  };
  const ipc = other(IpcMode);
  return {
    id,
    network: options.rooms.networks.planSandbox({ hostConfig, lookup }),
    mounts: [],
    runtime: planRuntime(hostConfig.Runtime, engine.runtimeHandlers()),
    ipcSandbox: ipc?.sandboxId,
    pidContainer: other(PidMode)?.id,
    ...(hostConfig.Init ? { initPath: await findInit() } : {}),
    hasSelinux: support.selinux,
    labels: config.Labels,
  };
}

/** Docker's names for what runs containers; `runc` and its like without a handler of that name are the machine's own choice. Pure. */
export function planRuntime(asked: string, handlers: readonly string[]): string {
  const name = asked.replace(/^io\.containerd\.(\w+)\.v\d+$/, '$1');
  if (handlers.includes(name)) return name;
  const [usual] = handlers;
  if (usual !== undefined && name === 'runc') return usual;
  throw new UmiakError('BadRequest', `unknown or invalid runtime name: ${asked.slice(0, 128)}`, {
    hint: `There are ${handlers.join(', ')}.`,
  });
}

async function findInit(): Promise<string> {
  const { existsSync } = await import('node:fs');
  const found = INITS.find(path => existsSync(path));
  if (found !== undefined) return found;
  throw new UmiakError('BadRequest', 'no init program is installed here for HostConfig.Init', {
    hint: 'Install the package tini.',
  });
}
