import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { UmiakError } from '#base/errors.ts';
import type { ProcessIdentity } from '#linux/process.ts';
import type { Container, ContainerConfig, Owner, Sandbox, SandboxConfig } from './engine.ts';
import type { ImageDefaults, PinKind, SandboxNetwork } from './ports.ts';

/** `creating` and `removing` are half-made: whoever finds them in a record cleans them away. */
export type SandboxPhase = 'creating' | 'ready' | 'notready' | 'removing';

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
  pins?: Partial<Record<PinKind, string>>;
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
  runtime: 'crun' | 'runc';
  /** Holds a shared PID namespace open; nobody's container. */
  isPause?: boolean;
  /** The last start. */
  bootId?: string;
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
export function toSandbox({ id, config, phase, createdAtMs, network }: SandboxRecord): Sandbox {
  return { id, config, state: phase === 'ready' ? 'ready' : 'notready', createdAtMs, ...(network ? { address: network.address } : {}) };
}

/** What callers see of a record. */
export function toContainer(record: ContainerRecord): Container {
  const { id, owner, config, imageId, imageRef, phase, createdAtMs, logPath } = record;
  const state = phase === 'running' ? 'running' : phase === 'exited' ? 'exited' : 'created';
  const container: Container = { id, owner, config, imageId, imageRef, state, createdAtMs, logPath };
  if (record.startedAtMs !== undefined) container.startedAtMs = record.startedAtMs;
  if (state === 'running' && record.init !== undefined) container.pid = record.init.pid;
  if (state !== 'exited') return container;
  if (record.finishedAtMs !== undefined) container.finishedAtMs = record.finishedAtMs;
  if (record.exitCode !== undefined) container.exitCode = record.exitCode;
  if (record.reason !== undefined) container.reason = record.reason;
  if (record.message !== undefined) container.message = record.message;
  return container;
}

/** Writes `<directory>/record.json` whole or not at all, whenever this process is killed. */
export function writeRecord(directory: string, record: SandboxRecord | ContainerRecord): void {
  mkdirSync(directory, { recursive: true, mode: 0o711 });
  const temporary = `${directory}/record.json.new`;
  writeFileSync(temporary, JSON.stringify(record), { mode: 0o600 });
  renameSync(temporary, `${directory}/record.json`);
}

/** Makes the record as it is now outlive a loss of power too. */
export async function syncRecord(directory: string): Promise<void> {
  for (const path of [`${directory}/record.json`, directory, dirname(directory)]) {
    const handle = await open(path);
    try {
      await handle.datasync();
    } finally {
      await handle.close();
    }
  }
}

/** All records below `directory`, and the names of directories without one (half-made or half-removed). */
export function readRecords<T extends SandboxRecord | ContainerRecord>(directory: string): { records: T[]; nameless: string[] } {
  const records: T[] = [];
  const nameless: string[] = [];
  if (!existsSync(directory)) return { records, nameless };
  for (const name of readdirSync(directory)) {
    const file = `${directory}/${name}/record.json`;
    if (!existsSync(file)) {
      nameless.push(name);
      continue;
    }
    const record = parseRecord<T>(readFileSync(file, 'utf8'));
    if (!record) {
      nameless.push(name);
      continue;
    }
    if (record.version !== 1)
      throw new UmiakError('Invalid', `${file} has format ${record.version}, which a newer version of Umiak wrote`, {
        hint: 'Start the newer version, or move the data directory away.',
      });
    records.push(record);
  }
  return { records, nameless };
}

/** Undefined for what a power loss left of a record that was not synced. */
function parseRecord<T>(text: string): T | undefined {
  try {
    return JSON.parse(text) as T;
  } catch {
    return undefined;
  }
}
