import { existsSync, mkdirSync, readFileSync, renameSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { messageOf, UmiakError } from '#base/errors.ts';
import { withLock } from './lock.ts';
import { MS_NOATIME, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY, MS_RELATIME, MS_REMOUNT, mount, umount } from './mount.ts';
import { readMountTable } from './mount-table.ts';

/** What we change of the machine itself, so that the last one to leave can undo it. */
export interface KernelChanges {
  /** Mounts a file system, making the directory where there is none; nothing happens where that type is mounted already. */
  mount(target: string, options: { source: string; type: string; options: string[] }): Promise<void>;
  /** Changes a mount's options; both lists are whole, as `mount -o remount` takes them. */
  remount(target: string, oldOptions: string[], newOptions: string[]): Promise<void>;
  /** Writes a sysctl by its path below `/proc/sys`, e.g. `net/ipv4/ip_forward`. */
  sysctl(path: string, value: string): Promise<void>;
}

export type KernelChange = { holders: string[] } & (
  | { kind: 'mount'; target: string; type: string; madeDirectory: boolean }
  | { kind: 'remount'; target: string; before: string[]; after: string[] }
  | { kind: 'sysctl'; target: string; before: string; after: string }
);

export interface KernelChangeJournalOptions {
  /** Who holds the changes: the instance. */
  holder: string;
  /** One for the whole machine, gone after a reboot as the changes are. */
  directory?: string;
}

/**
 * The machine's changes in a file, each with its old value and its holders. Written before a change is made; a holder asks for the same
 * change any number of times. What was as wanted before any of us came is not recorded and never undone.
 */
export class KernelChangeJournal implements KernelChanges {
  readonly #holder: string;
  readonly #directory: string;

  constructor({ holder, directory = '/run/umiak-kernel-changes' }: KernelChangeJournalOptions) {
    this.#holder = holder;
    this.#directory = directory;
  }

  /** All changes of this machine by any holder. */
  changes(): KernelChange[] {
    return this.#locked(() => this.#read());
  }

  async mount(target: string, { source, type, options }: { source: string; type: string; options: string[] }): Promise<void> {
    this.#make(
      'mount',
      target,
      () => !isMounted(target, type),
      () => ({ kind: 'mount', target, type, madeDirectory: !existsSync(target), holders: [] }),
      () => {
        mkdirSync(target, { recursive: true });
        const { flags, data } = toFlags(options);
        mount(source, target, type, flags, data);
      },
    );
  }

  async remount(target: string, oldOptions: string[], newOptions: string[]): Promise<void> {
    this.#make(
      'remount',
      target,
      () => !hasOptions(target, newOptions),
      () => ({ kind: 'remount', target, before: oldOptions, after: newOptions, holders: [] }),
      () => remount(target, newOptions),
    );
  }

  async sysctl(path: string, value: string): Promise<void> {
    const file = `/proc/sys/${path}`;
    this.#make(
      'sysctl',
      path,
      () => readSysctl(file) !== value,
      () => ({ kind: 'sysctl', target: path, before: readSysctl(file), after: value, holders: [] }),
      () => writeFileSync(file, value),
    );
  }

  /**
   * Gives up this holder's changes, newest first; what nobody else holds goes back to what it was, unless somebody changed it since.
   * @throws UmiakError when one could not be undone; it stays recorded
   */
  async undoAll(): Promise<void> {
    const failures: string[] = [];
    this.#locked(() => {
      const kept: KernelChange[] = [];
      for (const change of this.#read().reverse()) {
        const holders = change.holders.filter(holder => holder !== this.#holder);
        if (holders.length > 0) {
          kept.unshift({ ...change, holders });
          continue;
        }
        try {
          undo(change);
        } catch (error) {
          failures.push(`${change.kind} ${change.target}: ${messageOf(error)}`);
          kept.unshift(change);
        }
      }
      this.#write(kept);
    });
    if (failures.length > 0) throw new UmiakError('InternalError', `changes of the machine could not be undone: ${failures.join('; ')}`);
  }

  #make(kind: KernelChange['kind'], target: string, isNeeded: () => boolean, plan: () => KernelChange, apply: () => void): void {
    this.#locked(() => {
      const changes = this.#read();
      let change = changes.find(candidate => candidate.kind === kind && candidate.target === target);
      if (!change) {
        if (!isNeeded()) return;
        change = plan();
        changes.push(change);
      }
      if (!change.holders.includes(this.#holder)) change.holders.push(this.#holder);
      this.#write(changes);
      if (isNeeded()) apply();
    });
  }

  #locked<T>(work: () => T): T {
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    return withLock(`${this.#directory}/lock`, work);
  }

  #read(): KernelChange[] {
    const file = `${this.#directory}/changes.json`;
    if (!existsSync(file)) return [];
    const { bootId, changes } = JSON.parse(readFileSync(file, 'utf8')) as { bootId: string; changes: KernelChange[] };
    return bootId === readBootId() ? changes : [];
  }

  #write(changes: KernelChange[]): void {
    const file = `${this.#directory}/changes.json`;
    if (changes.length === 0) {
      rmSync(file, { force: true });
      return;
    }
    writeFileSync(`${file}.new`, JSON.stringify({ bootId: readBootId(), changes }, undefined, 2), { mode: 0o600 });
    renameSync(`${file}.new`, file);
  }
}

function undo(change: KernelChange): void {
  switch (change.kind) {
    case 'mount':
      if (isMounted(change.target, change.type)) umount(change.target);
      if (change.madeDirectory && existsSync(change.target)) rmdirSync(change.target);
      return;
    case 'remount':
      if (hasOptions(change.target, change.after)) remount(change.target, change.before);
      return;
    case 'sysctl': {
      const file = `/proc/sys/${change.target}`;
      if (readSysctl(file) === change.after) writeFileSync(file, change.before);
    }
  }
}

function isMounted(target: string, type: string): boolean {
  return readMountTable().some(entry => entry.target === target && entry.type === type);
}

/** Options that say "not" never show in the mount table. */
function hasOptions(target: string, options: readonly string[]): boolean {
  const entry = readMountTable().findLast(candidate => candidate.target === target);
  return (
    entry !== undefined &&
    options.filter(option => !option.startsWith('no') || NEGATIONS.has(option)).every(option => entry.options.includes(option))
  );
}

const NEGATIONS = new Set(['nosuid', 'nodev', 'noexec', 'noatime']);

function remount(target: string, options: readonly string[]): void {
  const { flags, data } = toFlags(options);
  mount('none', target, null, flags | MS_REMOUNT, data);
}

const FLAGS: Record<string, number> = {
  ro: MS_RDONLY,
  rw: 0,
  nosuid: MS_NOSUID,
  nodev: MS_NODEV,
  noexec: MS_NOEXEC,
  noatime: MS_NOATIME,
  relatime: MS_RELATIME,
};

function toFlags(options: readonly string[]): { flags: number; data: string | null } {
  const data = options.filter(option => FLAGS[option] === undefined);
  return { flags: options.reduce((flags, option) => flags | (FLAGS[option] ?? 0), 0), data: data.length > 0 ? data.join(',') : null };
}

function readSysctl(file: string): string {
  return readFileSync(file, 'utf8').trim();
}

function readBootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}
