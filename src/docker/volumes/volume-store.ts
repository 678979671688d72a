import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { mkdir, open, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '#base/clock.ts';
import { UmiakError } from '#base/errors.ts';
import { isObject } from '#base/json-object.ts';
import { syncDirectory } from '#images/durable.ts';
import { removeTree } from '#linux/remove-tree.ts';
import { unmountBelow } from '#linux/unmount-below.ts';

/** A volume as it stands on the disk: `<directory>/<name>/volume.json`, its content beside it in `_data`. */
export interface VolumeRecord {
  version: 1;
  name: string;
  createdAtMs: number;
  labels: Record<string, string>;
  options: Record<string, string>;
  /** Nobody gave it a name. */
  isAnonymous?: boolean;
}

/** Where what is being removed waits; no volume's name. */
const GONE = '.gone';
const RECORD = 'volume.json';
const DATA = '_data';
/** What is prepared beside the content, by its beginning. */
export const STAGING = '.filling';
/** Marks a volume that goes at the next start unless a container's record names it by then. */
const UNCLAIMED = '.unclaimed';
const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;
const LONGEST_NAME = 255;
/** Labels and options of one volume. */
const LARGEST_RECORD_BYTES = 1 << 20;

/** @throws BadRequest in docker's words */
export function checkVolumeName(name: string): void {
  const refuse = (why: string) => new UmiakError('BadRequest', `create ${name.slice(0, 512)}: ${why}`);
  if (name.length === 1) throw refuse('volume name is too short, names should be at least two alphanumeric characters');
  if (!NAME.test(name))
    throw refuse(
      `${JSON.stringify(name.slice(0, 512))} includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path`,
    );
  if (name.length > LONGEST_NAME) throw refuse(`a volume's name has at most ${LONGEST_NAME} characters`);
}

/** 64 digits, for a volume that nobody names. */
export function newVolumeName(): string {
  return randomBytes(32).toString('hex');
}

/**
 * The records of volumes. One is there as soon as its record is, whole and durable, and gone as soon as its directory is renamed away; what a
 * kill left half-made or half-removed goes at the next `open`.
 */
export class VolumeStore {
  readonly #directory: string;
  readonly #clock: Clock;
  readonly #records = new Map<string, VolumeRecord>();
  readonly #removals = new Set<Promise<void>>();
  readonly #unclaimed = new Set<string>();
  #isReady = false;

  constructor({ directory, clock }: { directory: string; clock: Clock }) {
    this.#directory = directory;
    this.#clock = clock;
  }

  /** Reads what is there. */
  open(): this {
    for (const name of list(this.#directory)) {
      if (name === GONE) for (const left of list(join(this.#directory, GONE))) this.#removeLater(join(this.#directory, GONE, left));
      else {
        const record = readRecord(join(this.#directory, name, RECORD));
        if (record?.name === name) {
          this.#records.set(name, record);
          for (const left of list(join(this.#directory, name)))
            if (left === UNCLAIMED) this.#unclaimed.add(name);
            else if (left.startsWith(STAGING)) this.#removeLater(this.placeBeside(name, left));
        } else if (NAME.test(name)) this.#removeLater(join(this.#directory, name));
      }
    }
    return this;
  }

  /** Of what is mounted in the containers, or is to be mounted on. */
  dataOf(name: string): string {
    return join(this.#directory, name, DATA);
  }

  /** A directory of the volume that no container sees. */
  placeBeside(name: string, place: string): string {
    return join(this.#directory, name, place);
  }

  get(name: string): VolumeRecord | undefined {
    return this.#records.get(name);
  }

  list(): VolumeRecord[] {
    return [...this.#records.values()];
  }

  /** Volumes that an earlier process marked, until they are claimed or removed. */
  get unclaimed(): ReadonlySet<string> {
    return this.#unclaimed;
  }

  /** Takes the mark of `create` away. */
  claim(name: string): void {
    this.#unclaimed.delete(name);
    rmSync(this.placeBeside(name, UNCLAIMED), { force: true });
  }

  /** On disk when it resolves, with `isUnclaimed` marked to go at the next start. The name must be free. */
  async create(
    what: Pick<VolumeRecord, 'name' | 'labels' | 'options' | 'isAnonymous'>,
    { isUnclaimed = false } = {},
  ): Promise<VolumeRecord> {
    checkVolumeName(what.name);
    const record: VolumeRecord = { version: 1, createdAtMs: this.#clock.now(), ...what };
    const text = JSON.stringify(record);
    if (text.length > LARGEST_RECORD_BYTES)
      throw new UmiakError('BadRequest', `create ${what.name}: labels and options have more than ${LARGEST_RECORD_BYTES} characters`);
    await this.#prepare();
    const directory = join(this.#directory, what.name);
    await mkdir(join(directory, DATA), { recursive: true, mode: 0o755 });
    if (isUnclaimed) await writeFile(join(directory, UNCLAIMED), '');
    const file = await open(join(directory, `${RECORD}.new`), 'w', 0o600);
    try {
      await file.writeFile(text);
      await file.datasync();
    } finally {
      await file.close();
    }
    await rename(join(directory, `${RECORD}.new`), join(directory, RECORD));
    await Promise.all([syncDirectory(directory), syncDirectory(this.#directory)]);
    this.#records.set(what.name, record);
    return record;
  }

  /** Gone when it resolves; its content follows. */
  async remove(name: string): Promise<void> {
    if (!this.#records.has(name)) return;
    await this.#prepare();
    const gone = join(this.#directory, GONE, `${name.slice(0, 200)}-${randomBytes(8).toString('hex')}`);
    await rename(join(this.#directory, name), gone);
    this.#records.delete(name);
    this.#unclaimed.delete(name);
    await Promise.all([syncDirectory(this.#directory), syncDirectory(join(this.#directory, GONE))]);
    this.#removeLater(gone);
  }

  /** Waits for content that is being removed. */
  async settled(): Promise<void> {
    await Promise.all(this.#removals);
  }

  async #prepare(): Promise<void> {
    if (this.#isReady) return;
    await mkdir(join(this.#directory, GONE), { recursive: true, mode: 0o711 });
    this.#isReady = true;
  }

  /** What is left of it when this process ends, the next one removes. */
  #removeLater(path: string): void {
    unmountBelow(path);
    // What can't be removed now, the next start tries again.
    const removal = removeVolume(path).catch(() => {});
    this.#removals.add(removal);
    void removal.finally(() => this.#removals.delete(removal));
  }
}

/** An empty volume costs no process. */
async function removeVolume(path: string): Promise<void> {
  await rm(join(path, RECORD), { force: true });
  await removeTree(join(path, DATA));
  await removeTree(path);
}

function readRecord(path: string): VolumeRecord | undefined {
  try {
    const record: unknown = JSON.parse(readFileSync(path, 'utf8'));
    return isObject(record) && record.version === 1 ? (record as unknown as VolumeRecord) : undefined;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT' || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function list(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
