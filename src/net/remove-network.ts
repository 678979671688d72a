import { deleteLinks } from './bridge.ts';
import { removeBridges } from './bridges/remove-bridges.ts';
import { NftTransactions } from './nft-transactions.ts';
import { removePins } from './pins.ts';

/**
 * Deletes everything this room ever made for an instance: pinned namespaces, links, bridges, nftables tables. Found by name, so that it also works
 * after the processes that made them were killed. Without anything, nothing happens.
 */
export async function removeNetwork({ instance, runDir }: { instance: string; runDir: string }): Promise<void> {
  removePins(runDir);
  deleteLinks(instance);
  await using nft = new NftTransactions();
  await nft.deleteTable(instance);
  await removeBridges(instance, nft);
}
