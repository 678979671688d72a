import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { UmiakError } from '#base/index.ts';

/** One file of a volume that the API's objects fill. */
export interface PayloadFile {
  content: Buffer;
  mode: number;
  /** Owner, where the volume asks for one. */
  uid?: number;
}

/** Files by path relative to the volume's root. */
export type Payload = ReadonlyMap<string, PayloadFile>;

const DATA = '..data';
/** What a group that owns a volume for reading gets of its files, and their owner with it. */
const GROUP_READS = 0o440;

/**
 * Makes `directory` hold exactly `payload`, so that a reader sees either all old files or all new ones: the files lie in a directory of
 * their own, `..data` points to it, and the visible names point through `..data`. Changing `..data` is one rename. It is meant for a
 * directory in memory, where all of this together takes less time than one turn through the thread pool.
 * @param group owns what is written, may read all of it, and is handed on in directories (a pod's fsGroup)
 * @returns true when something changed
 */
export function writeAtomically(directory: string, payload: Payload, group?: number): boolean {
  for (const path of payload.keys()) checkPath(path);
  mkdirSync(directory, { recursive: true, mode: 0o755 });
  giveDirectory(directory, group);
  const current = currentVersion(directory);
  if (current !== undefined && holds(join(directory, current), payload)) {
    linkNames(directory, payload);
    return false;
  }
  const fresh = mkdtempSync(join(directory, `..${stamp()}.`));
  giveDirectory(fresh, group);
  for (const [path, file] of payload) writePayloadFile(path, file, fresh, group);
  const link = join(directory, `${DATA}_tmp`);
  rmSync(link, { force: true });
  symlinkSync(fresh.slice(directory.length + 1), link);
  renameSync(link, join(directory, DATA));
  linkNames(directory, payload);
  removeOldVersions(directory, fresh);
  return true;
}

/** The version before this one, and what a writer that was killed left half made. */
function removeOldVersions(directory: string, current: string): void {
  for (const name of readdirSync(directory))
    if (name.startsWith('..') && name !== DATA && join(directory, name) !== current)
      rmSync(join(directory, name), { recursive: true, force: true });
}

/** Whether a payload was ever written there. */
export function isFilled(directory: string): boolean {
  return currentVersion(directory) !== undefined;
}

function currentVersion(directory: string): string | undefined {
  try {
    return readlinkSync(join(directory, DATA));
  } catch {
    return undefined;
  }
}

function writePayloadFile(path: string, { content, mode, uid }: PayloadFile, root: string, group: number | undefined): void {
  const segments = path.split('/').slice(0, -1);
  for (const depth of segments.keys()) {
    const directory = join(root, ...segments.slice(0, depth + 1));
    mkdirSync(directory, { recursive: true });
    giveDirectory(directory, group);
  }
  const file = join(root, path);
  writeFileSync(file, content, { mode: 0o600 });
  if (uid !== undefined || group !== undefined) chownSync(file, uid ?? 0, group ?? 0);
  chmodSync(file, group === undefined ? mode : mode | GROUP_READS);
}

/** Whoever the container runs as may go through; the files' modes decide. */
function giveDirectory(directory: string, group: number | undefined): void {
  if (group !== undefined) chownSync(directory, 0, group);
  chmodSync(directory, group === undefined ? 0o755 : 0o2755);
}

/** The visible names: one link for each first path segment; names that are no longer there go. */
function linkNames(directory: string, payload: Payload): void {
  const wanted = new Set([...payload.keys()].map(path => path.split('/')[0] ?? path));
  for (const name of readdirSync(directory)) {
    if (name.startsWith('..')) continue;
    if (wanted.has(name)) wanted.delete(name);
    else rmSync(join(directory, name), { recursive: true, force: true });
  }
  for (const name of wanted) symlinkSync(join(DATA, name), join(directory, name));
}

function holds(directory: string, payload: Payload): boolean {
  try {
    const files = readdirSync(directory, { recursive: true, withFileTypes: true }).filter(entry => entry.isFile());
    return (
      files.length === payload.size && [...payload].every(([path, { content }]) => readFileSync(join(directory, path)).equals(content))
    );
  } catch {
    return false;
  }
}

function checkPath(path: string): void {
  const bad = path === '' || path.startsWith('/') || path.split('/').some(part => part === '..' || part === '') || path.startsWith('..');
  if (bad)
    throw new UmiakError('Invalid', `${JSON.stringify(path)} is no path for a file of a volume: it must be relative and without ".."`);
}

function stamp(): string {
  return new Date().toISOString().slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '_');
}
