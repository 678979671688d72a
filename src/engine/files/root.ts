import { closeSync, constants, existsSync, mkdirSync, openSync, realpathSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { UmiakError } from '#base/errors.ts';
import { enterRoot, insideRoot, takeOwnRoot } from '#linux/confinement.ts';
import { MS_BIND, MS_RDONLY, MS_REC, MS_REMOUNT, mount, umount } from '#linux/mount.ts';
import { pivotInto } from '#linux/private-mounts.ts';
import { identify } from '#linux/process.ts';
import { enterCopy } from '#linux/visited-mounts.ts';

/** Whose files are to be seen. */
export type Root =
  /** As a running process sees them, with its mounts. */
  | { kind: 'process'; pid: number; startTime: number }
  /** A directory. */
  | { kind: 'directory'; path: string }
  /** A mounted root file system and volumes in it, which nobody else sees. */
  | { kind: 'mounts'; path: string; mounts: VisitedMount[] };

/** A volume, as the container has it. */
export interface VisitedMount {
  source: string;
  destination: string;
  readOnly?: boolean;
}

const O_PATH = 0o10000000;

/**
 * Takes this thread to where nothing but those files can be reached, whatever links say and whoever changes them meanwhile; disposing brings it
 * back. In between only synchronous calls see them. Worker threads only.
 * @throws Conflict when the process has ended
 */
export function enter(root: Root): Disposable {
  if (root.kind === 'process') return enterProcess(root);
  if (root.kind === 'mounts') return enterCopy({ prepare: () => showMounts(root.path, root.mounts) });
  takeOwnRoot();
  using opened = new DisposableStack();
  const open = (path: string) => opened.adopt(openSync(path, constants.O_DIRECTORY | O_PATH), closeSync);
  const own = open('/');
  enterRoot(open(root.path));
  opened.defer(() => enterRoot(own));
  return opened.move();
}

/** In a copy of its mount table, so that nothing there can change while it is looked at but the files. */
function enterProcess({ pid, startTime }: { pid: number; startTime: number }): Disposable {
  const ended = (cause?: unknown) => new UmiakError('Conflict', 'the container has just ended', { cause, hint: 'Try again.' });
  let namespace: number;
  try {
    namespace = openSync(`/proc/${pid}/ns/mnt`, constants.O_RDONLY);
  } catch (error) {
    throw ended(error);
  }
  try {
    // Its number may be another's by now.
    if (identify(pid)?.startTime !== startTime) throw ended();
    return enterCopy({ of: namespace });
  } finally {
    closeSync(namespace);
  }
}

/** All else is taken out, so that nobody's unmounting is held up. */
function showMounts(path: string, mounts: readonly VisitedMount[]): void {
  mount(path, path, null, MS_BIND);
  const parentsFirst = [...mounts].sort((a, b) => a.destination.length - b.destination.length);
  for (const { source, destination, readOnly = false } of parentsFirst) {
    if (!existsSync(source)) continue;
    const isDirectory = statSync(source).isDirectory();
    const target = insideRoot(path, () => openMountPoint(destination, isDirectory));
    try {
      const shown = readOnly ? sealed(source) : undefined;
      mount(source, `/proc/self/fd/${target}`, null, MS_BIND | MS_REC);
      shown?.[Symbol.dispose]();
    } finally {
      closeSync(target);
    }
  }
  pivotInto(path);
}

/** Makes what is bound from there until it is disposed read-only. */
function sealed(source: string): Disposable {
  const place = realpathSync.native(source);
  mount(place, place, null, MS_BIND | MS_REC);
  mount('none', place, null, MS_BIND | MS_REMOUNT | MS_RDONLY);
  return { [Symbol.dispose]: () => umount(place, { detach: true }) };
}

/** Made where it is missing, as a start would: directories, or an empty file to mount one on. */
function openMountPoint(destination: string, isDirectory: boolean): number {
  if (!existsSync(destination)) {
    mkdirSync(isDirectory ? destination : dirname(destination), { recursive: true, mode: 0o755 });
    if (!isDirectory) writeFileSync(destination, '', { flag: 'wx', mode: 0o644 });
  }
  return openSync(destination, O_PATH);
}
