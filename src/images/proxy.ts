import { BlockList, isIP } from 'node:net';

/** Which proxies requests take, as the environment says it to Go's programs. */
export interface ProxySettings {
  /** For `http://` addresses: `http://user:password@proxy:3128`, also `https://…`; without a scheme it is `http`. */
  http?: string;
  /** For `https://` addresses, by CONNECT. */
  https?: string;
  /** By comma: hosts (`example.com` with those below it, `.example.com` only those below it), addresses, networks, each with or without a port, or `*`. */
  no?: string;
}

/** `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`, in capitals or not. */
export function proxyOf(env: NodeJS.ProcessEnv): ProxySettings {
  const read = (name: string) => env[name] || env[name.toLowerCase()] || undefined;
  const [http, https, no] = [read('HTTP_PROXY'), read('HTTPS_PROXY'), read('NO_PROXY')];
  return { ...(http ? { http } : {}), ...(https ? { https } : {}), ...(no ? { no } : {}) };
}

/** The proxy for an address; undefined: none, as always for this very machine. Decides as Go's `httpproxy` does. */
export function planProxy(url: URL, { http, https, no = '' }: ProxySettings): string | undefined {
  const proxy = url.protocol === 'https:' ? https : http;
  if (!proxy || isLoopback(url.hostname)) return undefined;
  const host = bare(url.hostname.toLowerCase());
  const port = url.port || (url.protocol === 'https:' ? '443' : '80');
  const isDirect = no.split(',').some(rule => fits(rule.trim().toLowerCase(), host, port));
  return isDirect ? undefined : proxy.includes('://') ? proxy : `http://${proxy}`;
}

/** Names and addresses of this very machine. */
export function isLoopback(hostname: string): boolean {
  return (
    hostname === 'localhost' || hostname.endsWith('.localhost') || /^127\./.test(hostname) || hostname === '[::1]' || hostname === '::1'
  );
}

function fits(rule: string, host: string, port: string): boolean {
  if (rule === '' || rule === '*') return rule === '*';
  if (rule.includes('/')) return isWithin(rule, host);
  const [, name = '', itsPort] = isIP(rule) === 6 ? [rule, rule] : (/^(\[[^\]]*\]|[^:]*)(?::(\d+))?$/.exec(rule) ?? []);
  if (name === '' || (itsPort !== undefined && itsPort !== port)) return false;
  if (isIP(bare(name)) || isIP(host)) return bare(name) === host;
  const below = name.replace(/^\*?\./, '.');
  return below.startsWith('.') ? host.endsWith(below) : host === below || host.endsWith(`.${below}`);
}

function isWithin(network: string, host: string): boolean {
  const [base = '', bits = ''] = network.split('/');
  const [kind, hostKind] = [isIP(base), isIP(host)];
  if (kind === 0 || kind !== hostKind || !/^\d{1,3}$/.test(bits) || Number(bits) > (kind === 4 ? 32 : 128)) return false;
  const family = kind === 4 ? 'ipv4' : 'ipv6';
  const list = new BlockList();
  list.addSubnet(base, Number(bits), family);
  return list.check(host, family);
}

function bare(hostname: string): string {
  return hostname.replace(/^\[|\]$/g, '');
}
