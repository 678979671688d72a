import { open, readFile, rename } from 'node:fs/promises';
import { parse, stringify } from 'yaml';
import { messageOf, UmiakError } from '#base/errors.ts';
import { isObject } from '#base/json-object.ts';
import { absent } from './content-store.ts';
import type { LockedPackage } from './debian-packages.ts';

/** `FILE.lock`: with the file itself, all that decides an assembled image's bytes. */
export interface AssembleLock {
  version: 1;
  architecture: string;
  /** No time in the image is later, seconds since the epoch. */
  sourceDate: number;
  /** The packages the file asked for when this was resolved. */
  asked: string[];
  packages: LockedPackage[];
}

/** Whether the lock answers what the file asks for. */
export function isLockFor(lock: AssembleLock, packages: readonly string[], architecture: string): boolean {
  return lock.architecture === architecture && JSON.stringify([...packages].sort()) === JSON.stringify([...lock.asked].sort());
}

/** @throws Invalid when it is there and damaged. */
export async function readLock(path: string): Promise<AssembleLock | undefined> {
  const text = await readFile(path, 'utf8').catch(absent);
  if (text === undefined) return undefined;
  const refuse = (why: string) => new UmiakError('Invalid', `the lock ${path}: ${why}`, { hint: 'Remove it, and it is made anew.' });
  let lock: unknown;
  try {
    lock = parse(text);
  } catch (error) {
    throw refuse(messageOf(error));
  }
  if (!isObject(lock) || lock.version !== 1) throw refuse('version must be 1');
  if (
    typeof lock.architecture !== 'string' ||
    !Number.isSafeInteger(lock.sourceDate) ||
    !Array.isArray(lock.asked) ||
    !Array.isArray(lock.packages)
  )
    throw refuse('needs architecture, sourceDate, asked and packages');
  for (const [i, item] of lock.packages.entries())
    if (!isLockedPackage(item)) throw refuse(`packages[${i}] needs name, version, architecture, sha256 and sizeBytes`);
  return lock as unknown as AssembleLock;
}

/** Whole or not at all. */
export async function writeLock(path: string, lock: AssembleLock): Promise<void> {
  const text = `# Made by "umiak image assemble". The same lock gives the same bytes; --update renews it.\n${stringify(lock, { lineWidth: 0 })}`;
  const file = await open(`${path}.new`, 'w', 0o644);
  await file
    .writeFile(text)
    .then(() => file.sync())
    .finally(() => file.close());
  await rename(`${path}.new`, path);
}

function isLockedPackage(value: unknown): value is LockedPackage {
  if (!isObject(value)) return false;
  const { name, version, architecture, sha256, sizeBytes } = value;
  return (
    typeof name === 'string' &&
    /^[a-z0-9][a-z0-9+.-]*$/.test(name) &&
    typeof version === 'string' &&
    typeof architecture === 'string' &&
    typeof sha256 === 'string' &&
    /^[0-9a-f]{64}$/.test(sha256) &&
    typeof sizeBytes === 'number'
  );
}
