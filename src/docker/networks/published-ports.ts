import { isUmiakError, messageOf, UmiakError } from '#base/errors.ts';
import { KeyedLock } from '#base/keyed-lock.ts';
import type { Bridges, PublishedRule } from '#net/bridges/index.ts';
import type { PortReservations, ReservedPort } from '#net/index.ts';
import type { PortBinding } from '../containers/forms.ts';
import type { PortWish } from './plan-ports.ts';

export interface PublishedPortsOptions {
  bridges: Pick<Bridges, 'publish'>;
  reservations: PortReservations;
}

/** Where a container's published ports lead. */
export interface PublishTarget {
  id: string;
  name: string;
  endpointId: string;
  /** By family; ports of the machine's IPv6 addresses are passed on to IPv4 where there is no other. */
  ipv4: string;
  ipv6?: string | undefined;
  /** For ports that name no address of the machine, if their network says so (`host_binding_ipv4`). */
  defaultHostIp?: string | undefined;
}

/** What the machine gives to whom asks for any port (`net.ipv4.ip_local_port_range`). */
const FIRST_EPHEMERAL = 32_768;
const LAST_EPHEMERAL = 60_999;
const MOST_TRIES = 1_000;

/** Ports of the machine that lead to docker's containers: reserved by sockets, so that nobody else takes them, led there by the kernel. */
export class PublishedPorts {
  readonly #options: PublishedPortsOptions;
  readonly #held = new Map<string, ReservedPort[]>();
  readonly #locks = new KeyedLock();
  #next = FIRST_EPHEMERAL;

  constructor(options: PublishedPortsOptions) {
    this.#options = options;
  }

