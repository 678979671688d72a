import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '#base/clock.ts';
import { isUmiakError } from '#base/errors.ts';
import { NFT_REST_MS, NftTransactions } from './nft-transactions.ts';
import { enterTestNetwork } from './test-network.ts';

enterTestNetwork();

test('applies in order, lists, and deletes what may not be there', async () => {
  await using nft = new NftTransactions();
  assert.equal(await nft.list('t'), undefined);
  await Promise.all([nft.apply('add table ip t'), nft.apply('add chain ip t c'), nft.apply('add rule ip t c accept')]);
  assert.match((await nft.list('t'))!, /chain c \{\s+accept\s+\}/);
  await nft.deleteTable('t');
  await nft.deleteTable('t');
  assert.equal(await nft.list('t'), undefined);
});

test('an error names the rule', async () => {
  await using nft = new NftTransactions();
  await assert.rejects(
    nft.apply('add table ip t\nadd rule ip t nowhere accept'),
    error => isUmiakError(error, 'InternalError') && /nowhere/.test(error.message),
  );
  assert.equal(await nft.list('t'), undefined, 'nothing of it took effect');
});

test("names other tables' chains that drop what pods need", async () => {
  await using nft = new NftTransactions();
  await nft.apply(`table ip own { chain a { type filter hook forward priority 0; policy drop; }; }
table ip filter { chain FORWARD { type filter hook forward priority 0; policy drop; }; chain OUTPUT { type filter hook output priority 0; policy drop; }; }
table inet firewall { chain in { type filter hook input priority 0; policy drop; }; chain fine { type filter hook forward priority 5; policy accept; }; }`);
  assert.deepEqual((await nft.foreignDrops('own')).sort(), ['inet firewall in', 'ip filter FORWARD']);
});

test('goes on after its worker has gone to rest', async () => {
  const clock = new ManualClock();
  await using nft = new NftTransactions({ clock });
  await nft.apply('add table ip t');
  clock.advance(NFT_REST_MS);
  await Promise.all([nft.apply('add chain ip t c'), nft.apply('add rule ip t c accept')]);
  clock.advance(NFT_REST_MS - 1);
  assert.match((await nft.list('t'))!, /chain c \{\s+accept\s+\}/);
  clock.advance(NFT_REST_MS);
});
