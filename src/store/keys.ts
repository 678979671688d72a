import type { Transaction } from './store.ts';

/**
 * The first key, in byte order of UTF-8, after all keys with `prefix`; undefined when there is none (the empty prefix).
 * UTF-8's byte order is the order of code points, so the last code point is counted up, over the surrogates' gap.
 */
export function prefixEnd(prefix: string): string | undefined {
  const points = Array.from(prefix, character => character.codePointAt(0)!);
  for (let last = points.pop(); last !== undefined; last = points.pop()) {
    if (last === 0x10ffff) continue;
    points.push(last === 0xd7ff ? 0xe000 : last + 1);
    return String.fromCodePoint(...points);
  }
  return undefined;
}

/** Why `key` can't be a key, if it can't. */
export function keyProblem(key: string): string | undefined {
  if (key === '') return 'a key must not be empty';
  if (!key.isWellFormed()) return 'a key must be well-formed Unicode';
  if (key.includes('\0')) return 'a key must not hold NUL';
  return undefined;
}

/** Why `transaction` can't be one, if it can't. */
export function planRefusal({ conditions = [], writes }: Transaction): string | undefined {
  for (const { key } of conditions) {
    const problem = keyProblem(key);
    if (problem) return problem;
  }
  for (const { key } of writes) {
    const problem = keyProblem(key);
    if (problem) return problem;
  }
  if (writes.length > 1 && new Set(writes.map(({ key }) => key)).size < writes.length) return 'a transaction writes a key twice';
  return undefined;
}
