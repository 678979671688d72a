import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import type { LocalEngine } from '#engine/index.ts';
import type { ImageStore } from '#images/image-store.ts';
import { BuildRoom } from './build/build-room.ts';
import { Containers } from './containers/containers.ts';
import { DockerEvents } from './events/docker-events.ts';
import { FilesRoom } from './files/files-room.ts';
import type { DockerNetworks } from './networks/docker-networks.ts';
import { type NetworkParts, openNetworks } from './networks/open-networks.ts';
import { DockerStreams } from './streams/docker-streams.ts';
import { ContainerSupervision } from './supervision/container-supervision.ts';
import { DockerVolumes } from './volumes/docker-volumes.ts';

export interface DockerRoomsOptions {
  dataDir: string;
  runDir: string;
  engine: LocalEngine;
  images: ImageStore;
  network: NetworkParts;
  clock: Clock;
  log: Log;
}

/** All rooms of the docker face that have something of their own, made in order; disposed in reverse, containers go on. */
export interface DockerRooms extends AsyncDisposable {
  journal: DockerEvents;
  containers: Containers;
  volumes: DockerVolumes;
  streams: DockerStreams;
  files: FilesRoom;
  builds: BuildRoom;
  networks: DockerNetworks;
  supervision: ContainerSupervision;
}

/** Opens the rooms: what a killed agent left half-done is finished, and containers that are to run are started in the background. */
export async function openDockerRooms({ dataDir, runDir, engine, images, network, clock, log }: DockerRoomsOptions): Promise<DockerRooms> {
  await using stack = new AsyncDisposableStack();
  const journal = stack.use(new DockerEvents({ dataDir, engine, clock, log }));
  const containers = stack.use(new Containers({ engine, images, events: journal, log }));
  const volumes = stack.use(
    await DockerVolumes.open({
      directory: `${dataDir}/docker/volumes`,
      partsDirectory: `${runDir}/docker/parts`,
      users: () => containers,
      images,
      events: journal,
      canReadOnlyBelow: async () => (await engine.runtimeFeatures()).recursiveReadOnlyMounts,
      clock,
      log,
    }),
  );
  const supervision = stack.use(new ContainerSupervision({ engine, containers, events: journal, clock, log }));
  const isRestarting = (id: string) => containers.isRestarting(containers.find(id));
  const streams = stack.use(new DockerStreams({ engine, containers, events: journal, isRestarting, clock, log }));
  const files = stack.use(new FilesRoom({ engine, containers, volumes, images, events: journal, clock }));
  const networks = stack.use(await openNetworks(network, { dataDir, engine, containers, events: journal, clock, log }));
  await containers.open({ networks, volumes, supervision, streams });
  streams.resume();
  void supervision.resume().catch((error: unknown) => log.error('containers that are to run could not be started', { error }));
  const { resolvConf, bridge } = network;
  const builds = stack.use(
    await BuildRoom.open({ dataDir, engine, images, networks, containers, resolvConf, hostGateway: bridge.gateway, clock, log }),
  );
  const held = stack.move();
  return { journal, containers, volumes, streams, files, builds, networks, supervision, [Symbol.asyncDispose]: () => held.disposeAsync() };
}
