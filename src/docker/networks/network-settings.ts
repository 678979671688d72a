import type { EndpointSettings, NetworkSettings } from '../containers/forms.ts';
import type { DockerContainer } from '../rooms.ts';
import type { Joined } from './joined.ts';
import { NO_ENDPOINT, withoutFacts } from './plan-endpoints.ts';
import { toPortMap } from './plan-ports.ts';

/** `NetworkSettings` of inspect: what is there of a container that runs, what is asked for of another. Pure. */
export function toNetworkSettings(container: DockerContainer, joined: Joined | undefined): NetworkSettings {
  const { data, sandbox, sandboxId } = container;
  const isThere = sandbox?.state === 'ready';
  const shown = Object.entries(data.endpoints).map(([name, endpoint]): [string, EndpointSettings] => {
    const now = joined?.attached.get(name)?.settings;
    return [name, isThere && now ? now : withoutFacts(endpoint)];
  });
  const Networks = Object.fromEntries(shown);
  const { Gateway, IPAddress, IPPrefixLen, MacAddress, EndpointID, IPv6Gateway, GlobalIPv6Address, GlobalIPv6PrefixLen } =
    Networks.bridge ?? NO_ENDPOINT;
  return {
    Bridge: '',
    SandboxID: isThere ? sandboxId : '',
    SandboxKey: isThere ? (sandbox.netns ?? '') : '',
    Ports: isThere ? toPortMap(data.config, data.published ?? {}) : {},
    HairpinMode: false,
    LinkLocalIPv6Address: '',
    LinkLocalIPv6PrefixLen: 0,
    SecondaryIPAddresses: null,
    SecondaryIPv6Addresses: null,
    EndpointID,
    Gateway,
    GlobalIPv6Address,
    GlobalIPv6PrefixLen,
    IPAddress,
    IPPrefixLen,
    IPv6Gateway,
    MacAddress,
    Networks,
  };
}
