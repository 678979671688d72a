import type { UserNamespaceMappings } from '../engine.ts';
import { hostIdOf } from '../user-namespaces.ts';

/** The user namespace whose owners files have. */
export type Owners = UserNamespaceMappings;

/** The overflow id of the kernel: what has no place inside is nobody's. */
const NOBODY = 65_534;

/** Who an owner on the disk is inside. Pure. */
export function ownerInside({ uids, gids }: Owners, uid: number, gid: number): { uid: number; gid: number } {
  return { uid: insideOf(uids, uid), gid: insideOf(gids, gid) };
}

/** Who an owner inside is on the disk; undefined when the namespace has none such. Pure. */
export function hostOwner({ uids, gids }: Owners, uid: number, gid: number): { uid: number; gid: number } | undefined {
  const [hostUid, hostGid] = [hostIdOf(uids, uid), hostIdOf(gids, gid)];
  return hostUid === undefined || hostGid === undefined ? undefined : { uid: hostUid, gid: hostGid };
}

function insideOf(mappings: Owners['uids'], id: number): number {
  const found = mappings.find(({ hostId, length }) => id >= hostId && id < hostId + length);
  return found ? id - found.hostId + found.containerId : NOBODY;
}
