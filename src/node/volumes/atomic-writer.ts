import { chmod, chown, mkdir, mkdtemp, readdir, readFile, readlink, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { UmiakError } from '#base/index.ts';

/** One file of a volume that the API's objects fill. */
export interface PayloadFile {
  content: Buffer;
  mode: number;
  /** Owner, where the volume asks for one. */
  uid?: number;
  gid?: number;
}

/** Files by path relative to the volume's root. */
export type Payload = ReadonlyMap<string, PayloadFile>;

const DATA = '..data';

/**
 * Makes `directory` hold exactly `payload`, so that a reader sees either all old files or all new ones: the files lie in a directory of
 * their own, `..data` points to it, and the visible names point through `..data`. Changing `..data` is one rename.
 * @returns true when something changed
 */
export async function writeAtomically(directory: string, payload: Payload): Promise<boolean> {
  for (const path of payload.keys()) checkPath(path);
  await mkdir(directory, { recursive: true, mode: 0o755 });
  const current = await readlink(join(directory, DATA)).catch(() => undefined);
  if (current !== undefined && (await holds(join(directory, current), payload))) {
    await linkNames(directory, payload);
    return false;
  }
  const fresh = await mkdtemp(join(directory, `..${stamp()}.`));
  // Whoever the container runs as may go through; the files' modes decide.
  await chmod(fresh, 0o755);
  await Promise.all([...payload].map(([path, file]) => writePayloadFile(join(fresh, path), file, fresh)));
  const link = join(directory, `${DATA}_tmp`);
  await rm(link, { force: true });
  await symlink(fresh.slice(directory.length + 1), link);
  await rename(link, join(directory, DATA));
  await linkNames(directory, payload);
  await removeOldVersions(directory, fresh);
  return true;
}

/** The version before this one, and what a writer that was killed left half made. */
async function removeOldVersions(directory: string, current: string): Promise<void> {
  const old = (await readdir(directory)).filter(name => name.startsWith('..') && name !== DATA && join(directory, name) !== current);
  await Promise.all(old.map(name => rm(join(directory, name), { recursive: true, force: true })));
}

/** Whether a payload was ever written there. */
export async function isFilled(directory: string): Promise<boolean> {
  return (await readlink(join(directory, DATA)).catch(() => undefined)) !== undefined;
}

async function writePayloadFile(path: string, { content, mode, uid, gid }: PayloadFile, root: string): Promise<void> {
  if (dirname(path) !== root) await mkdir(dirname(path), { recursive: true, mode: 0o755 });
  await writeFile(path, content, { mode });
  await chmod(path, mode);
  if (uid !== undefined || gid !== undefined) await chown(path, uid ?? 0, gid ?? 0);
}

/** The visible names: one link for each first path segment; names that are no longer there go. */
async function linkNames(directory: string, payload: Payload): Promise<void> {
  const wanted = new Set([...payload.keys()].map(path => path.split('/')[0] ?? path));
  for (const name of await readdir(directory)) {
    if (name.startsWith('..')) continue;
    if (wanted.has(name)) wanted.delete(name);
    else await rm(join(directory, name), { recursive: true, force: true });
  }
  await Promise.all([...wanted].map(name => symlink(join(DATA, name), join(directory, name))));
}

async function holds(directory: string, payload: Payload): Promise<boolean> {
  const present = await readdir(directory, { recursive: true, withFileTypes: true }).catch(() => []);
  const files = present.filter(entry => entry.isFile());
  if (files.length !== payload.size) return false;
  for (const [path, { content }] of payload) {
    const there = await readFile(join(directory, path)).catch(() => undefined);
    if (!there?.equals(content)) return false;
  }
  return true;
}

function checkPath(path: string): void {
  const bad = path === '' || path.startsWith('/') || path.split('/').some(part => part === '..' || part === '') || path.startsWith('..');
  if (bad)
    throw new UmiakError('Invalid', `${JSON.stringify(path)} is no path for a file of a volume: it must be relative and without ".."`);
}

function stamp(): string {
  return new Date().toISOString().slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '_');
}
