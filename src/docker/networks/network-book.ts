import { UmiakError } from '#base/errors.ts';
import { formatIp, networkContains, parseIp, parseIpNetwork } from '#base/ip-address.ts';
import { planAddress } from '#net/bridges/index.ts';
import type { EndpointSettings } from '../containers/forms.ts';
import type { EndpointResource } from './network-forms.ts';
import type { IpamConfig, NetworkRecord } from './network-record.ts';
import type { NetworkStore } from './network-store.ts';

/** A running container in a network. */
export interface Member {
  containerId: string;
  name: string;
  endpointId: string;
  mac: string;
  ipv4: string;
  ipv4PrefixLength: number;
  ipv6: string;
  ipv6PrefixLength: number;
}

/** Which networks there are, who is in them, and which of their addresses are free. */
export class NetworkBook {
  readonly #fixed: readonly NetworkRecord[];
  readonly #store: NetworkStore;
  readonly #members = new Map<string, Map<string, Member>>();

  constructor(fixed: readonly NetworkRecord[], store: NetworkStore) {
    this.#fixed = fixed;
    this.#store = store;
  }

  list(): NetworkRecord[] {
    return [...this.#fixed, ...this.#store.list()];
  }

  /** By its name, its id, or the unique beginning of an id. */
  find(nameOrId: string): NetworkRecord | undefined {
    const all = this.list();
    const exact = all.find(({ id }) => id === nameOrId) ?? all.find(({ name }) => name === nameOrId);
    if (exact || nameOrId === '') return exact;
    const beginning = all.filter(({ id }) => id.startsWith(nameOrId));
    return beginning.length === 1 ? beginning[0] : undefined;
  }

  /** @throws NotFound in docker's words, BadRequest where several fit */
  need(nameOrId: string): NetworkRecord {
    const found = this.find(nameOrId);
    if (found) return found;
    if (nameOrId !== '' && this.list().filter(({ id }) => id.startsWith(nameOrId)).length > 1)
      throw new UmiakError('BadRequest', `network ${nameOrId.slice(0, 128)} is ambiguous (several ids begin so)`);
    throw new UmiakError('NotFound', `network ${nameOrId.slice(0, 256)} not found`, {
      details: { kind: 'network', name: nameOrId.slice(0, 256) },
    });
  }

  members(id: string): Member[] {
    return [...(this.#members.get(id)?.values() ?? [])];
  }

  member(id: string, containerId: string): Member | undefined {
    return this.#members.get(id)?.get(containerId);
  }

  enter(id: string, member: Member): void {
    const members = this.#members.get(id) ?? new Map<string, Member>();
    this.#members.set(id, members.set(member.containerId, member));
  }

  leave(id: string, containerId: string): void {
    this.#members.get(id)?.delete(containerId);
  }

  /** Containers as `network inspect` shows them. */
  resources(id: string): Record<string, EndpointResource> {
    const of = (address: string, prefixLength: number) => (address ? `${address}/${prefixLength}` : '');
    return Object.fromEntries(
      this.members(id).map(({ containerId, name, endpointId, mac, ...each }) => [
        containerId,
        {
          Name: name,
          EndpointID: endpointId,
          MacAddress: mac,
          IPv4Address: of(each.ipv4, each.ipv4PrefixLength),
          IPv6Address: of(each.ipv6, each.ipv6PrefixLength),
        },
      ]),
    );
  }

  /** Free addresses for an endpoint, those it wishes or the lowest, of each family that the network has. @throws in docker's words */
  allocate(
    { id, ipam }: NetworkRecord,
    { IPAMConfig }: Pick<EndpointSettings, 'IPAMConfig'>,
  ): Pick<Member, 'ipv4' | 'ipv4PrefixLength' | 'ipv6' | 'ipv6PrefixLength'> {
    const members = this.members(id);
    const v4 = choose(ipam.config.filter(isIpv4), new Set(members.map(({ ipv4 }) => ipv4)), IPAMConfig?.IPv4Address);
    const v6 = choose(
      ipam.config.filter(config => !isIpv4(config)),
      new Set(members.map(({ ipv6 }) => ipv6)),
      IPAMConfig?.IPv6Address,
    );
    return { ipv4: v4.address, ipv4PrefixLength: v4.prefixLength, ipv6: v6.address, ipv6PrefixLength: v6.prefixLength };
  }
}

function isIpv4({ Subnet }: IpamConfig): boolean {
  return !Subnet.includes(':');
}

function choose(
  configs: readonly IpamConfig[],
  taken: ReadonlySet<string>,
  wanted: string | undefined,
): { address: string; prefixLength: number } {
  const parsed = wanted ? parseIp(wanted) : undefined;
  let failure: unknown;
  for (const config of configs) {
    const subnet = parseIpNetwork(config.Subnet)!;
    if (parsed && !networkContains(subnet, parsed)) continue;
    const reserved = [config.Gateway, ...Object.values(config.AuxiliaryAddresses ?? {})].filter(each => each !== undefined);
    const space = { subnet: config.Subnet, ...(config.IPRange ? { range: config.IPRange } : {}), reserved };
    try {
      return { address: planAddress(space, taken, parsed && formatIp(parsed)), prefixLength: subnet.prefixLength };
    } catch (error) {
      failure ??= error;
    }
  }
  if (failure) throw failure;
  if (wanted) throw new UmiakError('BadRequest', `invalid address ${wanted}: It does not belong to any of this network's subnets`);
  return { address: '', prefixLength: 0 };
}
