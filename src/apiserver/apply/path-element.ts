/** A key of a list's items, with what stands for it when an item has none. */
export interface ListKey {
  name: string;
  preset?: unknown;
}

/** `f:name`. */
export function fieldElement(name: string): string {
  return `f:${name}`;
}

/** `k:{"name":"x"}` of a list's item; `keys` in the order of their names. Undefined when the item has none of them. */
export function keyElement(item: unknown, keys: readonly ListKey[]): string | undefined {
  if (typeof item !== 'object' || item === null || Array.isArray(item)) return undefined;
  let text = '';
  for (const { name, preset } of keys) {
    const value = (item as Record<string, unknown>)[name] ?? preset;
    if (value !== undefined) text += `${text ? ',' : ''}"${name}":${goJson(value)}`;
  }
  return text ? `k:{${text}}` : undefined;
}

/** `v:"x"` of a set's item; undefined for what no set can hold. */
export function valueElement(item: unknown): string | undefined {
  return typeof item === 'object' || item === undefined ? undefined : `v:${goJson(item)}`;
}

/** The element as it stands here, whoever wrote it; undefined when it is none. */
export function canonicalElement(element: string): string | undefined {
  const rest = element.slice(2);
  try {
    switch (element.slice(0, 2)) {
      case 'f:':
        return element;
      case 'v:':
        return valueElement(JSON.parse(rest));
      case 'i:':
        return /^\d{1,9}$/.test(rest) ? element : undefined;
      case 'k:': {
        const item: unknown = JSON.parse(rest);
        if (typeof item !== 'object' || item === null) return undefined;
        const names = Object.keys(item).sort();
        return keyElement(
          item,
          names.map(name => ({ name })),
        );
      }
    }
  } catch {
    return undefined;
  }
  return undefined;
}

/** `.spec.containers[name="web"].image`: a path as conflicts tell it. */
export function pathText(path: readonly string[]): string {
  return path.map(elementText).join('');
}

function elementText(element: string): string {
  const rest = element.slice(2);
  switch (element[0]) {
    case 'f':
      return `.${rest}`;
    case 'v':
      return `[=${rest}]`;
    case 'k':
      return `[${Object.entries(JSON.parse(rest) as object)
        .map(([name, value]) => `${name}=${goJson(value)}`)
        .join(',')}]`;
    default:
      return `[${rest}]`;
  }
}

/** Strings that JSON writes as they are, whoever writes it. */
const PLAIN = /^[\w.:/ -]*$/;

/** JSON as Go writes it: clients compare and repeat these texts. */
function goJson(value: unknown): string {
  if (typeof value === 'string' && PLAIN.test(value)) return `"${value}"`;
  return JSON.stringify(value).replace(/[<>&\u2028\u2029]/g, char => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
