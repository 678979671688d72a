import {
  closeSync,
  existsSync,
  fdatasync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { UmiakError } from '#base/errors.ts';
import type { ProcessIdentity } from '#linux/process.ts';
import type { Container, ContainerConfig, Owner, Sandbox, SandboxConfig } from './engine.ts';
import { environmentFiles } from './environment.ts';
import type { ImageDefaults, Pins, SandboxNetwork } from './ports.ts';
import { stopSignalNameOf } from './stop-signal.ts';

/** Room for some thirty changes; then the last one alone stays. */
const MAX_RECORD_BYTES = 64 << 10;

/** `creating` and `removing` are half-made: whoever finds them in a record cleans them away; `starting` goes back to `notready`. */
export type SandboxPhase = 'creating' | 'starting' | 'ready' | 'notready' | 'removing';

export interface SandboxRecord {
  version: 1;
  id: string;
  config: SandboxConfig;
  phase: SandboxPhase;
  createdAtMs: number;
  /** The boot in which its namespaces were made. */
  bootId: string;
  /** Taken from the pool. */
  network?: SandboxNetwork;
  /** Namespaces pinned for a sandbox without a pod network. */
  pins?: Pins;
  /** Another sandbox's, which this one shares. */
  joinedNetns?: string;
  /** The IPC namespace of another sandbox. */
  joinedIpc?: string;
  /** What CNI plugins gave it. */
  addresses?: string[];
  /** Its pause container, if it shares one PID namespace. */
  pauseId?: string;
}

/** `starting` was not acknowledged yet: rolled back, unless it runs. */
export type ContainerPhase = 'creating' | 'created' | 'starting' | 'running' | 'exited' | 'removing';

export interface ContainerRecord {
  version: 1;
  id: string;
  owner: Owner;
  config: ContainerConfig;
  imageId: string;
  imageRef: string;
  imageConfig: ImageDefaults;
  lowerDirs: string[];
  phase: ContainerPhase;
  createdAtMs: number;
  logPath: string;
  cgroupPath: string;
  /** The handler's name. */
  runtime: string;
  /** Holds a shared PID namespace open; nobody's container. */
  isPause?: boolean;
  /** As the image and the configuration say, when it was made. */
  user?: NonNullable<Container['user']>;
  /** The last start. */
  bootId?: string;
  isPaused?: boolean;
  /** It is paused for something that this process does, and ends with it: the next one lets it go on. */
  isHeld?: boolean;
  monitor?: ProcessIdentity;
  /** The container's first process. */
  init?: ProcessIdentity;
  startedAtMs?: number;
  finishedAtMs?: number;
  exitCode?: number;
  reason?: string;
  message?: string;
}

/** What callers see of a record. */
export function toSandbox(record: SandboxRecord): Sandbox {
  const { id, config, phase, createdAtMs } = record;
  const [address, ...more] = addressesOf(record);
  const state = phase === 'ready' ? 'ready' : 'notready';
  const netns = netnsOf(record);
  return {
    id,
    config,
    state,
    createdAtMs,
    ...(address !== undefined ? { address, addresses: [address, ...more] } : {}),
    ...(netns !== undefined ? { netns } : {}),
  };
}

/** Where a sandbox's network namespace is; absent: the host's, or none yet. */
export function netnsOf({ network, pins, joinedNetns }: SandboxRecord): string | undefined {
  return network?.path ?? pins?.net ?? joinedNetns;
}

/** Where a sandbox's IPC namespace is pinned; undefined for the machine's. */
export function ipcnsOf({ config, network, pins, joinedIpc }: SandboxRecord): string | undefined {
  return config.ipc === 'host' ? undefined : (joinedIpc ?? network?.ipc ?? pins?.ipc);
}

/** A sandbox's addresses, from the pool or from CNI plugins. */
export function addressesOf({ network, addresses = [] }: SandboxRecord): string[] {
  return network ? [network.address] : addresses;
}

/** What callers see of a record. */
export function toContainer(record: ContainerRecord): Container {
  const { id, owner, config, imageId, imageRef, phase, createdAtMs, logPath } = record;
  // One that is started anew has ended until it runs.
  const hasEnded = phase === 'exited' || (phase === 'starting' && record.finishedAtMs !== undefined);
  const state = phase === 'running' ? 'running' : hasEnded ? 'exited' : 'created';
  const container: Container = { id, owner, config, imageId, imageRef, state, createdAtMs, logPath, stopSignal: stopSignalNameOf(record) };
  if (record.user) container.user = record.user;
  if (record.startedAtMs !== undefined) container.startedAtMs = record.startedAtMs;
  if (state === 'running' && record.init !== undefined) container.pid = record.init.pid;
  if (state === 'running' && record.isPaused) container.isPaused = true;
  if (state !== 'exited') return container;
  if (record.finishedAtMs !== undefined) container.finishedAtMs = record.finishedAtMs;
  if (record.exitCode !== undefined) container.exitCode = record.exitCode;
  if (record.reason !== undefined) container.reason = record.reason;
  if (record.message !== undefined) container.message = record.message;
  return container;
}

/**
 * Adds the record as it is now to `<directory>/record.jsonl`, whose last whole line counts: whole or not at all, whenever this process
 * is killed. Adding is what a file system does quickest; replacing a file makes ext4 write the new one's data out at once.
 */
export function writeRecord(directory: string, record: SandboxRecord | ContainerRecord): void {
  const line = Buffer.from(`\n${JSON.stringify(record)}`);
  const fd = openRecord(directory);
  try {
    if (fstatSync(fd).size < MAX_RECORD_BYTES) {
      writeFileSync(fd, line);
      return;
    }
  } finally {
    closeSync(fd);
  }
  writeFileSync(`${directory}/record.jsonl.new`, line, { mode: 0o600 });
  renameSync(`${directory}/record.jsonl.new`, `${directory}/record.jsonl`);
}

function openRecord(directory: string): number {
  const open = () => openSync(`${directory}/record.jsonl`, 'a', 0o600);
  try {
    return open();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    mkdirSync(directory, { mode: 0o711 });
    return open();
  }
}

/** Makes the record as it is now outlive a loss of power too. */
export async function syncRecord(directory: string): Promise<void> {
  // All at once: a file system's journal takes them in one.
  await Promise.all([`${directory}/record.jsonl`, ...environmentFiles(directory), directory, dirname(directory)].map(syncPath));
}

const dataSync = promisify(fdatasync);

async function syncPath(path: string): Promise<void> {
  const fd = openSync(path, 'r');
  try {
    await dataSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** All records below `directory`, and the names of directories without one (half-made or half-removed). */
export function readRecords<T extends SandboxRecord | ContainerRecord>(directory: string): { records: T[]; nameless: string[] } {
  const records: T[] = [];
  const nameless: string[] = [];
  for (const name of existsSync(directory) ? readdirSync(directory) : []) {
    const record = readRecord<T>(`${directory}/${name}`);
    if (record) records.push(record);
    else nameless.push(name);
  }
  return { records, nameless };
}

/** What `writeRecord` wrote last, but for a line that a kill or a loss of power cut off. @throws Invalid for a newer format */
export function readRecord<T extends SandboxRecord | ContainerRecord>(directory: string): T | undefined {
  const file = `${directory}/record.jsonl`;
  const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n').filter(Boolean).reverse() : [];
  const record = lines.map(line => parseRecord<T>(line)).find(parsed => parsed !== undefined);
  if (record && record.version !== 1)
    throw new UmiakError('Invalid', `${file} has format ${record.version}, which a newer version of Umiak wrote`, {
      hint: 'Start the newer version, or move the data directory away.',
    });
  return record;
}

function parseRecord<T>(text: string): T | undefined {
  try {
    return JSON.parse(text) as T;
  } catch {
    return undefined;
  }
}

/** What a sandbox's pinned namespaces are called. */
export function pinIdOf({ id }: SandboxRecord): string {
  return id.slice(0, 16);
}
