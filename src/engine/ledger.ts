import { rmSync, unlinkSync } from 'node:fs';
import { UmiakError } from '#base/errors.ts';
import { removeAtOnce } from '#linux/remove-at-once.ts';
import { isLargeEnvironment, readEnvironment, type Variables, writeEnvironment } from './environment.ts';
import type { EnginePaths } from './paths.ts';
import { type ContainerRecord, type SandboxRecord, syncRecord, writeRecord } from './records.ts';
import { removeTree } from './remove-tree.ts';
import { partsOf } from './snapshotter.ts';

/**
 * The records of all sandboxes and containers, in memory and on the disk. A record is added before what it speaks of is made, and
 * removed, with its directory, after all of that is gone.
 */
export class Ledger {
  readonly #paths: EnginePaths;
  readonly #sandboxes = new Map<string, SandboxRecord>();
  readonly #containers = new Map<string, ContainerRecord>();
  /** What happened and the disk did not take. */
  readonly #unsaved = new Set<string>();

  constructor(paths: EnginePaths) {
    this.#paths = paths;
  }

  /** Takes over what stands on the disk already. */
  adopt({ sandboxes, containers }: { sandboxes: readonly SandboxRecord[]; containers: readonly ContainerRecord[] }): void {
    for (const record of sandboxes) this.#sandboxes.set(record.id, record);
    for (const record of containers) this.#containers.set(record.id, record);
  }

  // ——— sandboxes ———

  sandbox(id: string): SandboxRecord | undefined {
    return this.#sandboxes.get(id);
  }

