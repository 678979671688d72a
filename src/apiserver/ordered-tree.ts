/** Keys a node holds before it splits. */
const WIDTH = 64;

interface Leaf<V> {
  leaf: true;
  owner: object;
  keys: string[];
  values: V[];
}

interface Inner<V> {
  leaf: false;
  owner: object;
  /** `keys[i]` is not above any key of `children[i]`, and above every key of `children[i - 1]`. */
  keys: string[];
  children: Node<V>[];
  count: number;
}

type Node<V> = Leaf<V> | Inner<V>;

/** What both the tree and its snapshots can be asked. */
export interface OrderedView<V> {
  readonly size: number;
  get(key: string): V | undefined;
  /** Values whose keys stand in [from, to), in key order. */
  range(from: string, to: string): Generator<V>;
  /** How many keys stand in [from, to). */
  count(from: string, to: string): number;
}

/**
 * An ordered map of strings whose snapshots cost nothing: after `snapshot()` a change copies the path it touches, and until then it
 * works in place. Nodes are B+-tree nodes; a node that runs empty goes, thin neighbours are joined.
 */
export class OrderedTree<V> implements OrderedView<V> {
  #owner = {};
  #root: Node<V> = { leaf: true, owner: this.#owner, keys: [], values: [] };

  get size(): number {
    return countOf(this.#root);
  }

  get(key: string): V | undefined {
    return find(this.#root, key);
  }

  range(from: string, to: string): Generator<V> {
    return walk(this.#root, from, to);
  }

  count(from: string, to: string): number {
    return rank(this.#root, to) - rank(this.#root, from);
  }

  /** The map as it is now, for as long as the caller keeps it. */
  snapshot(): OrderedView<V> {
    this.#owner = {};
    return new Snapshot(this.#root);
  }

  set(key: string, value: V): void {
    const root = this.#own(this.#root);
    const right = this.#insert(root, key, value);
    this.#root = right
      ? {
          leaf: false,
          owner: this.#owner,
          keys: [firstKey(root), firstKey(right)],
          children: [root, right],
          count: countOf(root) + countOf(right),
        }
      : root;
  }

  delete(key: string): boolean {
    if (find(this.#root, key) === undefined) return false;
    const root = this.#own(this.#root);
    this.#remove(root, key);
    this.#root = root;
    while (!this.#root.leaf && this.#root.children.length === 1) this.#root = this.#root.children[0]!;
    if (!this.#root.leaf && this.#root.children.length === 0) this.#root = { leaf: true, owner: this.#owner, keys: [], values: [] };
    return true;
  }

  #own<N extends Node<V>>(node: N): N {
    if (node.owner === this.#owner) return node;
    return (
      node.leaf
        ? { leaf: true, owner: this.#owner, keys: node.keys.slice(), values: node.values.slice() }
        : { leaf: false, owner: this.#owner, keys: node.keys.slice(), children: node.children.slice(), count: node.count }
    ) as N;
  }

  /** Puts the value under an owned node; gives the new right neighbour when the node had to be split. */
  #insert(node: Node<V>, key: string, value: V): Node<V> | undefined {
    if (node.leaf) {
      const at = lowerBound(node.keys, key);
      if (node.keys[at] === key) {
        node.values[at] = value;
        return undefined;
      }
      node.keys.splice(at, 0, key);
      node.values.splice(at, 0, value);
      if (node.keys.length <= WIDTH) return undefined;
      // Appending at the end is the common case of generated names in order: leave the left node full.
      const cut = at === node.keys.length - 1 ? node.keys.length - 1 : node.keys.length >> 1;
      return { leaf: true, owner: this.#owner, keys: node.keys.splice(cut), values: node.values.splice(cut) };
    }
    const at = childFor(node.keys, key);
    const child = this.#own(node.children[at]!);
    node.children[at] = child;
    const before = countOf(child);
    const right = this.#insert(child, key, value);
    if (key < node.keys[at]!) node.keys[at] = key;
    node.count += countOf(child) - before;
    if (!right) return undefined;
    node.count += countOf(right);
    node.keys.splice(at + 1, 0, firstKey(right));
    node.children.splice(at + 1, 0, right);
    if (node.children.length <= WIDTH) return undefined;
    const cut = at + 1 === node.children.length - 1 ? node.children.length - 1 : node.children.length >> 1;
    const split: Inner<V> = { leaf: false, owner: this.#owner, keys: node.keys.splice(cut), children: node.children.splice(cut), count: 0 };
    for (const moved of split.children) split.count += countOf(moved);
    node.count -= split.count;
    return split;
  }

  #remove(node: Node<V>, key: string): void {
    if (node.leaf) {
      const at = lowerBound(node.keys, key);
      node.keys.splice(at, 1);
      node.values.splice(at, 1);
      return;
    }
    const at = childFor(node.keys, key);
    const child = this.#own(node.children[at]!);
    node.children[at] = child;
    this.#remove(child, key);
    node.count--;
    if (widthOf(child) === 0) {
      node.keys.splice(at, 1);
      node.children.splice(at, 1);
    } else if (widthOf(child) < WIDTH / 4) this.#joinWithNeighbour(node, at);
  }

  #joinWithNeighbour(parent: Inner<V>, at: number): void {
    const left = at > 0 ? at - 1 : at;
    const a = parent.children[left];
    const b = parent.children[left + 1];
    if (!a || !b || a.leaf !== b.leaf || widthOf(a) + widthOf(b) > WIDTH / 2) return;
    const joined = this.#own(a);
    joined.keys.push(...b.keys);
    if (joined.leaf && b.leaf) joined.values.push(...b.values);
    else if (!joined.leaf && !b.leaf) {
      joined.children.push(...b.children);
      joined.count += b.count;
    }
    parent.children.splice(left, 2, joined);
    parent.keys.splice(left + 1, 1);
  }
}

class Snapshot<V> implements OrderedView<V> {
  readonly #root: Node<V>;

  constructor(root: Node<V>) {
    this.#root = root;
  }

  get size(): number {
    return countOf(this.#root);
  }

  get(key: string): V | undefined {
    return find(this.#root, key);
  }

  range(from: string, to: string): Generator<V> {
    return walk(this.#root, from, to);
  }

  count(from: string, to: string): number {
    return rank(this.#root, to) - rank(this.#root, from);
  }
}

function find<V>(root: Node<V>, key: string): V | undefined {
  let node = root;
  while (!node.leaf) node = node.children[childFor(node.keys, key)]!;
  const at = lowerBound(node.keys, key);
  return node.keys[at] === key ? node.values[at] : undefined;
}

function* walk<V>(node: Node<V>, from: string, to: string): Generator<V> {
  if (node.leaf) {
    for (let i = lowerBound(node.keys, from); i < node.keys.length && node.keys[i]! < to; i++) yield node.values[i]!;
    return;
  }
  for (let i = childFor(node.keys, from); i < node.children.length && (i === 0 || node.keys[i]! < to); i++) {
    const child = node.children[i]!;
    if (child.leaf) {
      // Leaves in place: one generator frame for the whole walk of a two-level tree.
      for (let j = lowerBound(child.keys, from); j < child.keys.length && child.keys[j]! < to; j++) yield child.values[j]!;
    } else yield* walk(child, from, to);
  }
}

/** How many keys stand before `key`. */
function rank<V>(root: Node<V>, key: string): number {
  let before = 0;
  let node = root;
  while (!node.leaf) {
    const at = childFor(node.keys, key);
    for (let i = 0; i < at; i++) before += countOf(node.children[i]!);
    node = node.children[at]!;
  }
  return before + lowerBound(node.keys, key);
}

function countOf<V>(node: Node<V>): number {
  return node.leaf ? node.keys.length : node.count;
}

function widthOf<V>(node: Node<V>): number {
  return node.leaf ? node.keys.length : node.children.length;
}

function firstKey<V>(node: Node<V>): string {
  return node.keys[0] ?? '';
}

/** The first place whose key is not below `key`. */
function lowerBound(keys: string[], key: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (keys[middle]! < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The child that holds `key` if any does. */
function childFor(keys: string[], key: string): number {
  let low = 1;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (keys[middle]! <= key) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
