import { CelError } from '../errors.ts';
import { define, type Overload, scan } from '../overload.ts';
import { OpaqueValue, ValueList, ValueMap } from '../values.ts';

const TYPE = 'kubernetes.URL';
const SHAPE = /^(?:([A-Za-z][A-Za-z0-9+.-]*):(?:\/\/(?:[^/?@]*@)?(\[[^\]/?]*\](?::\d*)?|[^/?:]*(?::\d*)?))?)?([^?]*)(?:\?(.*))?$/;

/** An absolute URI or an absolute path, as Go's `ParseRequestURI` reads it. */
class UrlValue extends OpaqueValue {
  readonly typeName = TYPE;
  readonly text: string;
  readonly scheme: string;
  readonly host: string;
  readonly path: string;
  readonly query: string;
  constructor(text: string, [, scheme = '', host = '', path = '', query = '']: readonly (string | undefined)[]) {
    super();
    this.text = text;
    this.scheme = scheme.toLowerCase();
    this.host = host;
    this.path = path;
    this.query = query;
  }
  equals(other: OpaqueValue): boolean {
    return other instanceof UrlValue && other.text === this.text;
  }
  override toString(): string {
    return this.text;
  }
}

function parse(text: string): UrlValue | undefined {
  const match = /[\p{Cc} ]/u.test(text) ? null : SHAPE.exec(text);
  if (!match || (match[1] === undefined && !text.startsWith('/'))) return undefined;
  if (match[1] !== undefined && match[2] === undefined && !match[3]?.startsWith('/')) return undefined;
  return /%(?![0-9A-Fa-f]{2})/.test(match[3] ?? '') ? undefined : new UrlValue(text, match);
}

function read(text: string): UrlValue {
  const url = parse(text);
  if (!url)
    throw new CelError(
      `URL parse error during conversion from string: parse ${JSON.stringify(text.slice(0, 64))}: invalid URI for request`,
    );
  return url;
}

function queryOf({ query }: UrlValue): ValueMap {
  const values = new Map<string, string[]>();
  for (const [name, value] of new URLSearchParams(query)) values.set(name, [...(values.get(name) ?? []), value]);
  return new ValueMap([...values].map(([name, all]) => [name, new ValueList(all)] as const));
}

const escapedPath = ({ path }: UrlValue) =>
  path.replace(/[^A-Za-z0-9\-._~$&+,/:;=@!'()*%[\]]/gu, character => encodeURIComponent(character));

/** `url('https://…')` and its members. */
export const urls: readonly Overload[] = [
  define(`url(string): ${TYPE}`, read, { cost: scan }),
  define('isURL(string): bool', (text: string) => parse(text) !== undefined, { cost: scan }),
  define(`${TYPE}.getScheme(): string`, ({ scheme }: UrlValue) => scheme),
  define(`${TYPE}.getHost(): string`, ({ host }: UrlValue) => host),
  define(`${TYPE}.getHostname(): string`, ({ host }: UrlValue) => host.replace(/:\d*$/, '').replace(/^\[|\]$/g, '')),
  define(`${TYPE}.getPort(): string`, ({ host }: UrlValue) => /:(\d*)$/.exec(host)?.[1] ?? ''),
  define(`${TYPE}.getEscapedPath(): string`, escapedPath),
  define(`${TYPE}.getQuery(): map<string, list<string>>`, queryOf),
];
