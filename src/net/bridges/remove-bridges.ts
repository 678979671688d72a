import { Netlink } from '#linux/netlink.ts';
import { readLinkAliases } from '#linux/netlink-bridge.ts';
import { deleteTogether } from '../bridge.ts';
import type { NftTransactions } from '../nft-transactions.ts';
import { bridgeAlias, bridgeTableName, endpointPrefix } from './link-names.ts';

/** Deletes all networks of people's own that an instance ever made, with their endpoints and published ports. Without any, nothing happens. */
export async function removeBridges(instance: string, nft: NftTransactions): Promise<void> {
  using netlink = new Netlink();
  const names = new Set(ownBridges(readLinkAliases(netlink), instance));
  const prefix = endpointPrefix(instance);
  deleteTogether(
    netlink,
    netlink.links().filter(({ name }) => names.has(name) || name.startsWith(prefix)),
  );
  await nft.deleteTable(bridgeTableName(instance), 'inet');
}

/** Of links and the notes on them, those that an instance made. Pure. */
function ownBridges(aliases: ReadonlyMap<string, string>, instance: string): string[] {
  return [...aliases].flatMap(([name, alias]) => (alias.startsWith(bridgeAlias(instance)) ? [name] : []));
}
