import { mkdirSync, readdirSync, statSync } from 'node:fs';
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import type { Engine } from '#engine/index.ts';
import { Bridges, type EmbeddedDns } from '#net/bridges/index.ts';
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
  dns: EmbeddedDns;
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

/** A former agent left networks of people's own, whose containers may be asking for names already. */
export function hasNetworks(dataDir: string): boolean {
  try {
    return readdirSync(directoryOf(dataDir)).length > 0;
  } catch {
    return false; // the first start
  }
}

function directoryOf(dataDir: string): string {
  return `${dataDir}/docker/networks`;
}

/** Opens docker's networks over the machine's. */
export async function openNetworks(
  { instance, podCidr, serviceCidr, resolvConf, bridge, nft, dns, kernel, reservations, networks, lentRecords }: NetworkParts,
  { dataDir, containers, ...others }: Others,
): Promise<DockerNetworks> {
  const directory = directoryOf(dataDir);
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
    dns,
    poolLinks: new PoolLinks({ pool: networks, records: lentRecords }),
    reservations,
    containers: () => containers,
  });
}
