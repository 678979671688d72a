import { mkdirSync, statSync } from 'node:fs';
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import type { Engine } from '#engine/index.ts';
import { Bridges, EmbeddedDns } from '#net/bridges/index.ts';
import type { LentRecords } from '#net/cni/index.ts';
import type { Bridge, KernelChanges, NetworkPool, NftTransactions, PortReservations } from '#net/index.ts';
import type { ContainerLookup, Events } from '../rooms.ts';
import { DockerNetworks } from './docker-networks.ts';
import { PoolLinks } from './pool-links.ts';

/** What of the machine's network docker's networks stand on. */
export interface NetworkParts {
  instance: string;
  podCidr: string;
  serviceCidr: string;
  /** Path of the machine's resolv.conf. */
  resolvConf: string;
  /** The link of the default network. */
  bridge: Bridge;
  nft: NftTransactions;
  kernel: KernelChanges;
  reservations: PortReservations;
  /** The pods' networks, of which the default network's containers have theirs. */
  networks: NetworkPool;
  lentRecords: LentRecords;
}

interface Others {
  dataDir: string;
  engine: Pick<Engine, 'setSandboxFiles'>;
  containers: ContainerLookup;
  events: Events;
  clock: Clock;
  log: Log;
}

/** Opens docker's networks over the machine's. */
export async function openNetworks(
  { instance, podCidr, serviceCidr, resolvConf, bridge, nft, kernel, reservations, networks, lentRecords }: NetworkParts,
  { dataDir, containers, ...others }: Others,
): Promise<DockerNetworks> {
  const directory = `${dataDir}/docker/networks`;
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  return await DockerNetworks.open({
    ...others,
    directory,
    instance,
    podCidr,
    avoided: [podCidr, serviceCidr],
    poolLink: { name: bridge.name, mtu: bridge.mtu },
    poolGateway: bridge.gateway,
    createdAtMs: Math.floor(statSync(directory).birthtimeMs),
    resolvConf,
    bridges: new Bridges({ instance, nft, kernel }),
    dns: new EmbeddedDns(),
    poolLinks: new PoolLinks({ pool: networks, records: lentRecords }),
    reservations,
    containers: () => containers,
  });
}
