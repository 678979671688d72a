import { UmiakError } from '#base/errors.ts';
import type { Pod } from '#kinds/types.gen.ts';

/** Whom a proxied request goes to. */
export interface ProxyTarget {
  scheme: 'http' | 'https';
  host: string;
  port: number;
}

/** `[SCHEME:]NAME[:PORT]`, as the paths of proxies name pods and services. @throws `BadRequest` */
export function parseProxyName(text: string): { scheme: 'http' | 'https'; name: string; port: string } {
  const parts = text.split(':');
  const [first = '', second = '', third = ''] = parts;
  if (parts.length > 3) throw invalidName(text);
  if (parts.length === 1) return { scheme: 'http', name: first, port: '' };
  if (parts.length === 2 && first !== 'http' && first !== 'https') return { scheme: 'http', name: first, port: second };
  if (first !== 'http' && first !== 'https' && first !== '') throw invalidName(text);
  return { scheme: first === 'https' ? 'https' : 'http', name: second, port: third };
}

function invalidName(text: string): UmiakError {
  return new UmiakError('BadRequest', `invalid pod or service name ${JSON.stringify(text.slice(0, 300))}: it is [scheme:]name[:port]`);
}

/** The pod's address and the port meant: by number, by name, or the first that its containers have. @throws `BadRequest` */
export function planPodTarget(pod: Pod, { scheme, port }: { scheme: 'http' | 'https'; port: string }): ProxyTarget {
  const { name } = pod.metadata;
  const host = pod.status?.podIPs?.[0]?.ip ?? pod.status?.podIP;
  if (!host) throw new UmiakError('BadRequest', `pod ${name} does not have an address yet`);
  const ports = pod.spec.containers.flatMap(container => container.ports ?? []);
  const wanted = port === '' ? (ports[0]?.containerPort ?? 80) : (ports.find(each => each.name === port)?.containerPort ?? toPort(port));
  if (wanted === undefined) throw new UmiakError('BadRequest', `pod ${name} has no port ${JSON.stringify(port)}`);
  return { scheme, host, port: wanted };
}

function toPort(text: string): number | undefined {
  return /^\d{1,5}$/.test(text) && Number(text) > 0 && Number(text) < 65_536 ? Number(text) : undefined;
}

/** What of the request goes on: nothing that says who the caller is, nothing that is about this connection. */
const KEPT_BACK = new Set([
  ...['authorization', 'connection', 'keep-alive', 'proxy-authenticate', 'proxy-authorization', 'proxy-connection', 'te', 'trailer'],
  ...['transfer-encoding', 'upgrade', 'content-length', 'expect', 'http2-settings', 'host'],
]);

/** The headers of a proxied request or of its answer. */
export function passedHeaders(headers: Readonly<Record<string, string | string[] | undefined>>): Record<string, string> {
  const passed = Object.entries(headers).filter(
    ([name, value]) => value !== undefined && !name.startsWith(':') && !KEPT_BACK.has(name) && !name.startsWith('impersonate-'),
  );
  return Object.fromEntries(passed.map(([name, value]) => [name, [value ?? ''].flat().join(', ')]));
}

/** Where the path of the target begins in a proxied request's URL: `…/proxy` and what follows, as it was escaped. */
export function splitProxyUrl(url: string, depth: number): { base: string; path: string; search: string } {
  const mark = url.indexOf('?');
  const [whole, search] = mark < 0 ? [url, ''] : [url.slice(0, mark), url.slice(mark)];
  const words = whole.split('/');
  return { base: words.slice(0, depth).join('/'), path: words.slice(depth).length > 0 ? `/${words.slice(depth).join('/')}` : '', search };
}

/** A redirect within the target, as the client of the proxy has to follow it. */
export function rewriteLocation(location: string, { scheme, host, port }: ProxyTarget, base: string): string {
  const parsed = URL.parse(location, `${scheme}://${host}:${port}/`);
  if (!parsed || parsed.hostname !== host) return location;
  const isRelative = !/^([a-z][a-z0-9+.-]*:|\/)/i.test(location);
  return isRelative ? location : `${base}${parsed.pathname}${parsed.search}${parsed.hash}`;
}
