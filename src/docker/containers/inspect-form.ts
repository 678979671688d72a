import type { ImageRecord } from '#images/image-store.ts';
import type { DockerContainer } from '../rooms.ts';
import { exitCodeOf, toStartError } from './failures.ts';
import type { Health, NetworkSettings } from './forms.ts';
import { toInspectLinks } from './links.ts';
import type { Status } from './state-words.ts';

/** What `inspect` tells besides the record. */
export interface InspectFacts {
  status: Status;
  health: Health | undefined;
  network: NetworkSettings;
  /** Of a pod's container; docker's own say it themselves. */
  environment: readonly { name: string; value: string }[] | undefined;
  execIds: string[] | null;
  files: { hosts: string; hostname: string; resolvConf: string };
  image: ImageRecord | undefined;
  /** The container's layers: what it writes to and what it stands on, top first. */
  layers: { upper: string; lower: readonly string[]; merged: string; work: string };
  size?: { rw: number; rootFs: number } | undefined;
  apiMinor: number;
}

const NEVER = '0001-01-01T00:00:00Z';

/** Docker writes nanoseconds. Pure. */
export function toTimestamp(ms: number | undefined): string {
  if (ms === undefined) return NEVER;
  const whole = Math.floor(ms);
  const nanos = Math.round((ms - whole) * 1e6);
  return `${new Date(whole).toISOString().slice(0, -1)}${String(nanos).padStart(6, '0')}Z`;
}

/** The answer of `GET /containers/{id}/json`. Pure. */
export function toContainerInspect(container: DockerContainer, facts: InspectFacts): Record<string, unknown> {
  const { id, data, engine } = container;
  const { network, apiMinor, size, layers, image } = facts;
  const { config, hostConfig } = data;
  return {
    Id: id,
    Created: toTimestamp(engine.createdAtMs),
    Path: data.path,
    Args: data.args,
    State: toState(container, facts),
    Image: engine.imageId,
    ResolvConfPath: facts.files.resolvConf,
    HostnamePath: facts.files.hostname,
    HostsPath: facts.files.hosts,
    LogPath: hostConfig.LogConfig.Type === 'json-file' || hostConfig.LogConfig.Type === 'local' ? (engine.logPath ?? '') : '',
    Name: `/${data.name}`,
    RestartCount: data.restartCount ?? 0,
    Driver: 'overlay2',
    Platform: data.platform,
    MountLabel: '',
    ProcessLabel: '',
    AppArmorProfile: engine.config.security?.apparmor ?? '',
    ExecIDs: facts.execIds,
    HostConfig: { ...hostConfig, Links: toInspectLinks(data) },
    GraphDriver: {
      Name: 'overlay2',
      Data: { ID: id, LowerDir: layers.lower.join(':'), MergedDir: layers.merged, UpperDir: layers.upper, WorkDir: layers.work },
    },
    ...(size ? { SizeRw: size.rw, SizeRootFs: size.rootFs } : {}),
    Mounts: data.mounts.map(({ point }) => point),
    Config: {
      ...config,
      ...(facts.environment ? { Env: facts.environment.map(({ name, value }) => `${name}=${value}`) } : {}),
      ...(apiMinor < 44 ? { MacAddress: config.MacAddress ?? network.MacAddress } : {}),
    },
    NetworkSettings: network,
    ...(apiMinor >= 48 && image ? { ImageManifestDescriptor: { ...image.target, digest: image.manifestDigest } } : {}),
  };
}

function toState({ engine, data }: DockerContainer, { status, health }: InspectFacts): Record<string, unknown> {
  const isRunning = engine.state === 'running';
  const { reason = '', message = '' } = engine;
  const failure = ['StartError', 'ContainerCannotRun'].includes(reason) ? toStartError(message, data.path).message : message;
  return {
    Status: status,
    Running: isRunning || status === 'restarting',
    Paused: status === 'paused',
    Restarting: status === 'restarting',
    OOMKilled: engine.reason === 'OOMKilled',
    Dead: false,
    Pid: engine.pid ?? 0,
    ExitCode: isRunning ? 0 : exitCodeOf(engine),
    Error: isRunning || ['Completed', 'Error'].includes(reason) ? '' : failure,
    StartedAt: toTimestamp(engine.startedAtMs),
    FinishedAt: toTimestamp(isRunning || engine.startedAtMs === undefined ? undefined : engine.finishedAtMs),
    ...(health ? { Health: health } : {}),
  };
}
