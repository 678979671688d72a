/**
 * A set of field paths in the very form `managedFields` has on the wire (FieldsV1), so that nothing is converted on the way of a
 * write. Keys are path elements: `f:name` (a field or map key), `k:{"name":"x"}` (an item of a list by its keys), `v:"x"` (an item of a
 * set), `i:0`. Below an element stand the elements of the paths that go on; the element itself is in the set when nothing
 * does, or when `.` stands among them. The set as a whole is never an element: `{}` is the empty set.
 */
export interface FieldSet {
  [element: string]: FieldSet;
}

const SELF = '.';

export function isEmpty(set: FieldSet): boolean {
  for (const _ in set) return false;
  return true;
}

/** Whether a node is in the set itself, not only something below it. */
export function isMember(node: FieldSet): boolean {
  return node[SELF] !== undefined || isEmpty(node);
}

/** A node that is in the set itself and holds what `below` holds. `below` may be changed. */
export function asMember(below: FieldSet): FieldSet {
  if (isEmpty(below) || below[SELF] !== undefined) return below;
  return { [SELF]: {}, ...below };
}

/** What is in either. Shares nodes with both. */
export function union(a: FieldSet, b: FieldSet): FieldSet {
  if (isEmpty(a)) return b;
  if (isEmpty(b)) return a;
  const result: FieldSet = { ...a };
  for (const element in b) {
    const [left, right] = [a[element], b[element]!];
    result[element] = left === undefined ? right : element === SELF ? left : unionNode(left, right);
  }
  return result;
}

function unionNode(a: FieldSet, b: FieldSet): FieldSet {
  if (a === b) return a;
  const both = union(a, b);
  return isMember(a) || isMember(b) ? asMember(both === a || both === b ? { ...both } : both) : both;
}

/** What is in `a` and not in `b`. Shares nodes with `a`; gives `a` itself when nothing goes. */
export function difference(a: FieldSet, b: FieldSet): FieldSet {
  let result: FieldSet | undefined;
  for (const element in b) {
    const left = a[element];
    if (left === undefined || element === SELF) continue;
    const rest = differenceNode(left, b[element]!);
    if (rest === left) continue;
    result ??= { ...a };
    if (rest === undefined) delete result[element];
    else result[element] = rest;
  }
  return result ?? a;
}

function differenceNode(a: FieldSet, b: FieldSet): FieldSet | undefined {
  const stays = isMember(a) && !isMember(b);
  const below = difference(a, b);
  if (below[SELF] === undefined) return stays || !isEmpty(below) ? below : undefined;
  const { [SELF]: _self, ...rest } = below;
  if (isEmpty(rest)) return stays ? rest : undefined;
  return stays ? below : rest;
}

/** What is in both. */
export function intersection(a: FieldSet, b: FieldSet): FieldSet {
  const result: FieldSet = {};
  for (const element in b) {
    const left = a[element];
    if (left === undefined || element === SELF) continue;
    const right = b[element]!;
    const below = intersection(left, right);
    if (isMember(left) && isMember(right)) result[element] = asMember(below);
    else if (!isEmpty(below)) result[element] = below;
  }
  return result;
}

/** Whether both hold the same. */
export function isEqual(a: FieldSet, b: FieldSet): boolean {
  return a === b || (isSubset(a, b) && isSubset(b, a));
}

/** Whether all of `a` is in `b`. */
export function isSubset(a: FieldSet, b: FieldSet): boolean {
  for (const element in a) {
    if (element === SELF) continue;
    const [left, right] = [a[element]!, b[element]];
    if (right === undefined || (isMember(left) && !isMember(right)) || !isSubset(left, right)) return false;
  }
  return true;
}

/** Calls `visit` with each path of the set, as its elements. */
export function eachPath(set: FieldSet, visit: (path: readonly string[]) => void, path: string[] = []): void {
  for (const element in set) {
    if (element === SELF) continue;
    const node = set[element]!;
    path.push(element);
    if (isMember(node)) visit(path);
    eachPath(node, visit, path);
    path.pop();
  }
}

/** The same set with its elements in the order in which they are written: equal sets have equal texts. Gives `set` itself when they stand so already. */
export function sorted(set: FieldSet): FieldSet {
  let inOrder = true;
  let changed: FieldSet | undefined;
  let previous = '';
  for (const element in set) {
    if (element < previous) inOrder = false;
    previous = element;
    const node = set[element]!;
    const below = sorted(node);
    if (below === node) continue;
    changed ??= { ...set };
    changed[element] = below;
  }
  const result = changed ?? set;
  return inOrder ? result : Object.fromEntries(Object.entries(result).sort(([a], [b]) => (a < b ? -1 : 1)));
}
