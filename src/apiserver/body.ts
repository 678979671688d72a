import { parseDocument } from 'yaml';
import { messageOf, UmiakError } from '#base/errors.ts';
import { checkDepth, MOST_DEPTH, parseJson } from './json-text.ts';
import { parseProtobuf } from './protobuf/envelope.ts';
import { badRequest } from './status.ts';

/** The largest body that is read: upstream's limit. */
export const MOST_BODY_BYTES = 3 << 20;
/** YAML aliases may not blow a small text up to more than this. */
const MOST_ALIASES = 100;

export type BodyType = 'json' | 'yaml' | 'protobuf';

/** Which parser the content type asks for; none means JSON. @throws `UnsupportedMediaType` */
export function bodyTypeOf(contentType: string | undefined): BodyType {
  const type = mediaTypeOf(contentType);
  if (type === '' || type === 'application/json' || type === 'text/plain' || type === 'application/octet-stream') return 'json';
  if (type === 'application/yaml' || type === 'application/x-yaml' || type === 'text/yaml') return 'yaml';
  if (type === 'application/vnd.kubernetes.protobuf') return 'protobuf';
  throw new UmiakError(
    'UnsupportedMediaType',
    `the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf`,
  );
}

/** The type without its parameters, in lower case. */
export function mediaTypeOf(contentType: string | undefined): string {
  if (contentType === undefined || contentType === 'application/json') return contentType ?? '';
  return contentType.split(';', 1)[0]!.trim().toLowerCase();
}

/** The JSON value of a body. @throws `BadRequest` for what does not parse or is too deep */
export function parseBody(bytes: Buffer, type: BodyType): unknown {
  if (type === 'yaml') return parseYaml(bytes);
  if (type === 'protobuf') return parseProtobuf(bytes);
  return parseJson(bytes);
}

function parseYaml(bytes: Buffer): unknown {
  checkDepth(bytes);
  checkIndentation(bytes);
  try {
    const document = parseDocument(bytes.toString(), {
      maxAliasCount: MOST_ALIASES,
      uniqueKeys: true,
      schema: 'core',
      logLevel: 'silent',
    } as object);
    const error = document.errors[0];
    if (error) throw error;
    const value: unknown = document.toJS({ maxAliasCount: MOST_ALIASES });
    // What YAML has and JSON has not (dates, NaN, maps with other keys) becomes JSON here or not at all.
    return value === undefined ? null : JSON.parse(JSON.stringify(value));
  } catch (error) {
    throw badRequest(`couldn't parse the body as YAML: ${messageOf(error).split('\n', 1)[0]}`);
  }
}

/** YAML nests by indentation too (also `- - - -`): no line may begin deeper than the bound. */
function checkIndentation(bytes: Buffer): void {
  let column = 0;
  let dashes = 0;
  let leading = true;
  for (const byte of bytes) {
    if (byte === 0x0a) {
      column = 0;
      dashes = 0;
      leading = true;
    } else if (leading && (byte === 0x20 || byte === 0x2d || byte === 0x3f || byte === 0x3a)) {
      column++;
      if (byte !== 0x20 && ++dashes > 100) throw badRequest('the YAML is nested too deep');
    } else leading = false;
    if (column > 4 * MOST_DEPTH) throw badRequest('the YAML is nested too deep');
  }
}

/** Paths of keys that stand twice in one object of the JSON text (`spec.replicas`). The text parses. */
export function duplicateFields(text: string): string[] {
  const found: string[] = [];
  const stack: { keys?: Set<string>; path: string; index: number }[] = [];
  let path = '';
  let expectKey = false;
  for (let i = 0; i < text.length; i++) {
    const char = text[i];
    const top = stack.at(-1);
    if (char === '"') {
      const start = i;
      for (i++; text[i] !== '"'; i++) if (text[i] === '\\') i++;
      if (!expectKey || !top?.keys) continue;
      const key = JSON.parse(text.slice(start, i + 1)) as string;
      path = top.path ? `${top.path}.${key}` : key;
      if (top.keys.has(key)) found.push(path);
      top.keys.add(key);
      expectKey = false;
    } else if (char === '{') {
      stack.push({ keys: new Set(), path: top && !top.keys ? `${top.path}[${top.index}]` : path, index: 0 });
      expectKey = true;
    } else if (char === '[') {
      stack.push({ path: top && !top.keys ? `${top.path}[${top.index}]` : path, index: 0 });
      expectKey = false;
    } else if (char === '}' || char === ']') {
      stack.pop();
      expectKey = false;
    } else if (char === ',' && top) {
      if (top.keys) expectKey = true;
      else top.index++;
    }
  }
  return found;
}
