import { readFileSync } from 'node:fs';
import { UmiakError } from '#base/errors.ts';
import type { Engine } from '#engine/index.ts';
import type { EmbeddedDns } from '#net/bridges/index.ts';
import { parseLink } from '../containers/links.ts';
import type { ContainerLookup, DockerContainer } from '../rooms.ts';
import { planContainerDns, planContainerHosts, planHostHosts } from './container-files.ts';
import type { Joined } from './joined.ts';
import { isFixed } from './network-filters.ts';

export interface ContainerNamesOptions {
  dns: EmbeddedDns;
  engine: Pick<Engine, 'setSandboxFiles'>;
  containers: () => ContainerLookup;
  /** The machine's resolv.conf. */
  resolvConf: string;
  /** This machine, in the default network. */
  poolGateway: string;
  joinedOf(id: string): Joined | undefined;
}

/** By what names containers find each other: in their networks' DNS, and in their own /etc/hosts and /etc/resolv.conf. */
export class ContainerNames {
  readonly #options: ContainerNamesOptions;

  constructor(options: ContainerNamesOptions) {
    this.#options = options;
  }

  /** The names by which others find it, and whom it finds itself. */
  async tell(container: DockerContainer, joined: Joined): Promise<void> {
    const own = [...joined.attached.values()].filter(({ record }) => !isFixed(record));
    if (own.length === 0 || joined.netns === undefined) return;
    const { dns, resolvConf } = this.#options;
    const { id, name, data } = container;
    for (const { record, settings } of own)
      await dns.put(record.id, {
        id: settings.EndpointID,
        name,
        names: settings.DNSNames ?? [],
        addresses: [settings.IPAddress, settings.GlobalIPv6Address].filter(address => address !== ''),
      });
    const { upstreams } = planContainerDns(data.hostConfig, readFileSync(resolvConf, 'utf8'), 'embedded');
    await dns.open({
      key: id,
      netns: joined.netns,
      networks: own.map(({ record, settings }) => ({
        id: record.id,
        name: record.name,
        links: linksOf([...(settings.Links ?? []), ...(data.hostConfig.Links ?? [])]),
      })),
      upstreams: upstreams.filter(server => !server.includes(':')),
      isIsolated: [...joined.attached.values()].every(({ record }) => record.internal),
    });
  }

  /** /etc/hosts and /etc/resolv.conf of a container, by the networks of its own or of the one whose network it shares. */
  async writeFiles({ sandboxId }: DockerContainer, of: DockerContainer): Promise<void> {
    const { engine, resolvConf: path, poolGateway } = this.#options;
    const { config, hostConfig } = of.data;
    const machine = readFileSync(path, 'utf8'); // sooner than a thread of the pool
    const extraHosts = hostConfig.ExtraHosts ?? [];
    if (hostConfig.NetworkMode === 'host') {
      const hosts = planHostHosts(readFileSync('/etc/hosts', 'utf8'), extraHosts);
      await engine.setSandboxFiles(sandboxId, { hosts, resolvConf: planContainerDns(hostConfig, machine, 'host').resolvConf });
      return;
    }
    const attached = [...(this.#options.joinedOf(of.id)?.attached.values() ?? [])];
    const hasOwn = attached.some(({ record }) => !isFixed(record));
    const addresses = attached
      .flatMap(({ settings }) => [settings.IPAddress, settings.GlobalIPv6Address])
      .filter(address => address !== '');
    const way = attached.find(({ settings }) => settings.Gateway !== '')?.settings.Gateway;
    await engine.setSandboxFiles(sandboxId, {
      hosts: planContainerHosts({
        hostname: config.Hostname || of.id.slice(0, 12),
        domainname: config.Domainname,
        addresses,
        extraHosts,
        hostGateway: way ?? poolGateway,
        links: hasOwn ? [] : this.#linkedHosts(of),
      }),
      resolvConf: planContainerDns(hostConfig, machine, hasOwn ? 'embedded' : 'default').resolvConf,
    });
  }

  /** Containers that `--link` names, on the default network. @throws when one does not run, in docker's words */
  #linkedHosts({ name, data: { hostConfig } }: DockerContainer): { address: string; names: string[] }[] {
    return (hostConfig.Links ?? []).map(link => {
      const { target, alias } = parseLink(link);
      const other = this.#options.containers().find(target);
      const address = this.#options.joinedOf(other.id)?.attached.get('bridge')?.settings.IPAddress;
      if (!address && other.data.endpoints.bridge === undefined)
        throw new UmiakError('BadRequest', `Cannot link to /${other.name}, as it does not belong to the default network`);
      if (!address) throw new UmiakError('Conflict', `Cannot link to a non running container: /${other.name} AS /${name}/${alias}`);
      return { address, names: [...new Set([alias, other.id.slice(0, 12), other.name])] };
    });
  }
}

function linksOf(links: readonly string[]): Record<string, string> {
  return Object.fromEntries(links.map(parseLink).map(({ target, alias }) => [alias.toLowerCase(), target]));
}
