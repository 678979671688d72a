import { chmod, lchown, lstat, readdir } from 'node:fs/promises';
import type { UserNamespaceMappings } from './engine.ts';
import { hostIdOf } from './user-namespaces.ts';

const SET_ID_BITS = 0o6000;

/**
 * Gives everything below `directory` the owner on the machine that its owner is inside; what has no place in the mapping stays. What
 * already has one is left, so that twice is as good as once. Does not leave the file system it is on by links, never follows one.
 */
export async function shiftOwners(directory: string, { uids, gids }: UserNamespaceMappings): Promise<void> {
  const first = Math.min(...[...uids, ...gids].map(({ hostId }) => hostId));
  const shift = async (path: string): Promise<void> => {
    const stat = await lstat(path);
    const { uid, gid, mode } = stat;
    if (uid < first || gid < first) {
      await lchown(path, hostIdOf(uids, uid) ?? uid, hostIdOf(gids, gid) ?? gid);
      // A change of owner takes these away.
      if (mode & SET_ID_BITS && !stat.isSymbolicLink()) await chmod(path, mode & 0o7777);
    }
    if (!stat.isDirectory()) return;
    for (const name of await readdir(path)) await shift(`${path}/${name}`);
  };
  await shift(directory);
}
