import { chown, readFile, writeFile } from 'node:fs/promises';
import { hostname as hostHostname } from 'node:os';
import type { SandboxConfig } from './engine.ts';
import { rootOf } from './user-namespaces.ts';

/** Of /dev/shm. */
export const SHM_BYTES = 64 << 20;

/** Tools and people know by the first line that what they write into the file will not stay. */
const MANAGED = '# Kubernetes-managed hosts file.';
const MANAGED_HOST = '# Kubernetes-managed hosts file (host network).';

/** `/etc/hosts` of a pod: its own names, or in the machine's network the machine's. Pure. */
export function planHosts({
  hostname,
  fqdn,
  address,
  aliases = [],
  ofHost,
}: {
  hostname: string;
  fqdn?: string | undefined;
  address?: string | undefined;
  aliases?: SandboxConfig['hostAliases'];
  /** The machine's own file, for a pod in its network. */
  ofHost?: string | undefined;
}): string {
  const added = aliases.map(({ ip, hostnames }) => `${ip}\t${hostnames.join('\t')}`);
  if (ofHost !== undefined) return [MANAGED_HOST, ofHost.trimEnd(), ...added, ''].join('\n');
  return [
    MANAGED,
    '127.0.0.1\tlocalhost',
    '::1\tlocalhost ip6-localhost ip6-loopback',
    'fe00::\tip6-localnet',
    'ff00::\tip6-mcastprefix',
    'ff02::1\tip6-allnodes',
    'ff02::2\tip6-allrouters',
    ...(address !== undefined ? [`${address}\t${fqdn && fqdn !== hostname ? `${fqdn}\t` : ''}${hostname}`] : []),
    ...added,
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
  const ofHost = config.network === 'host' ? await readFile('/etc/hosts', 'utf8').catch(() => '') : undefined;
  const write = async (name: string, content: string) => {
    await writeFile(`${directory}/${name}`, content, { mode: 0o644 });
    if (config.userNamespace) await chown(`${directory}/${name}`, rootOf(config.userNamespace).uid, rootOf(config.userNamespace).gid);
  };
  await Promise.all([
    write('hosts', planHosts({ hostname, fqdn: config.fqdn, address, aliases: config.hostAliases, ofHost })),
    write('hostname', `${hostname}\n`),
    ...(config.dns ? [write('resolv.conf', planResolvConf(config.dns))] : []),
  ]);
}

export function sandboxHostname(config: SandboxConfig): string {
  return config.hostname || (config.network === 'host' ? hostHostname() : config.metadata.name.slice(0, 63));
}
