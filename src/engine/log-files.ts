import { readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { basename, dirname } from 'node:path';

/** How many rotated files stay beside the current one. */
const KEPT_ROTATED = 4;
/** The time of the rotation, as the kubelet's rotated logs have it; compressed or not. */
const ROTATED = /^(\d{8}-\d{6}(?:-\d+)?x*)(\.gz)?$/;
/** What is half made: by conmon, by compression, by a reader that unpacks. */
const UNFINISHED = /^\d{8}-\d{6}(?:-\d+)?x*(\.gz)?\.(tmp|read\w*)$/;

/** A container's log files, oldest first; the current one is last, if it is there. One that is there compressed and not counts once. */
export function listLogFiles(logPath: string): string[] {
  const { rotated, hasCurrent } = look(logPath);
  return [...rotated, ...(hasCurrent ? [logPath] : [])];
}

/** Those that nobody writes any more, and that are not compressed yet: all rotated ones but the newest. */
export function listUncompressed(logPath: string): string[] {
  return look(logPath)
    .rotated.slice(0, -1)
    .filter(file => !isCompressed(file));
}

export function isCompressed(file: string): boolean {
  return file.endsWith('.gz');
}

/** Removes what a killed process left half made. */
export function removeUnfinished(logPath: string): void {
  for (const file of look(logPath).unfinished) rmSync(file, { force: true });
}

/**
 * Renames the current file to `<name>.<time>` and removes the oldest ones, so that `keep` rotated ones stay. Its writer goes on in the
 * renamed file until told to reopen.
 */
export function renameLog(logPath: string, nowMs: number, keep: number = KEPT_ROTATED): void {
  const time = new Date(nowMs).toISOString().replace(/[-:]/g, '').replace('T', '-').replace('.', '-').slice(0, 19);
  let target = `${logPath}.${time}`;
  while (statSync(target, { throwIfNoEntry: false })) target += 'x';
  renameSync(logPath, target);
  const { rotated } = look(logPath);
  for (const old of rotated.slice(0, Math.max(0, rotated.length - keep))) rmSync(old, { force: true });
}

interface Files {
  rotated: string[];
  unfinished: string[];
  hasCurrent: boolean;
}

function look(logPath: string): Files {
  const directory = dirname(logPath);
  const name = basename(logPath);
  const rotated = new Map<string, string>();
  const found: Files = { rotated: [], unfinished: [], hasCurrent: false };
  for (const file of namesIn(directory)) {
    if (file === name) found.hasCurrent = true;
    if (!file.startsWith(`${name}.`)) continue;
    const rest = file.slice(name.length + 1);
    const [, time] = ROTATED.exec(rest) ?? [];
    if (time !== undefined && (!rotated.has(time) || !isCompressed(file))) rotated.set(time, `${directory}/${file}`);
    if (UNFINISHED.test(rest)) found.unfinished.push(`${directory}/${file}`);
  }
  found.rotated = [...rotated].sort(([one], [other]) => (one < other ? -1 : 1)).map(([, file]) => file);
  return found;
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
