import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LentLink } from '../network-pool.ts';

/** A link of our network that another runtime asked for. */
export interface LentRecord {
  version: 1;
  /** `making` was not acknowledged: whoever finds it takes it back. */
  phase: 'making' | 'made';
  /** Of the runtime's configuration; GC is about one network. */
  network: string;
  containerId: string;
  link: LentLink;
}

/**
 * Records of lent links, a file each: written before the link is made, removed after it is gone. Not synced: links end with the machine's boot, and a
 * record without its link is dropped at the next start.
 */
export class LentRecords {
  readonly #directory: string;
  readonly #records = new Map<string, LentRecord>();

  /** Reads what a former process wrote. */
  constructor(directory: string) {
    this.#directory = directory;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    for (const name of readdirSync(directory)) {
      const record = parse(readFileSync(join(directory, name), 'utf8'));
      if (record && !name.endsWith('.new')) this.#records.set(keyOf(record.containerId, record.link.ifName), record);
      else rmSync(join(directory, name), { force: true });
    }
  }

  get all(): readonly LentRecord[] {
    return [...this.#records.values()];
  }

  find(containerId: string, ifName: string): LentRecord | undefined {
    return this.#records.get(keyOf(containerId, ifName));
  }

  write(record: LentRecord): void {
    const key = keyOf(record.containerId, record.link.ifName);
    const path = join(this.#directory, key);
    writeFileSync(`${path}.new`, JSON.stringify(record), { mode: 0o600 });
    renameSync(`${path}.new`, path);
    this.#records.set(key, record);
  }

  remove({ containerId, link }: LentRecord): void {
    const key = keyOf(containerId, link.ifName);
    rmSync(join(this.#directory, key), { force: true });
    this.#records.delete(key);
  }
}

function keyOf(containerId: string, ifName: string): string {
  return `${containerId}:${ifName}`;
}

function parse(text: string): LentRecord | undefined {
  try {
    const record = JSON.parse(text) as LentRecord;
    return record.version === 1 ? record : undefined;
  } catch {
    return undefined; // a kill cut it off: its link was never made
  }
}
