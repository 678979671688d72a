/**
 * The shapes of names, as functions that return what is wrong (an empty list: nothing). Lengths are checked first, so that
 * no pattern ever sees a long text.
 */
export type NameCheck = (name: string) => string[];

const LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const LABEL_1035 = /^[a-z]([-a-z0-9]*[a-z0-9])?$/;
const SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const SEARCH_DOMAIN = /^_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*$/;
const QUALIFIED = /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/;

const LABEL_RULE =
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const LABEL_1035_RULE =
  "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN_RULE =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const SEARCH_DOMAIN_RULE =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*')";
const QUALIFIED_RULE =
  "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE_RULE =
  "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const CONFIG_KEY_RULE =
  "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";

/** RFC 1123 label, at most 63. */
export function checkDnsLabel(name: string): string[] {
  if (name.length <= 63 && !LABEL.test(name) && name.includes('.')) return ['must not contain dots'];
  return shaped(name, 63, LABEL, LABEL_RULE);
}

/** RFC 1035 label, at most 63: a Service's name. */
export function checkDns1035Label(name: string): string[] {
  return shaped(name, 63, LABEL_1035, LABEL_1035_RULE);
}

/** RFC 1123 subdomain, at most 253: what most objects are named by. */
export function checkDnsSubdomain(name: string): string[] {
  return shaped(name, 253, SUBDOMAIN, SUBDOMAIN_RULE);
}

/** A subdomain whose labels may have underscores: what resolvers search in. */
export function checkSearchDomain(name: string): string[] {
  return shaped(name, 253, SEARCH_DOMAIN, SEARCH_DOMAIN_RULE);
}

/** What may stand in a URL's path: the names of roles and bindings. */
export function checkPathSegment(name: string): string[] {
  if (name === '.' || name === '..') return [`may not be '${name}'`];
  return ['/', '%'].filter(char => name.includes(char)).map(char => `may not contain '${char}'`);
}

/** `name` or `prefix/name`: keys of labels and annotations, finalizers, resource names. */
export function checkQualifiedName(text: string): string[] {
  const parts = text.length <= 512 ? text.split('/') : [];
  const name = parts.length === 2 ? parts[1]! : parts[0]!;
  if (parts.length !== 1 && parts.length !== 2)
    return [`a qualified name ${QUALIFIED_RULE} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`];
  const prefix = parts.length === 2 ? parts[0]! : undefined;
  const wrong: string[] = [];
  if (prefix === '') wrong.push('prefix part must be non-empty');
  else if (prefix !== undefined) wrong.push(...shaped(prefix, 253, SUBDOMAIN, SUBDOMAIN_RULE, 'bytes').map(why => `prefix part ${why}`));
  if (name === '') wrong.push('name part must be non-empty');
  else if (name.length > 63) wrong.push('name part must be no more than 63 bytes');
  if (name.length <= 63 && !QUALIFIED.test(name)) wrong.push(`name part ${QUALIFIED_RULE}`);
  return wrong;
}

/** A label's value: empty, or shaped like a name, at most 63. */
export function checkLabelValue(value: string): string[] {
  if (value === '') return [];
  return shaped(value, 63, QUALIFIED, LABEL_VALUE_RULE, 'bytes');
}

/** A key in a ConfigMap or Secret: also a file's name. */
export function checkConfigKey(key: string): string[] {
  const wrong = shaped(key, 253, /^[-._a-zA-Z0-9]+$/, CONFIG_KEY_RULE);
  if (key === '.') wrong.push("must not be '.'");
  else if (key === '..') wrong.push("must not be '..'");
  else if (key.startsWith('..')) wrong.push("must not start with '..'");
  return wrong;
}

/** An environment variable's name: printable ASCII without `=`. */
export function checkEnvVarName(name: string): string[] {
  if (name === '') return ['environment variable name must not be empty'];
  return /^[ -<>-~]+$/.test(name)
    ? []
    : ["a valid environment variable name must consist only of printable ASCII characters other than '='"];
}

/** A port's name: an IANA service name, at most 15. */
export function checkPortName(name: string): string[] {
  if (name.length > 15) return ['must be no more than 15 characters'];
  const wrong: string[] = [];
  if (!/^[-a-z0-9]+$/.test(name)) wrong.push('must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)');
  if (!/[a-z]/.test(name)) wrong.push('must contain at least one letter (a-z)');
  if (name.includes('--')) wrong.push('must not contain consecutive hyphens');
  if (name.startsWith('-') || name.endsWith('-')) wrong.push('must not begin or end with a hyphen');
  return wrong;
}

/** A port's number. */
export function checkPortNumber(port: number): string[] {
  return port >= 1 && port <= 65535 ? [] : ['must be between 1 and 65535, inclusive'];
}

/** A path that stays below its root. */
export function checkRelativePath(path: string): string[] {
  if (path.startsWith('/')) return ['must be a relative path'];
  return path.split('/').includes('..') ? ["must not contain '..'"] : [];
}

/** An address that IPv4 or IPv6 knows, without leading zeros. */
export function isIp(text: string): boolean {
  return isIpv4(text) || isIpv6(text);
}

/** What is wrong with an address. */
export function checkIp(text: string): string[] {
  if (isIp(text)) return isMappedIpv4(text) ? ['must not be an IPv4-mapped IPv6 address'] : [];
  const isPadded = /^\d{1,3}(?:\.\d{1,3}){3}$/.test(text) && isIpv4(text.replace(/\b0+(?=\d)/g, ''));
  return [isPadded ? 'must not have leading 0s' : 'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'];
}

function isMappedIpv4(text: string): boolean {
  return text.includes(':') && new URL(`http://[${text}]/`).hostname.startsWith('[::ffff:');
}

/** `10.0.0.1` */
export function isIpv4(text: string): boolean {
  return /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/.test(text);
}

/** `fd00::1`, without a zone. */
export function isIpv6(text: string): boolean {
  return text.length <= 45 && text.includes(':') && !text.includes('%') && URL.canParse(`http://[${text}]/`);
}

/** `10.0.0.0/8`, `fd00::/8` */
export function isCidr(text: string): boolean {
  const [address = '', bits = '', ...more] = text.split('/');
  if (more.length > 0 || !/^(?:0|[1-9]\d{0,2})$/.test(bits)) return false;
  return isIpv4(address) ? Number(bits) <= 32 : isIpv6(address) && Number(bits) <= 128;
}

function shaped(name: string, longest: number, shape: RegExp, rule: string, unit: 'characters' | 'bytes' = 'characters'): string[] {
  if (name.length > longest) return [`must be no more than ${longest} ${unit}`];
  return shape.test(name) ? [] : [rule];
}
