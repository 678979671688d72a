const MAX_LINKS = 255;

/**
 * Where a path leads, as a process would find it whose root is the top of a file system: links followed, the last one too, and never above.
 * `meet` looks at a place on the way: a string is the target of a link, `false` ends the way. Undefined: nowhere, or round and round. Pure but for
 * `meet`.
 */
export function followLinks(path: string, meet: (place: string) => string | boolean): string | undefined {
  const ahead = path.split('/').filter(Boolean).reverse();
  const at: string[] = [];
  let links = 0;
  for (let next = ahead.pop(); next !== undefined; next = ahead.pop()) {
    if (next === '.') continue;
    if (next === '..') {
      at.pop();
      continue;
    }
    const met = meet([...at, next].join('/'));
    if (met === false) return undefined;
    if (met === true) {
      at.push(next);
      continue;
    }
    if (++links > MAX_LINKS) return undefined;
    if (met.startsWith('/')) at.length = 0;
    ahead.push(...met.split('/').filter(Boolean).reverse());
  }
  return at.join('/');
}
