import { writeFile } from 'node:fs/promises';
import { hostname as hostHostname } from 'node:os';
import type { SandboxConfig } from './engine.ts';

/** `/etc/hosts` of a pod. Pure. */
export function planHosts({
  hostname,
  fqdn,
  address,
  aliases = [],
}: {
  hostname: string;
  fqdn?: string | undefined;
  address?: string | undefined;
  aliases?: SandboxConfig['hostAliases'];
}): string {
  return [
    '127.0.0.1\tlocalhost',
    '::1\tlocalhost ip6-localhost ip6-loopback',
    'fe00::\tip6-localnet',
    'ff00::\tip6-mcastprefix',
    'ff02::1\tip6-allnodes',
    'ff02::2\tip6-allrouters',
    ...(address !== undefined ? [`${address}\t${fqdn && fqdn !== hostname ? `${fqdn}\t` : ''}${hostname}`] : []),
    ...(aliases ?? []).map(({ ip, hostnames }) => `${ip}\t${hostnames.join('\t')}`),
    '',
  ].join('\n');
}

/** `/etc/resolv.conf` of a pod. Pure. */
export function planResolvConf({ servers, searches, options }: NonNullable<SandboxConfig['dns']>): string {
  return [
    ...(searches.length > 0 ? [`search ${searches.join(' ')}`] : []),
    ...servers.map(server => `nameserver ${server}`),
    ...(options.length > 0 ? [`options ${options.join(' ')}`] : []),
    '',
  ].join('\n');
}

/** Writes the files that are bound into every container of a sandbox. */
export async function writeSandboxFiles(directory: string, config: SandboxConfig, address: string | undefined): Promise<void> {
  const hostname = sandboxHostname(config);
  const write = (name: string, content: string) => writeFile(`${directory}/${name}`, content, { mode: 0o644 });
  await Promise.all([
    write('hosts', planHosts({ hostname, fqdn: config.fqdn, address, aliases: config.hostAliases })),
    write('hostname', `${hostname}\n`),
    ...(config.dns ? [write('resolv.conf', planResolvConf(config.dns))] : []),
  ]);
}

export function sandboxHostname(config: SandboxConfig): string {
  return config.hostname || (config.network === 'host' ? hostHostname() : config.metadata.name.slice(0, 63));
}
