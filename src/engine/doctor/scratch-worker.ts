import { closeSync, constants, copyFileSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { messageOf } from '#base/errors.ts';
import { serveCalls } from '#base/worker-calls.ts';
import { setExtendedAttribute } from '#linux/extended-attributes.ts';
import { mount, umount } from '#linux/mount.ts';
import { unshareNamespaces } from '#linux/namespaces.ts';
import { createBridge, createVeth, Netlink } from '#linux/netlink.ts';
import { takePrivateMounts } from '#linux/private-mounts.ts';
import { hasProjectQuota } from '#linux/quota.ts';
import { NftTransactions } from '#net/nft-transactions.ts';
import { planOverlayOptions } from '../overlay.ts';

/** What worked on the data directory's file system. */
export interface DiskTrial {
  /** Why nothing could be tried; absent: it could. */
  problem?: string | undefined;
  /** Why an overlay could not be mounted; absent: it could. */
  overlay?: string | undefined;
  trustedAttributes: boolean;
  userAttributes: boolean;
  reflink: boolean;
  projectQuota: boolean;
}

/** Why something of the network did not work; what did is absent. */
export interface NetworkTrial {
  namespace?: string | undefined;
  bridge?: string | undefined;
  veth?: string | undefined;
  nftables?: string | undefined;
}

/**
 * This thread takes a network and mounts of its own, which end with it: nothing that is tried out here is seen outside, or stays.
 * Only the files below `directory` do; who asks removes them.
 */
const handlers = {
  async tryNetwork(ruleset: string): Promise<NetworkTrial> {
    const namespace = failureOf(() => unshareNamespaces(['net']));
    if (namespace !== undefined) return { namespace };
    using netlink = new Netlink();
    const bridge = failureOf(() => netlink.send(createBridge({ name: 'scratch0', mac: '02:00:00:00:00:01' })));
    const veth = failureOf(() => tryVeth(netlink));
    return { bridge, veth, nftables: await tryRules(ruleset) };
  },

  tryDisk(directory: string): DiskTrial {
    const below = (name: string) => `${directory}/${name}`;
    const nothing = { trustedAttributes: false, userAttributes: false, reflink: false, projectQuota: false };
    const problem = failureOf(() => {
      takePrivateMounts();
      for (const name of ['lower', 'upper', 'work', 'merged']) mkdirSync(below(name));
      writeFileSync(below('lower/file'), 'x'.repeat(8192));
    });
    if (problem !== undefined) return { problem, ...nothing };
    return {
      overlay: failureOf(() => tryOverlay(below)),
      trustedAttributes: failureOf(() => setExtendedAttribute(below('lower/file'), 'trusted.umiak', 'x')) === undefined,
      userAttributes: failureOf(() => setExtendedAttribute(below('lower/file'), 'user.umiak', 'x')) === undefined,
      reflink: failureOf(() => copyFileSync(below('lower/file'), below('copy'), constants.COPYFILE_FICLONE_FORCE)) === undefined,
      projectQuota: hasProjectQuota(directory),
    };
  },
};

/** Both ends in this thread's network. */
function tryVeth(netlink: Netlink): void {
  const namespaceFd = openSync('/proc/thread-self/ns/net', constants.O_RDONLY);
  try {
    netlink.send(
      createVeth({ name: 'scratch1', mac: '02:00:00:00:00:02', peer: { name: 'scratch2', mac: '02:00:00:00:00:03', namespaceFd } }),
    );
  } finally {
    closeSync(namespaceFd);
  }
}

/** A file of the lower layer is written to through the overlay. */
function tryOverlay(below: (name: string) => string): void {
  const options = planOverlayOptions({ lowerDirs: [below('lower')], writable: { upper: below('upper'), work: below('work') } });
  mount('overlay', below('merged'), 'overlay', 0, options ?? null);
  try {
    writeFileSync(below('merged/file'), 'y');
  } finally {
    umount(below('merged'), { detach: true });
  }
}

/** Threads inherit the namespaces of the thread that starts them. */
async function tryRules(ruleset: string): Promise<string | undefined> {
  await using nft = new NftTransactions();
  return await nft.apply(ruleset).then(() => undefined, messageOf);
}

function failureOf(attempt: () => void): string | undefined {
  try {
    attempt();
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

export type ScratchHandlers = typeof handlers;

serveCalls(handlers);