  /**
   * Takes the ports and leads them there, all or none.
   * @returns what leads to each of the container's ports
   * @throws in docker's words when one is taken
   */
  async publish(target: PublishTarget, wishes: readonly PortWish[]): Promise<Record<string, PortBinding[]>> {
    return await this.#locks.run(target.id, async () => {
      const held: ReservedPort[] = [];
      this.#held.set(target.id, held);
      const published: Record<string, PortBinding[]> = {};
      const rules: PublishedRule[] = [];
      try {
        for (const wish of wishes) {
          const { port, bindings } = await this.#take(target, wish, held);
          published[wish.key] = [...(published[wish.key] ?? []), ...bindings.map(HostIp => ({ HostIp, HostPort: String(port) }))];
          rules.push(...bindings.flatMap(hostIp => ruleOf(target, wish, hostIp, port) ?? []));
        }
        await this.#options.bridges.publish(target.id, rules);
        return published;
      } catch (error) {
        await this.#free(target.id);
        throw error;
      }
    });
  }

  /**
   * Takes again what a container had before this process; a port that another program has taken meanwhile still leads there, and is told.
   * @returns the kernel's rules
   */
  async resume(
    target: PublishTarget,
    published: Readonly<Record<string, readonly PortBinding[]>>,
    refused: (why: string) => void,
  ): Promise<PublishedRule[]> {
    const held: ReservedPort[] = [];
    this.#held.set(target.id, held);
    const rules: PublishedRule[] = [];
    for (const [key, bindings] of Object.entries(published)) {
      const [containerPort, protocol] = key.split('/') as [string, PortWish['protocol']];
      for (const { HostIp, HostPort } of bindings) {
        const wish = { protocol, containerPort: Number(containerPort) };
        rules.push(...(ruleOf(target, wish, HostIp, Number(HostPort)) ?? []));
        const wanted = reservationOf(target, wish, HostIp, Number(HostPort));
        try {
          await this.#options.reservations.reserve(wanted, target.name);
          held.push(wanted);
        } catch (error) {
          refused(messageOf(error));
        }
      }
    }
    return rules;
  }

  /** Twice is as good as once. */
  async withdraw(id: string): Promise<void> {
    if (!this.#held.has(id)) return;
    await this.#locks.run(id, async () => {
      await this.#options.bridges.publish(id, []);
      await this.#free(id);
    });
  }

  async #free(id: string): Promise<void> {
    const held = this.#held.get(id) ?? [];
    this.#held.delete(id);
    await Promise.all(held.map(port => this.#options.reservations.release(port)));
  }

  /** The first port of those wished that is free on all of its addresses. */
  async #take(target: PublishTarget, wish: PortWish, held: ReservedPort[]): Promise<{ port: number; bindings: string[] }> {
    const addresses = wish.hostIp !== '' ? [wish.hostIp] : target.defaultHostIp ? [target.defaultHostIp] : ['0.0.0.0', '::'];
    let failure: unknown;
    for (const port of this.#candidates(wish)) {
      const taken = new Map<string, ReservedPort>();
      try {
        for (const hostIp of addresses) {
          const wanted = reservationOf(target, wish, hostIp, port);
          try {
            await this.#options.reservations.reserve(wanted, target.name);
            taken.set(hostIp, wanted);
          } catch (error) {
            if (addresses.length === 1 || !lacksIpv6(error)) throw error;
          }
        }
        held.push(...taken.values());
        return { port, bindings: [...taken.keys()] };
      } catch (error) {
        await Promise.all([...taken.values()].map(each => this.#options.reservations.release(each)));
        if (!isUmiakError(error, 'AlreadyExists')) throw refusal(target, addresses[0]!, wish, port, error);
        failure ??= refusal(target, addresses[0]!, wish, port, error);
      }
    }
    throw failure;
  }

  *#candidates({ first, last }: PortWish): Generator<number> {
    if (first > 0) {
      for (let port = first; port <= last; port++) yield port;
      return;
    }
    for (let n = 0; n < MOST_TRIES; n++) {
      const port = this.#next++;
      if (this.#next > LAST_EPHEMERAL) this.#next = FIRST_EPHEMERAL;
      yield port;
    }
  }
}

/** A machine without IPv6. */
function lacksIpv6(error: unknown): boolean {
  const { code = '' } = ((error as Error).cause ?? {}) as NodeJS.ErrnoException;
  return code === 'EAFNOSUPPORT' || code === 'EADDRNOTAVAIL';
}

function reservationOf(
  { ipv4, ipv6 }: PublishTarget,
  { protocol, containerPort }: Pick<PortWish, 'protocol' | 'containerPort'>,
  hostIp: string,
  port: number,
): ReservedPort {
  const isIpv6 = hostIp.includes(':');
  const passOnTo = { address: isIpv6 ? (ipv6 ?? ipv4) : ipv4, port: containerPort };
  return { protocol, port, hostIp, isAlone: true, ...(isIpv6 ? { passOnTo } : {}) };
}

function ruleOf(
  { ipv4, ipv6 }: PublishTarget,
  { protocol, containerPort }: Pick<PortWish, 'protocol' | 'containerPort'>,
  hostIp: string,
  hostPort: number,
): PublishedRule[] | undefined {
  const address = hostIp.includes(':') ? ipv6 : ipv4;
  if (address === undefined) return undefined; // connections are passed on by the reservation
  const isEverywhere = hostIp === '0.0.0.0' || hostIp === '::';
  return [{ protocol, ...(isEverywhere ? {} : { hostIp }), hostPort, address, port: containerPort }];
}

function refusal(
  { name, endpointId, ipv4 }: PublishTarget,
  hostIp: string,
  { protocol, containerPort }: PortWish,
  port: number,
  error: unknown,
): UmiakError {
  const where = `driver failed programming external connectivity on endpoint ${name} (${endpointId})`;
  const isOurs = isUmiakError(error) && error.details.kind === 'port';
  const why = isOurs
    ? `Bind for ${hostIp}:${port} failed: port is already allocated`
    : isUmiakError(error, 'AlreadyExists')
      ? `failed to bind host port for ${hostIp}:${port}:${ipv4}:${containerPort}/${protocol}: address already in use`
      : `failed to bind host port ${hostIp}:${port}/${protocol}: ${messageOf(error)}`;
  return new UmiakError('InternalError', `${where}: ${why}`, { cause: error });
}
