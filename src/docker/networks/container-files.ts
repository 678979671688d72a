import { EMBEDDED_DNS } from '#net/bridges/index.ts';
import { parseResolvConf } from '#net/index.ts';
import type { HostConfig } from '../containers/forms.ts';

/** Whom docker asks where the machine's resolv.conf names nobody that a container could reach. */
const DEFAULT_SERVERS = ['8.8.8.8', '8.8.4.4'];

export interface HostsPlan {
  hostname: string;
  domainname: string;
  /** Its own, in each of its networks. */
  addresses: readonly string[];
  extraHosts: readonly string[];
  /** What `host-gateway` means here. */
  hostGateway: string | undefined;
  /** Containers that it knows by `--link` on the default network. */
  links: readonly { address: string; names: readonly string[] }[];
}

/** `/etc/hosts` in docker's form. Pure. */
export function planContainerHosts({ hostname, domainname, addresses, extraHosts, hostGateway, links }: HostsPlan): string {
  const own = domainname ? `${hostname}.${domainname} ${hostname}` : hostname;
  const extra = extraHosts.flatMap(entry => {
    const [, host = '', address = ''] = /^([^:=]*)[:=](.*)$/s.exec(entry) ?? [];
    const meant = address === 'host-gateway' ? hostGateway : address.replace(/^\[(.*)\]$/, '$1');
    return meant === undefined ? [] : [`${meant}\t${host}`];
  });
  return [
    '127.0.0.1\tlocalhost',
    '::1\tlocalhost ip6-localhost ip6-loopback',
    'fe00::\tip6-localnet',
    'ff00::\tip6-mcastprefix',
    'ff02::1\tip6-allnodes',
    'ff02::2\tip6-allrouters',
    ...extra,
    ...links.map(({ address, names }) => `${address}\t${names.join(' ')}`),
    ...addresses.map(address => `${address}\t${own}`),
    '',
  ].join('\n');
}

/** `/etc/hosts` of a container on the machine's network: the machine's, and what was added. Pure. */
export function planHostHosts(ofMachine: string, extraHosts: readonly string[]): string {
  const extra = extraHosts.flatMap(entry => {
    const [, host = '', address = ''] = /^([^:=]*)[:=](.*)$/s.exec(entry) ?? [];
    return [`${address === 'host-gateway' ? '127.0.0.1' : address}\t${host}`];
  });
  return [ofMachine.trimEnd(), ...extra, ''].join('\n');
}

type DnsWishes = Pick<HostConfig, 'Dns' | 'DnsOptions' | 'DnsSearch'>;

/** `/etc/resolv.conf`, and whom the embedded DNS asks for what it doesn't know. Pure. */
export function planContainerDns(
  { Dns, DnsOptions, DnsSearch }: DnsWishes,
  machine: string,
  kind: 'host' | 'default' | 'embedded',
): { resolvConf: string; upstreams: string[] } {
  const { servers, searches, options } = parseResolvConf(machine);
  const isReachable = (server: string) => kind !== 'default' || !(server.startsWith('127.') || server === '::1');
  const found = Dns.length > 0 ? Dns : servers.filter(isReachable);
  const upstreams = found.length > 0 || kind === 'host' ? found : DEFAULT_SERVERS;
  const wanted = DnsOptions.length > 0 ? DnsOptions : options;
  const all = kind === 'embedded' && !wanted.some(option => option.startsWith('ndots:')) ? [...wanted, 'ndots:0'] : wanted;
  // One dot says that nothing is searched.
  const search = (DnsSearch.length > 0 ? DnsSearch : searches).filter(domain => domain !== '.');
  const resolvConf = [
    ...(kind === 'embedded' ? [EMBEDDED_DNS] : upstreams).map(server => `nameserver ${server}`),
    ...(search.length > 0 ? [`search ${search.join(' ')}`] : []),
    ...(all.length > 0 ? [`options ${all.join(' ')}`] : []),
    '',
  ].join('\n');
  return { resolvConf, upstreams };
}
