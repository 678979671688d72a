/**
 * What this machine can do for the platform: `examine` looks, judges, and changes nothing.
 *
 * - One file an area: facts, a pure `plan…` that judges them, and `read…` that gets them from `/proc`, `/sys` and system calls. Only a
 *   program's version is asked of a process.
 * - What no file tells is tried out: an overlay, attributes and reflinks in a directory that is removed, links and the platform's own nft table in a network
 *   that ends with its thread (`scratch-worker.ts`), whose mounts nobody else sees.
 * - A finding that is not `ok` says what happens instead, and what to do.
 * - Not here: what the agent does about it. It finds out by itself today.
 */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { WorkerCalls } from '#base/worker-calls.ts';
import { identify } from '#linux/process.ts';
import { bridgeName } from '#net/names.ts';
import { renderTable } from '#net/nft-rules.ts';
import { NftTransactions } from '#net/nft-transactions.ts';
import type { RuntimeHandlers } from '../runtime-handlers.ts';
import { planControlGroups, readControlGroups } from './control-groups.ts';
import { nearestExisting, planDisk, readDisk } from './disk.ts';
import type { Finding } from './finding.ts';
import { lackingCapabilities, planKernel, readKernel } from './kernel.ts';
import { planLimits, readLimits } from './limits.ts';
import { planNeighbours, readSockets } from './neighbours.ts';
import { type NetworkFacts, planNetwork, readListening, type WantedPort } from './network.ts';
import { planPrograms, readPrograms } from './programs.ts';
import { readWords } from './read.ts';
import type { DiskTrial, NetworkTrial, ScratchHandlers } from './scratch-worker.ts';
import { planSecurity, readSecurity } from './security.ts';
import { planTime, readTime } from './time.ts';

export type { Finding, FindingState } from './finding.ts';
export type { WantedPort } from './network.ts';

/** What the instance wants of the machine. */
export interface ExamineOptions {
  instance: string;
  dataDir: string;
  runtime: string;
  /** Handlers that are configured. */
  runtimes: RuntimeHandlers;
  podCidr: string;
  serviceCidr: string;
  nodePortRange: { first: number; last: number };
  wanted: WantedPort[];
  /** Processes of this instance, whose ports are not in its way. */
  ownPids: number[];
  nowMs: number;
}

/** Looks at everything; in the order of the areas. */
export async function examine(options: ExamineOptions): Promise<Finding[]> {
  // Programs first: that has libuv's pool made before a thread with mounts of its own could be the one that makes it.
  const programs = planPrograms(await readPrograms(options));
  const kernel = readKernel();
  const mayTry = lackingCapabilities(kernel).length === 0;
  const [disk, network, foreignDrops] = await Promise.all([
    mayTry ? tryDisk(options.dataDir) : undefined,
    mayTry ? tryNetwork(options) : undefined,
    mayTry ? readForeignDrops(options.instance) : undefined,
  ]);
  const its: NetworkFacts = {
    trial: network,
    foreignDrops,
    legacyTables: readWords('/proc/net/ip_tables_names') ?? [],
    bridge: bridgeName(options.instance),
    wanted: options.wanted,
    nodePortRange: options.nodePortRange,
    ownPids: options.ownPids,
    ...readListening(options.wanted),
  };
  return [
    ...planKernel(kernel),
    ...planControlGroups(readControlGroups()),
    ...planSecurity(readSecurity()),
    ...planDisk({ ...readDisk(options.dataDir), trial: disk }),
    ...planNetwork(its),
    ...programs,
    ...planLimits(readLimits()),
    ...planNeighbours(readSockets()),
    ...planTime(readTime(options.nowMs)),
  ];
}

/** Begins the names of directories in which the disk is tried; the process's number follows. */
const TRIAL = '.umiak-doctor-';

async function tryDisk(dataDir: string): Promise<DiskTrial> {
  const nothing = { trustedAttributes: false, userAttributes: false, reflink: false, projectQuota: false };
  let directory: string;
  try {
    const place = nearestExisting(dataDir);
    await clearTrials(place);
    directory = await mkdtemp(join(place, `${TRIAL}${process.pid}-`));
  } catch (error) {
    return { problem: (error as NodeJS.ErrnoException).code ?? 'no directory could be made', ...nothing };
  }
  try {
    await using scratch = openScratch();
    return await scratch.call('tryDisk', directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** What a doctor left that was killed. */
async function clearTrials(place: string): Promise<void> {
  for (const name of await readdir(place)) {
    const pid = Number(name.startsWith(TRIAL) && name.slice(TRIAL.length).split('-')[0]);
    if (pid > 0 && !identify(pid)) await rm(join(place, name), { recursive: true, force: true });
  }
}

async function tryNetwork({ instance, podCidr, serviceCidr }: ExamineOptions): Promise<NetworkTrial> {
  await using scratch = openScratch();
  return await scratch.call('tryNetwork', renderTable({ instance, podCidr, clusterCidr: podCidr, serviceCidr }));
}

/** Undefined where nftables can't be asked; the trial says why. */
async function readForeignDrops(instance: string): Promise<string[] | undefined> {
  await using nft = new NftTransactions();
  return await nft.foreignDrops(instance).catch(() => undefined);
}

function openScratch(): WorkerCalls<ScratchHandlers> {
  return new WorkerCalls<ScratchHandlers>(new URL('./scratch-worker.ts', import.meta.url), { name: 'scratch' });
}
