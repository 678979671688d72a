import type { RegistryConfig } from './registry-config.ts';
import type { Capability } from './registry-hosts.ts';
import type { RegistryEndpoint } from './registry-mirrors.ts';
import type { RegistryHosts } from './registry-session.ts';

/** Where registries really are: by what this program was told of single ones, and by the folder of their `hosts.toml`. */
export class RegistryEndpoints {
  readonly #hosts: RegistryHosts;
  readonly #directory: string;
  #config: Promise<RegistryConfig> | undefined;

  constructor(hosts: RegistryHosts, directory: string) {
    this.#hosts = hosts;
    this.#directory = directory;
  }

  /** In the order in which they are asked; the registry itself last. */
  async of(registry: string): Promise<readonly RegistryEndpoint[]> {
    this.#config ??= import('./registry-config.ts').then(({ RegistryConfig }) => new RegistryConfig(this.#directory));
    const named = this.#hosts[registry];
    return (await (await this.#config).endpoints(registry, named)) ?? [{ ...named, name: registry, isMirror: false }];
  }

  /** The first that can do it, as containerd chooses where to push. */
  async first(registry: string, capability: Capability): Promise<RegistryEndpoint | undefined> {
    return (await this.of(registry)).find(each => each.capabilities?.includes(capability) ?? true);
  }
}
