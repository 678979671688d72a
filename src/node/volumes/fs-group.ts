import { chmodSync, chownSync, closeSync, constants, fstatSync, type Stats } from 'node:fs';
import { opendir, stat } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { openBelow } from '#linux/open-below.ts';

const O_PATH = 0o10000000;
/** After so many files others have their turn. */
const FILES_A_TURN = 256;

/**
 * Gives the files of a volume to a group, which may read and write them; what is made in its directories later is the group's too. With
 * `OnRootMismatch` only if the volume's own directory is not so yet. What stands there belongs to containers, who may swap files for links
 * at any moment: so each is opened below the volume, and exactly what was opened is changed.
 */
export async function giveToGroup(volume: string, gid: number, policy = 'Always'): Promise<void> {
  const root = await stat(volume);
  if (policy === 'OnRootMismatch' && root.gid === gid && (root.mode | modeFor(root)) === root.mode) return;
  let files = 0;
  if (root.isDirectory()) {
    for await (const entry of await opendir(volume, { recursive: true })) {
      if (!entry.isDirectory() && !entry.isFile()) continue;
      giveOne(volume, relative(volume, join(entry.parentPath, entry.name)), gid);
      if (++files % FILES_A_TURN === 0) await new Promise(resolve => setImmediate(resolve));
    }
  }
  // Last, since it says that all is done.
  giveOne(volume, '.', gid);
}

function giveOne(volume: string, path: string, gid: number): void {
  const opened = openBelow(volume, path, O_PATH | constants.O_NOFOLLOW);
  if (opened === undefined) return;
  try {
    const stats = fstatSync(opened);
    if (!stats.isDirectory() && !stats.isFile()) return;
    const mode = (stats.mode | modeFor(stats)) & 0o7777;
    if (stats.gid !== gid) chownSync(`/proc/self/fd/${opened}`, stats.uid, gid);
    // A change of owner takes these bits away.
    if (stats.gid !== gid || mode !== (stats.mode & 0o7777)) chmodSync(`/proc/self/fd/${opened}`, mode);
  } finally {
    closeSync(opened);
  }
}

/** What the group needs: to read and write, and in directories to pass and to hand the group on. */
function modeFor(stats: Stats): number {
  return stats.isDirectory() ? 0o2770 : 0o660;
}