  sandboxes(): SandboxRecord[] {
    return [...this.#sandboxes.values()];
  }

  /** @throws NotFound, Conflict */
  readySandbox(id: string): SandboxRecord {
    const record = this.#sandboxes.get(id);
    const details = { kind: 'sandbox', name: id };
    if (!record) throw new UmiakError('NotFound', `there is no sandbox ${id}`, { details });
    if (record.phase !== 'ready') throw new UmiakError('Conflict', `sandbox ${id} is not ready`, { details, hint: 'Make a new sandbox.' });
    return record;
  }

  /** One that is ready, or will be when it is started. @throws NotFound, Conflict */
  usableSandbox(id: string): SandboxRecord {
    const record = this.#sandboxes.get(id);
    const isWaiting = record?.config.onDemand && (record.phase === 'notready' || record.phase === 'starting');
    return isWaiting ? record : this.readySandbox(id);
  }

  /** Whether others are in the group of its containers: everything without a parent of its own, and the next sandbox of the same pod. */
  sharesCgroupParent({ id, config: { cgroupParent } }: SandboxRecord): boolean {
    return (
      cgroupParent === undefined ||
      cgroupParent.startsWith('/') ||
      this.sandboxes().some(other => other.id !== id && other.config.cgroupParent === cgroupParent)
    );
  }

  /** @throws when the disk refuses: then nothing that the record speaks of may be begun */
  saveSandbox(record: SandboxRecord): void {
    this.#write(this.#paths.sandbox(record.id), record);
    this.#sandboxes.set(record.id, record);
  }

  /**
   * Records what has happened already, whether the disk takes it or not: a full one must not keep anybody from stopping and removing, and
   * recovery finds out by what is there. False when it is to be written later, with the next record that the disk takes.
   */
  noteSandbox(record: SandboxRecord): boolean {
    return this.#note(record.id, () => this.saveSandbox(record));
  }

  /**
   * Makes the record outlive a loss of power where nobody would ask again. What the node's agent asked for stands in the API's
   * store, what is internal is begun anew.
   */
  async settleSandbox({ id, config }: SandboxRecord): Promise<void> {
    if (config.owner !== 'node' && !config.internal) await syncRecord(this.#paths.sandbox(id));
  }

  async removeSandbox(id: string): Promise<void> {
    await removeSmall(this.#paths.sandbox(id));
    this.#sandboxes.delete(id);
    this.#unsaved.delete(id);
    this.#catchUp();
  }

  // ——— containers ———

  container(id: string): ContainerRecord | undefined {
    return this.#containers.get(id);
  }

  containers(): ContainerRecord[] {
    return [...this.#containers.values()];
  }

  containersOf(sandboxId: string): ContainerRecord[] {
    return this.containers().filter(({ config }) => config.sandboxId === sandboxId);
  }

  /** One that is wholly made. @throws NotFound */
  need(id: string): ContainerRecord {
    const record = this.#containers.get(id);
    if (!record || record.phase === 'creating' || record.phase === 'removing')
      throw new UmiakError('NotFound', `there is no container ${id}`, { details: { kind: 'container', name: id } });
    return record;
  }

  /** @throws NotFound, Conflict */
  needRunning(id: string): ContainerRecord {
    const record = this.need(id);
    if (record.phase !== 'running') throw notRunning(id);
    return record;
  }

  /** Before its first record: many variables go into a file of their own. @throws when the disk refuses */
  setEnvironmentAside(record: ContainerRecord): void {
    const { env, ...config } = record.config;
    if (!env || !isLargeEnvironment(env)) return;
    const directory = this.#paths.container(record.id);
    try {
      writeEnvironment(directory, env);
    } catch (error) {
      throw toDiskError(directory, error);
    }
    record.config = config;
  }

  /** What the configuration said of them, wherever they stand. */
  environmentOf({ id, config }: ContainerRecord): Variables {
    return config.env ?? readEnvironment(this.#paths.container(id));
  }

  /** Like `saveSandbox`. */
  saveContainer(record: ContainerRecord): void {
    this.#write(this.#paths.container(record.id), record);
    this.#containers.set(record.id, record);
  }

  /** Records what is about to be done to it. @throws when the disk refuses: then the record is as it was */
  beginContainer(record: ContainerRecord, change: Partial<ContainerRecord>): void {
    this.saveContainer(Object.assign({ ...record }, change));
    this.#containers.set(record.id, Object.assign(record, change));
  }

  /** Like `noteSandbox`. */
  noteContainer(record: ContainerRecord): boolean {
    return this.#note(record.id, () => this.saveContainer(record));
  }

  /** Like `settleSandbox`. */
  async settleContainer({ id, owner, config }: ContainerRecord): Promise<void> {
    if (owner !== 'node' && !config.internal) await syncRecord(this.#paths.container(id));
  }

  /** A new container's, and with it that of a sandbox on demand. */
  async settleCreated(record: ContainerRecord, sandbox: SandboxRecord): Promise<void> {
    if (record.config.isTransient) return;
    await Promise.all([this.settleContainer(record), ...(sandbox.config.onDemand ? [this.settleSandbox(sandbox)] : [])]);
  }

  /** The record last: while a part of the directory is there, so is what tells to remove it. */
  async removeContainer(id: string): Promise<void> {
    const directory = this.#paths.container(id);
    const { upper, merged, work } = partsOf(directory);
    await Promise.all([removeTree(upper), removeTree(merged), removeSmall(work)]);
    await removeSmall(directory);
    this.#containers.delete(id);
    this.#unsaved.delete(id);
    this.#catchUp();
  }

  /**
   * Records that it goes, or removes the record where the disk has no room for that: either way what a kill leaves of it is cleared away
   * when the engine opens. @throws when the disk refuses even that: then the record is as it was
   */
  beginRemoval(record: SandboxRecord | ContainerRecord): void {
    const directory = 'owner' in record ? this.#paths.container(record.id) : this.#paths.sandbox(record.id);
    try {
      this.#write(directory, { ...record, phase: 'removing' });
    } catch (error) {
      if (!isDiskRefusal(error)) throw error;
      if (!removeFile(`${directory}/record.jsonl`)) throw error;
    }
    record.phase = 'removing';
  }

  #write(directory: string, record: SandboxRecord | ContainerRecord): void {
    try {
      writeRecord(directory, record);
    } catch (error) {
      throw toDiskError(directory, error);
    }
    this.#unsaved.delete(record.id);
    this.#catchUp();
  }

  #note(id: string, save: () => void): boolean {
    try {
      save();
      return true;
    } catch (error) {
      if (!isDiskRefusal(error)) throw error;
      this.#unsaved.add(id);
      return false;
    }
  }

  /** Writes what the disk did not take before. */
  #catchUp(): void {
    for (const id of this.#unsaved) {
      const [container, sandbox] = [this.#containers.get(id), this.#sandboxes.get(id)];
      this.#unsaved.delete(id);
      if (container && !this.noteContainer(container)) return;
      if (sandbox && !this.noteSandbox(sandbox)) return;
    }
  }

  /** Directories without a record. */
  removeNameless({ sandboxes, containers }: { sandboxes: readonly string[]; containers: readonly string[] }): void {
    for (const id of sandboxes) rmSync(this.#paths.sandbox(id), { recursive: true, force: true });
    for (const id of containers) rmSync(this.#paths.container(id), { recursive: true, force: true });
  }
}

const REFUSALS: Readonly<Record<string, [what: string, hint: string]>> = {
  ENOSPC: ['there is no space or no inode left on the disk', 'Free some: remove images, containers or logs.'],
  EDQUOT: ['the disk quota is used up', 'Free some space, or raise the quota.'],
  EROFS: ['the file system is read-only', 'See what made it so (dmesg), and mount it for writing again.'],
  EIO: ['the disk fails', 'See what the kernel says (dmesg).'],
};

/** What is known to have a few files. */
async function removeSmall(directory: string): Promise<void> {
  if (!(await removeAtOnce(directory))) await removeTree(directory);
}

/** A disk that takes nothing, in words. */
function toDiskError(directory: string, error: unknown): unknown {
  const [what, hint] = REFUSALS[(error as NodeJS.ErrnoException).code ?? ''] ?? [];
  return what
    ? new UmiakError('InternalError', `${directory} can not be written: ${what}`, { cause: error, ...(hint ? { hint } : {}) })
    : error;
}

/** False when the disk refuses that too. */
function removeFile(path: string): boolean {
  try {
    unlinkSync(path);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT';
  }
}

function isDiskRefusal(error: unknown): boolean {
  return error instanceof UmiakError && (error.cause as NodeJS.ErrnoException | undefined)?.code !== undefined;
}

export function notRunning(id: string): UmiakError {
  return new UmiakError('Conflict', `container ${id} is not running`, { details: { kind: 'container', name: id } });
}
