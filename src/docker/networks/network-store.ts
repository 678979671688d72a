import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isObject } from '#base/json-object.ts';
import { syncDirectory } from '#images/durable.ts';
import type { NetworkRecord } from './network-record.ts';

const RECORD = /^[0-9a-f]{64}\.json$/;

/** The records of networks, one file each. A network is there as soon as its record is, whole and durable, and gone with it. */
export class NetworkStore {
  readonly #directory: string;
  readonly #records = new Map<string, NetworkRecord>();

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Reads what is there; what a kill left half-written goes. */
  open(): this {
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    for (const file of readdirSync(this.#directory)) {
      const record = RECORD.test(file) ? read(join(this.#directory, file)) : undefined;
      if (record) this.#records.set(record.id, record);
      else if (file.endsWith('.new')) rmSync(join(this.#directory, file), { force: true });
    }
    return this;
  }

  list(): NetworkRecord[] {
    return [...this.#records.values()];
  }

  /** Durable when it resolves. */
  async save(record: NetworkRecord): Promise<void> {
    const path = this.#pathOf(record.id);
    const file = await open(`${path}.new`, 'w', 0o600);
    try {
      await file.writeFile(JSON.stringify(record));
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(`${path}.new`, path);
    await syncDirectory(this.#directory);
    this.#records.set(record.id, record);
  }

  /** From now on it is in no list; its record stays. @returns what shows it again */
  hide(id: string): () => void {
    const record = this.#records.get(id);
    this.#records.delete(id);
    return () => record && this.#records.set(id, record);
  }

  /** Durable when it resolves. Twice is as good as once. */
  async remove(id: string): Promise<void> {
    await rm(this.#pathOf(id), { force: true });
    await syncDirectory(this.#directory);
    this.#records.delete(id);
  }

  #pathOf(id: string): string {
    return join(this.#directory, `${id}.json`);
  }
}

function read(path: string): NetworkRecord | undefined {
  try {
    const record: unknown = JSON.parse(readFileSync(path, 'utf8'));
    return isObject(record) && record.version === 1 ? (record as unknown as NetworkRecord) : undefined;
  } catch {
    return undefined;
  }
}
