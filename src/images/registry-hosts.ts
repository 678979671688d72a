import { parse, TomlError } from 'smol-toml';
import { UmiakError } from '#base/errors.ts';
import { parseGoDuration } from '#base/go-duration.ts';
import { isObject, setOwn } from '#base/json-object.ts';
import type { HttpHeaders } from './http-client.ts';

export const capabilities = ['pull', 'resolve', 'push'] as const;
/** What a host may be asked for: content by digest, digests by tag, taking content in. */
export type Capability = (typeof capabilities)[number];

/** One host of a `hosts.toml`, as it stands there. */
export interface HostPlan {
  /** Absent in the last one when the file names no `server`: the registry itself. */
  endpoint?: string;
  apiPath?: string;
  capabilities: readonly Capability[];
  caFiles: string[];
  /** Certificate and key; one file that holds both stands twice. */
  clientFiles: [certificate: string, key: string][];
  skipVerify?: boolean;
  headers?: HttpHeaders;
  connectTimeoutMs?: number;
}

const HOST_KEYS = ['capabilities', 'ca', 'client', 'skip_verify', 'header', 'override_path', 'dial_timeout'];

/**
 * The hosts of a registry in the order in which they are asked: its mirrors, last the server (containerd's `hosts.toml`).
 * @throws Invalid naming file, key and what it may be
 */
export function planHosts(text: string, file: string): HostPlan[] {
  const root = parseTable(text, file);
  const refuse: Refuse = (key, must) => {
    throw new UmiakError('Invalid', `${file}: ${key}: ${must}`, {
      details: { causes: [{ reason: 'FieldValueInvalid', message: must, field: key }] },
      hint: 'Correct the file; it is read again by itself.',
    });
  };
  checkKeys(root, ['server', 'host', ...HOST_KEYS], '', refuse);
  const hosts = root.host ?? {};
  if (!isObject(hosts)) return refuse('host', 'must be tables: [host."https://mirror.example"]');
  const mirrors = Object.entries(hosts).map(([name, table]) => {
    const at = `host.${JSON.stringify(name)}`;
    if (!isObject(table)) return refuse(at, `must be a table: [${at}]`);
    checkKeys(table, HOST_KEYS, `${at}.`, refuse);
    return planHost(name, table, { at, prefix: `${at}.`, refuse });
  });
  const server = root.server;
  if (server !== undefined && typeof server !== 'string') return refuse('server', 'must be the address of the registry in quotes');
  return [...mirrors, planHost(server, root, { at: 'server', prefix: '', refuse })];
}

type Table = Record<string, unknown>;

/** @throws Invalid with the line that is no TOML */
function parseTable(text: string, file: string): Table {
  try {
    return parse(text.replace(/^\uFEFF/, ''), { maxDepth: 8 });
  } catch (cause) {
    if (!(cause instanceof TomlError)) throw cause;
    const [message = ''] = cause.message.replace(/^Invalid TOML document: /, '').split('\n');
    throw new UmiakError('Invalid', `${file}: line ${cause.line}: ${message}`, {
      hint: 'Correct the file; it is read again by itself.',
      cause,
    });
  }
}

type Refuse = (key: string, must: string) => never;

interface Place {
  /** The key that holds the address. */
  at: string;
  prefix: string;
  refuse: Refuse;
}

function checkKeys(table: Table, known: readonly string[], prefix: string, refuse: Refuse): void {
  for (const key of Object.keys(table))
    if (!known.includes(key)) refuse(`${prefix}${key}`, `is not known here; there are ${known.join(', ')}`);
}

function planHost(address: string | undefined, table: Table, place: Place): HostPlan {
  const { prefix, refuse } = place;
  const flag = (key: string) => {
    const value = table[key];
    return value === undefined || typeof value === 'boolean' ? value : refuse(`${prefix}${key}`, 'must be true or false');
  };
  const skipVerify = flag('skip_verify');
  const isWholePath = flag('override_path') ?? false;
  const connectTimeoutMs = planTimeout(table.dial_timeout, place);
  const headers = planHeaders(table.header, place);
  return {
    ...(address !== undefined && address !== '' ? planAddress(address, isWholePath, place) : {}),
    capabilities: planCapabilities(table.capabilities, place),
    caFiles: textsOf(table.ca, `${prefix}ca`, place),
    clientFiles: planClient(table.client, place),
    ...(skipVerify !== undefined ? { skipVerify } : {}),
    ...(headers !== undefined ? { headers } : {}),
    ...(connectTimeoutMs !== undefined ? { connectTimeoutMs } : {}),
  };
}

function planAddress(address: string, isWholePath: boolean, { at, refuse }: Place): { endpoint: string; apiPath: string } {
  const text = address.includes('://') ? address : `https://${address}`;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.search || url.hash || url.username || url.password)
    return refuse(at, `must be an address as https://host:port/path, not ${JSON.stringify(address)}`);
  const path = url.pathname.replace(/\/+$/, '');
  // People write the name that references bear; the registry behind it is called otherwise.
  if (url.host === 'docker.io') url.host = 'registry-1.docker.io';
  return { endpoint: url.origin, apiPath: isWholePath || path.endsWith('/v2') ? path : `${path}/v2` };
}

function planCapabilities(value: unknown, place: Place): readonly Capability[] {
  const key = `${place.prefix}capabilities`;
  const named = textsOf(value, key, place).map(
    text =>
      capabilities.find(each => each === text.toLowerCase()) ??
      place.refuse(key, `must be some of ${capabilities.join(', ')}, not ${JSON.stringify(text)}`),
  );
  return named.length > 0 ? named : capabilities;
}

function planClient(value: unknown, { prefix, refuse }: Place): [string, string][] {
  const wrong = () => refuse(`${prefix}client`, 'must be a file with certificate and key, or a list of files or of ["certificate", "key"]');
  return (Array.isArray(value) ? value : value === undefined ? [] : [value]).map(each => {
    const [certificate, key = certificate, more] = Array.isArray(each) ? each : [each];
    if (typeof certificate !== 'string' || typeof key !== 'string' || more !== undefined) return wrong();
    return [certificate, key];
  });
}

function planHeaders(value: unknown, place: Place): HttpHeaders | undefined {
  if (value === undefined) return undefined;
  const { prefix, refuse } = place;
  if (!isObject(value)) return refuse(`${prefix}header`, 'must be a table of names and values');
  const headers: HttpHeaders = {};
  for (const [name, held] of Object.entries(value)) {
    const key = `${prefix}header.${name}`;
    const texts = textsOf(held, key, place);
    if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name) || /^(host|content-length|transfer-encoding|connection|range)$/i.test(name))
      refuse(key, 'is no name of a header that may be set');
    if (!texts.every(text => /^[\t\x20-\x7e\x80-\xff]*$/.test(text))) refuse(key, 'holds a character that no header may hold');
    setOwn(headers, name.toLowerCase(), texts);
  }
  return headers;
}

function planTimeout(value: unknown, { prefix, refuse }: Place): number | undefined {
  if (value === undefined || value === '') return undefined;
  const ms = typeof value === 'string' ? parseGoDuration(value) : undefined;
  return ms !== undefined && ms >= 1 && ms <= 3_600_000
    ? ms
    : refuse(`${prefix}dial_timeout`, 'must be a duration from 1ms to 1h, as "500ms" or "5s"');
}

function textsOf(value: unknown, key: string, { refuse }: Place): string[] {
  const values = Array.isArray(value) ? value : value === undefined ? [] : [value];
  return values.map(each => (typeof each === 'string' ? each : refuse(key, 'must be a text in quotes, or a list of such')));
}
