import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '#base/ids.ts';
import { OrderedTree, type OrderedView } from './ordered-tree.ts';

const END = '\uffff';
const contents = <V>(view: OrderedView<V>) => [...view.range('', END)];

test('a tree is an ordered map, and its snapshots stay as they were', () => {
  const seed = Date.now() % 1e9;
  const random = seededRandom(seed);
  const tree = new OrderedTree<string>();
  const model = new Map<string, string>();
  const snapshots: { view: OrderedView<string>; keys: string[] }[] = [];
  const sorted = () => [...model.keys()].sort();
  for (let step = 0; step < 30_000; step++) {
    const key = `k${Math.floor(random() * 3000)}`;
    const growing = Math.floor(step / 5000) % 2 === 0;
    if (random() < (growing ? 0.8 : 0.1)) {
      tree.set(key, key);
      model.set(key, key);
    } else assert.equal(tree.delete(key), model.delete(key), `seed ${seed}`);
    if (step % 3000 === 1500) snapshots.push({ view: tree.snapshot(), keys: sorted() });
    if (step % 1000 === 0) {
      assert.deepEqual(contents(tree), sorted(), `seed ${seed} step ${step}`);
      const [from, to] = [`k${Math.floor(random() * 3000)}`, `k${Math.floor(random() * 3000)}`].sort() as [string, string];
      const between = sorted().filter(each => each >= from && each < to);
      assert.deepEqual([...tree.range(from, to)], between, `seed ${seed}`);
      assert.equal(tree.count(from, to), between.length, `seed ${seed}`);
      assert.equal(tree.size, model.size);
    }
  }
  for (const { view, keys } of snapshots) {
    assert.deepEqual(contents(view), keys, `seed ${seed}`);
    assert.equal(view.size, keys.length);
    for (const key of keys) assert.equal(view.get(key), key);
  }
});

test('an emptied tree works again', () => {
  const tree = new OrderedTree<number>();
  for (let i = 0; i < 5000; i++) tree.set(`${i}`, i);
  for (let i = 0; i < 5000; i++) tree.delete(`${i}`);
  assert.equal(tree.size, 0);
  assert.deepEqual(contents(tree), []);
  tree.set('a', 1);
  assert.equal(tree.get('a'), 1);
});
