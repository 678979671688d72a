import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigMap } from '#kinds/config-map.ts';
import { startTestCluster } from './test-cluster.ts';

const key = { namespace: 'default', name: 'shared' };

test('a write waits for the commit under way to its object, and is not made in vain', async () => {
  await using cluster = await startTestCluster();
  const { client, store } = cluster;
  const label = (name: string) => client.patch(ConfigMap, key, { metadata: { labels: { [name]: 'yes' } } });
  await client.create(ConfigMap, { kind: 'ConfigMap', apiVersion: 'v1', metadata: key });
  const commit = store.commit.bind(store);
  const results: boolean[] = [];
  let second: ReturnType<typeof label> | undefined;
  store.commit = async transaction => {
    // The other writer comes when the first one's commit has left, and has all the time to be made of what was there before.
    second ??= label('second');
    await new Promise(resolve => setImmediate(resolve));
    const result = await commit(transaction);
    results.push(result.ok);
    return result;
  };
  await label('first');
  assert.deepEqual((await second)?.metadata.labels, { first: 'yes', second: 'yes' });
  assert.deepEqual(results, [true, true]);
});

test('who waited for a commit that failed is not told of its failure', async () => {
  await using cluster = await startTestCluster();
  const { client, store } = cluster;
  const label = (name: string) => client.patch(ConfigMap, key, { metadata: { labels: { [name]: 'yes' } } });
  await client.create(ConfigMap, { kind: 'ConfigMap', apiVersion: 'v1', metadata: key });
  const commit = store.commit.bind(store);
  let second: ReturnType<typeof label> | undefined;
  store.commit = async transaction => {
    if (second) return commit(transaction);
    second = label('second');
    await new Promise(resolve => setImmediate(resolve));
    throw new Error('the disk is gone');
  };
  await assert.rejects(label('first'));
  assert.deepEqual((await second)?.metadata.labels, { second: 'yes' });
});
