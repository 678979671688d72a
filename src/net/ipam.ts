import { UmiakError } from '#base/errors.ts';
import { contains, type Network, parseCidr, toAddress, toNumber } from './ipv4.ts';

/**
 * The pod addresses of one node's network, without its first (the network), second (the gateway) and last (broadcast).
 * First in, first out: a freed address comes again as late as possible, because connection tracking and neighbours remember it.
 */
export class AddressPool {
  readonly cidr: string;
  #network: Network;
  #next: number;
  #freed: number[] = [];
  #used = new Set<number>();

  /** @throws UmiakError `Invalid` for a network too small to hold a pod */
  constructor(cidr: string) {
    this.cidr = cidr;
    this.#network = parseCidr(cidr);
    if (this.#network.size < 4)
      throw new UmiakError('Invalid', `network ${cidr} is too small for pods`, { hint: 'Give the node at least a /30.' });
    this.#next = this.#network.base + 2;
  }

  /** How many addresses it can still give. */
  get available(): number {
    return this.#network.size - 3 - this.#used.size;
  }

  /** @throws UmiakError `ServiceUnavailable` when every address is in use */
  take(): string {
    const last = this.#network.base + this.#network.size - 1;
    while (this.#next < last) {
      const number = this.#next++;
      if (!this.#used.has(number)) return this.#use(number);
    }
    for (let number = this.#freed.shift(); number !== undefined; number = this.#freed.shift())
      if (!this.#used.has(number)) return this.#use(number);
    const hint = 'Delete pods, or give the node a larger pod network.';
    throw new UmiakError('ServiceUnavailable', `all ${this.#used.size} pod addresses of ${this.cidr} are in use`, { hint });
  }

  /**
   * Marks an address as used by somebody who had it before a restart.
   * @throws UmiakError `Invalid` outside the network, `AlreadyExists` when it is in use
   */
  reserve(address: string): void {
    if (!contains(this.#network, address)) throw new UmiakError('Invalid', `address ${address} is not in the pod network ${this.cidr}`);
    const number = toNumber(address);
    if (this.#used.has(number)) throw new UmiakError('AlreadyExists', `address ${address} is in use`);
    this.#use(number);
  }

  /** Gives an address back; one that is not in use is ignored. */
  release(address: string): void {
    const number = toNumber(address);
    if (this.#used.delete(number) && number < this.#next) this.#freed.push(number);
  }

  #use(number: number): string {
    this.#used.add(number);
    return toAddress(number);
  }
}
