import type { Container, Owner, Sandbox } from '#engine/index.ts';
import type { HealthNote } from '#engine/supervision/index.ts';
import type { Config, EndpointSettings, Health, HostConfig, NetworkSettings, Port, PortBinding } from './containers/forms.ts';
import type { ContainerMount, ContainerVolumes } from './volumes/container-mounts.ts';

/** What the rooms of the docker face need of each other: interfaces only, no room imports another. */

/** What docker keeps of a container beside the engine's own facts: `ContainerConfig.ownerData` of the engine's record. */
export interface DockerData {
  /** Without the slash. */
  name: string;
  /** The image as it was asked for. */
  image: string;
  config: Config;
  hostConfig: HostConfig;
  /** `linux`. */
  platform: string;
  /** The program and its arguments, as `inspect` tells them. */
  path: string;
  args: string[];
  /** Wishes and, once attached, facts of each network, by the network's name. */
  endpoints: Record<string, EndpointSettings>;
  mounts: ContainerMount[];
  /** While it runs: the machine's ports that lead to each of its own, as `Ports` of inspect tells them. Written by `Networks`. */
  published?: Record<string, PortBinding[]>;
  /** A person stopped it: `unless-stopped` does not start it again. */
  wasStopped?: boolean;
  /** How often its restart policy has started it again. */
  restartCount?: number;
  /** What its health check last found. */
  health?: HealthNote;
  /** Its anonymous volumes are being removed, and it goes with them, whatever happens meanwhile. */
  isLeaving?: boolean;
}

/** One container as docker sees it, at one moment. */
export interface DockerContainer {
  id: string;
  sandboxId: string;
  owner: Owner;
  /** Without the slash. */
  name: string;
  /** Of a pod's container: made up from what the engine knows. */
  data: DockerData;
  /** The engine's facts: state, times, exit code. */
  engine: Container;
  sandbox: Sandbox | undefined;
}

/** The containers room, as others see it. */
export interface ContainerLookup {
  /** By name, id or the unique beginning of an id. @throws NotFound, Conflict in docker's words */
  find(nameOrId: string): DockerContainer;
  all(): DockerContainer[];
  /** Changes what docker keeps of a container of docker's own; durable when it resolves. Other rooms call it from within `connectAll` too. */
  change(id: string, change: (data: DockerData) => DockerData): Promise<DockerContainer>;
  /**
   * Starts, as `POST /containers/{id}/start` or, by a restart policy, anew: then `isWanted` is asked when its turn has come, and nothing is
   * done when it no longer is.
   */
  start(id: string, why?: 'asked' | 'policy', isWanted?: () => boolean): Promise<void>;
  /** It does not run, and the restart that was to come does not: who waits for its end has it. */
  restartGivenUp(id: string): void;
  /** Of one that has ended: all that its run had is given back, its endpoints too. */
  settled(id: string): Promise<void>;
}

/** Docker's journal of what happens. */
export interface Events {
  emit(event: { type: string; action: string; id: string; attributes: Record<string, string> }): void;
}

/** What a container's sandbox gets of the engine. */
export type SandboxNetworkPlan =
  | { network: 'pod' | 'host' | 'none' }
  /** The network of another container. */
  | { network: 'sandbox'; networkOf: string };

/** Networks and what is published of them. Endpoints stand in `DockerData.endpoints`. */
export interface Networks {
  /** At `create`: the endpoints a container is to have, by its HostConfig and NetworkingConfig. @throws what docker refuses then */
  planEndpoints(wishes: {
    name: string;
    config: Config;
    hostConfig: HostConfig;
    endpoints: Record<string, Partial<EndpointSettings>>;
    lookup: ContainerLookup;
  }): Record<string, EndpointSettings>;
  /** How the engine makes the sandbox of such a container: `none` where endpoints are attached later. */
  planSandbox(wishes: { hostConfig: HostConfig; lookup: ContainerLookup }): SandboxNetworkPlan;
  /**
   * Between the sandbox's start and the container's: attaches what `endpoints` says and notes there what came of it, publishes ports, writes hosts
   * and resolv.conf. @throws in docker's words, everything undone
   */
  connectAll(container: DockerContainer): Promise<void>;
  /** After the container's end, before its sandbox stops. Idempotent. */
  disconnectAll(container: DockerContainer): Promise<void>;
  /** It has another name now. */
  renamed?(container: DockerContainer): Promise<void>;
  /** `NetworkSettings` of inspect. */
  settingsOf(container: DockerContainer): NetworkSettings;
  /** `Ports` of list. */
  portsOf(container: DockerContainer): Port[];
}

/** Volumes, binds and tmpfs of containers (`volumes/container-mounts.ts`). */
export type Volumes = ContainerVolumes;

/**
 * Restart policies and health checks (`supervision/`, over `engine/supervision`). What runs and ends it hears from the engine; `--rm` is not
 * its affair. `wasStopped` and `restartCount` of `DockerData` are written by it alone.
 */
export interface Supervision {
  /** A person starts it: counts and back-off begin anew. Durable when it resolves, to be awaited before the start. */
  starting(container: DockerContainer): Promise<void>;
  /** A person stops, kills (by KILL or its stop signal), restarts or removes it: no restart. Durable when it resolves, to be awaited before the signal. */
  stopping(container: DockerContainer): Promise<void>;
  /** Its restart policy is another one now. */
  changed(container: DockerContainer): void;
  /** It has ended and will be started again: inspect says `restarting` and `Running: true`, and `wait` goes on. */
  isRestarting(container: DockerContainer): boolean;
  /** Undefined where nothing is checked, and before the first start. */
  healthOf(container: DockerContainer): Health | undefined;
}

/** Attached streams, execs, logs. */
export interface Streams {
  /** `HostConfig.LogConfig` as it will be kept: the default driver filled in. @throws BadRequest in docker's words for drivers and options it refuses */
  planLogConfig(asked: Partial<HostConfig['LogConfig']> | undefined): HostConfig['LogConfig'];
  /** What the engine's `ContainerConfig.log` is to be. */
  planEngineLog(logConfig: HostConfig['LogConfig']): 'none' | undefined;
  /** `ExecIDs` of inspect: those that run or wait to be started. */
  execIdsOf(id: string): string[] | null;
}
