/** Ranges of a user namespace: files on the disk have its owners as they are outside, images and archives as they are inside. */
export interface OwnerRanges {
  uids: readonly OwnerRange[];
  gids: readonly OwnerRange[];
}

interface OwnerRange {
  containerId: number;
  hostId: number;
  length: number;
}

/** Who an owner on the disk is inside. What has no place there keeps its number, as what was mounted from outside. Pure. */
export function ownerInside({ uids, gids }: OwnerRanges, uid: number, gid: number): { uid: number; gid: number } {
  return { uid: insideOf(uids, uid), gid: insideOf(gids, gid) };
}

/** Who an owner inside is on the disk; undefined when the namespace has none such. Pure. */
export function ownerOutside({ uids, gids }: OwnerRanges, uid: number, gid: number): { uid: number; gid: number } | undefined {
  const [hostUid, hostGid] = [outsideOf(uids, uid), outsideOf(gids, gid)];
  return hostUid === undefined || hostGid === undefined ? undefined : { uid: hostUid, gid: hostGid };
}

function insideOf(ranges: readonly OwnerRange[], id: number): number {
  const range = ranges.find(({ hostId, length }) => id >= hostId && id < hostId + length);
  return range ? id - range.hostId + range.containerId : id;
}

function outsideOf(ranges: readonly OwnerRange[], id: number): number | undefined {
  const range = ranges.find(({ containerId, length }) => id >= containerId && id < containerId + length);
  return range && id - range.containerId + range.hostId;
}
