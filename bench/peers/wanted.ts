/** Peers that are measured in this run only when asked for, because they are built or installed first: `PEERS=kubernetes,docker` or `PEERS=all`. */
export type Peer = 'kubernetes' | 'docker';

export function hasPeer(peer: Peer, wanted: string | undefined = process.env.PEERS): boolean {
  const names = (wanted ?? '').split(/[ ,]+/).filter(Boolean);
  return names.includes('all') || names.includes(peer);
}
