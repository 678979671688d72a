import { rmSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { UmiakError } from '#base/errors.ts';
import type { EnginePaths } from './paths.ts';
import { type ContainerRecord, type SandboxRecord, syncRecord, writeRecord } from './records.ts';

/**
 * The records of all sandboxes and containers, in memory and on the disk. A record is added before what it speaks of is made, and
 * removed, with its directory, after all of that is gone.
 */
export class Ledger {
  readonly #paths: EnginePaths;
  readonly #sandboxes = new Map<string, SandboxRecord>();
  readonly #containers = new Map<string, ContainerRecord>();

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

  /** Whether others are in the group of its containers: everything without a parent of its own, and the next sandbox of the same pod. */
  sharesCgroupParent({ id, config: { cgroupParent } }: SandboxRecord): boolean {
    return cgroupParent === undefined || this.sandboxes().some(other => other.id !== id && other.config.cgroupParent === cgroupParent);
  }

  saveSandbox(record: SandboxRecord): void {
    writeRecord(this.#paths.sandbox(record.id), record);
    this.#sandboxes.set(record.id, record);
  }

  /**
   * Makes the record outlive a loss of power where nobody would ask again. What the node's agent asked for stands in the API's store.
   */
  async settleSandbox({ id, config }: SandboxRecord): Promise<void> {
    if (config.owner !== 'node') await syncRecord(this.#paths.sandbox(id));
  }

  async removeSandbox(id: string): Promise<void> {
    await rm(this.#paths.sandbox(id), { recursive: true, force: true });
    this.#sandboxes.delete(id);
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

  saveContainer(record: ContainerRecord): void {
    writeRecord(this.#paths.container(record.id), record);
    this.#containers.set(record.id, record);
  }

  /** Like `settleSandbox`. */
  async settleContainer({ id, owner }: ContainerRecord): Promise<void> {
    if (owner !== 'node') await syncRecord(this.#paths.container(id));
  }

  /** The record last: while a part of the directory is there, so is what tells to remove it. */
  async removeContainer(id: string): Promise<void> {
    const directory = this.#paths.container(id);
    for (const part of ['upper', 'work', 'merged']) await rm(`${directory}/${part}`, { recursive: true, force: true });
    await rm(directory, { recursive: true, force: true });
    this.#containers.delete(id);
  }

  /** Directories without a record. */
  removeNameless({ sandboxes, containers }: { sandboxes: readonly string[]; containers: readonly string[] }): void {
    for (const id of sandboxes) rmSync(this.#paths.sandbox(id), { recursive: true, force: true });
    for (const id of containers) rmSync(this.#paths.container(id), { recursive: true, force: true });
  }
}

export function notRunning(id: string): UmiakError {
  return new UmiakError('Conflict', `container ${id} is not running`, { details: { kind: 'container', name: id } });
}
