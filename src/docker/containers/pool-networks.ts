import { readFileSync } from 'node:fs';
import { UmiakError } from '#base/errors.ts';
import type { Engine } from '#engine/index.ts';
import type { ContainerLookup, DockerContainer, Networks, SandboxNetworkPlan } from '../rooms.ts';
import type { Config, EndpointSettings, HostConfig, NetworkSettings, Port } from './forms.ts';
import { containerOf } from './validate.ts';

const NONE: EndpointSettings = {
  IPAMConfig: null,
  Links: null,
  Aliases: null,
  MacAddress: '',
  DriverOpts: null,
  GwPriority: 0,
  NetworkID: '',
  EndpointID: '',
  Gateway: '',
  IPAddress: '',
  IPPrefixLen: 0,
  IPv6Gateway: '',
  GlobalIPv6Address: '',
  GlobalIPv6PrefixLen: 0,
  DNSNames: null,
};

/** The three networks that need nobody: `bridge` by the engine's pool, `host`, `none`, and that of another container. */
export class PoolNetworks implements Networks {
  readonly #engine: Pick<Engine, 'setSandboxFiles'>;

  constructor(engine: Pick<Engine, 'setSandboxFiles'>) {
    this.#engine = engine;
  }

  planEndpoints({ hostConfig: { NetworkMode } }: { hostConfig: HostConfig }): Record<string, EndpointSettings> {
    return containerOf(NetworkMode) === undefined ? { [NetworkMode]: { ...NONE } } : {};
  }

  planSandbox({ hostConfig: { NetworkMode }, lookup }: { hostConfig: HostConfig; lookup: ContainerLookup }): SandboxNetworkPlan {
    const other = containerOf(NetworkMode);
    if (other !== undefined) return { network: 'sandbox', networkOf: lookup.find(other).sandboxId };
    if (NetworkMode === 'bridge') return { network: 'pod' };
    return { network: NetworkMode === 'host' ? 'host' : 'none' };
  }

  async connectAll({ sandboxId, sandbox, data }: DockerContainer): Promise<Record<string, EndpointSettings>> {
    const { config, hostConfig, endpoints } = data;
    const unknown = Object.keys(endpoints).find(name => !['bridge', 'host', 'none'].includes(name));
    if (unknown !== undefined) throw new UmiakError('NotFound', `network ${unknown} not found`);
    const address = sandbox?.address;
    await this.#engine.setSandboxFiles(sandboxId, {
      hosts: planHosts(config, hostConfig, address),
      resolvConf: readFileSync('/etc/resolv.conf', 'utf8'),
    });
    if (address === undefined) return endpoints;
    const connect = (settings: EndpointSettings) => ({ ...settings, IPAddress: address, IPPrefixLen: 16 });
    return Object.fromEntries(Object.entries(endpoints).map(([name, settings]) => [name, connect(settings)]));
  }

  async disconnectAll(): Promise<void> {}

  settingsOf({ id, data: { endpoints }, sandbox }: DockerContainer): NetworkSettings {
    const { Gateway, IPAddress, IPPrefixLen, MacAddress, EndpointID } = endpoints.bridge ?? NONE;
    return {
      Bridge: '',
      SandboxID: sandbox?.state === 'ready' ? id : '',
      SandboxKey: sandbox?.netns ?? '',
      Ports: {},
      HairpinMode: false,
      LinkLocalIPv6Address: '',
      LinkLocalIPv6PrefixLen: 0,
      SecondaryIPAddresses: null,
      SecondaryIPv6Addresses: null,
      EndpointID,
      Gateway,
      GlobalIPv6Address: '',
      GlobalIPv6PrefixLen: 0,
      IPAddress,
      IPPrefixLen,
      IPv6Gateway: '',
      MacAddress,
      Networks: endpoints,
    };
  }

  portsOf(): Port[] {
    return [];
  }
}

function planHosts({ Hostname, Domainname }: Config, { ExtraHosts }: HostConfig, address: string | undefined): string {
  const added = (ExtraHosts ?? []).map(entry => entry.replace(/^([^:=]*)[:=](.*)$/, '$2\t$1'));
  return [
    '127.0.0.1\tlocalhost',
    '::1\tlocalhost ip6-localhost ip6-loopback',
    'fe00::\tip6-localnet',
    'ff00::\tip6-mcastprefix',
    'ff02::1\tip6-allnodes',
    'ff02::2\tip6-allrouters',
    ...added,
    ...(address === undefined ? [] : [`${address}\t${Domainname ? `${Hostname}.${Domainname} ` : ''}${Hostname}`]),
    '',
  ].join('\n');
}
