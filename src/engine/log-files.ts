import { readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { basename, dirname } from 'node:path';

/** How many rotated files stay beside the current one. */
const KEPT_ROTATED = 4;
/** The time of the rotation; not compressed, nor the one that conmon is just opening. */
const ROTATED = /^\d{8}-\d{6}(-\d+)?x*$/;

/** A container's log files, oldest first; the current one is last, if it is there. */
export function listLogFiles(logPath: string): string[] {
  const directory = dirname(logPath);
  const name = basename(logPath);
  let names: string[];
  try {
    names = readdirSync(directory);
  } catch {
    return [];
  }
  const rotated = names.filter(candidate => candidate.startsWith(`${name}.`) && ROTATED.test(candidate.slice(name.length + 1))).sort();
  return [...rotated, ...(names.includes(name) ? [name] : [])].map(file => `${directory}/${file}`);
}

/** Renames the current file to `<name>.<time>` and removes the oldest ones. Its writer goes on in the renamed file until told to reopen. */
export function renameLog(logPath: string, nowMs: number): void {
  const time = new Date(nowMs).toISOString().replace(/[-:]/g, '').replace('T', '-').replace('.', '-').slice(0, 19);
  let target = `${logPath}.${time}`;
  while (statSync(target, { throwIfNoEntry: false })) target += 'x';
  renameSync(logPath, target);
  for (const old of listLogFiles(logPath).slice(0, -KEPT_ROTATED)) rmSync(old, { force: true });
}
