const RESERVED = new Set(
  'true false null in as break const continue else for function if import let loop package namespace return var void while'.split(' '),
);
const ESCAPES: readonly (readonly [string, string])[] = [
  ['__', '__underscores__'],
  ['.', '__dot__'],
  ['-', '__dash__'],
  ['/', '__slash__'],
];

/** The name by which expressions reach a property, as Kubernetes escapes it; undefined when it can't be reached by a name. */
export function escapeField(property: string): string | undefined {
  if (RESERVED.has(property)) return `__${property}__`;
  if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(property) && !property.includes('__')) return property;
  if (!/^[A-Za-z_./-][A-Za-z0-9_./-]*$/.test(property)) return undefined;
  let escaped = '';
  for (let at = 0; at < property.length; ) {
    const hit = ESCAPES.find(([text]) => property.startsWith(text, at));
    escaped += hit ? hit[1] : property[at];
    at += hit ? hit[0].length : 1;
  }
  return escaped;
}
