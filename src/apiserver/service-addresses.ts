import { UmiakError } from '#base/errors.ts';
import type { KubeObject } from '#kinds/kind.ts';
import { hasNodePorts, needsHealthCheck } from '#kinds/service.ts';
import type { IPAddress, Service, ServiceCIDR } from '#kinds/types.gen.ts';
import type { Condition, Store } from '#store/store.ts';
import { cidrOf, type Ipv4Range } from './ipv4-range.ts';
import type { Stored } from './resources.ts';
import { invalid } from './status.ts';
import type { Claims, Write } from './write.ts';

/** Beside `/registry/`: what is taken of the cluster's numbers. */
const ALLOCATIONS = '/allocations/';
const IPS = `${ALLOCATIONS}cluster-ips/`;
const MANAGED_BY = 'ipaddress.kubernetes.io/managed-by';
const PORTS = `${ALLOCATIONS}node-ports/`;

export interface ServiceAddressesOptions {
  store: Store;
  services: Stored;
  /** ServiceCIDRs: ranges that come and go besides the first. */
  ranges?: Stored;
  /** IPAddresses: what people keep for themselves is nobody's to get. */
  kept?: Stored;
  serviceCidr: string;
  nodePortRange: { first: number; last: number };
  random?: () => number;
  onFailure: (error: unknown) => void;
}

/**
 * Service addresses and node ports: each is a key of the store that is written in the Service's own transaction, on the condition
 * that nobody has it. So no two Services ever share one, and what a deleted Service had is free in the same moment.
 */
export class ServiceAddresses implements Claims, AsyncDisposable {
  readonly #services: Stored;
  readonly #range: Ipv4Range;
  readonly #kept: Stored | undefined;
  #more: Ipv4Range[] = [];
  readonly #ports: { first: number; last: number };
  readonly #random: () => number;
  readonly #taken = new Set<string>();
  readonly #stop = new AbortController();
  #watching: Promise<void> = Promise.resolve();

  private constructor({ services, ranges, kept, serviceCidr, nodePortRange, random = Math.random }: ServiceAddressesOptions) {
    this.#services = services;
    this.#kept = kept;
    if (ranges) {
      const follow = () => {
        this.#more = readRanges(ranges, serviceCidr);
      };
      follow();
      ranges.cache.listen(follow);
    }
    this.#range = cidrOf(serviceCidr);
    this.#ports = nodePortRange;
    this.#random = random;
  }

  /** Reads what is taken and follows it. */
  static async open(options: ServiceAddressesOptions): Promise<ServiceAddresses> {
    const addresses = new ServiceAddresses(options);
    const { store, onFailure } = options;
    const { entries, revision } = await store.list(ALLOCATIONS);
    for (const { key } of entries) addresses.#taken.add(key);
    const { signal } = addresses.#stop;
    const receive = ({ events }: { events: { type: 'put' | 'delete'; key: string }[] }) => {
      for (const { type, key } of events) {
        if (type === 'put') addresses.#taken.add(key);
        else addresses.#taken.delete(key);
      }
    };
    addresses.#watching = store.watch(ALLOCATIONS, { after: revision, receive, signal }).catch(error => {
      if (!signal.aborted) onFailure(error);
    });
    return addresses;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#watching;
  }

  /** The first address of the range: the `kubernetes` Service's. */
  get firstAddress(): string {
    return this.#range.at(1);
  }

  claim(write: Write): void {
    if (write.served.cache !== this.#services.cache || write.subresource) return;
    const held = new Set(write.old ? keysOf(write.old) : []);
    if (write.operation === 'DELETE') {
      for (const key of held) write.writes.push({ key, value: null });
      return;
    }
    const service = write.object as Service;
    this.#fillIn(service, held);
    const wanted = new Set(keysOf(service));
    const owner = Buffer.from(`${write.namespace}/${write.name}`);
    for (const key of wanted) {
      if (held.has(key)) continue;
      this.#checkFree(service, key);
      write.conditions.push({ key, revision: 0 });
      write.writes.push({ key, value: owner });
    }
    for (const key of held) if (!wanted.has(key)) write.writes.push({ key, value: null });
  }

  lost({ key }: Condition): void {
    if (key.startsWith(ALLOCATIONS)) this.#taken.add(key);
  }

  #fillIn(service: Service, held: Set<string>): void {
    const { spec } = service;
    if (spec.type === 'ExternalName') return;
    checkFamilies(service);
    this.#fillInAddress(service);
    if (hasNodePorts(spec) && (spec.type !== 'LoadBalancer' || spec.allocateLoadBalancerNodePorts !== false)) {
      for (const port of spec.ports ?? []) port.nodePort ||= this.#freePort(service, held);
    }
    if (!needsHealthCheck(spec)) return;
    spec.healthCheckNodePort ||= this.#freePort(service, held);
    if (spec.ports?.some(({ nodePort }) => nodePort === spec.healthCheckNodePort))
      throw unhealthy(spec.healthCheckNodePort, 'provided port is already allocated');
  }

  #fillInAddress(service: Service): void {
    const { spec } = service;
    if (!spec.clusterIP) {
      spec.clusterIP = this.#freeAddress(service);
      spec.clusterIPs = [spec.clusterIP];
    } else spec.clusterIPs ??= [spec.clusterIP];
  }

  #checkFree(service: Service, key: string): void {
    if (key.startsWith(IPS)) {
      const ip = key.slice(IPS.length);
      const ranges = this.#ranges;
      const why = !ranges.some(range => range.includes(ip))
        ? `failed to allocate IP ${ip}: the provided IP (${ip}) is not in the valid range. The range of valid IPs is ${ranges.map(({ text }) => text).join(',')}`
        : this.#isTaken(ip, service)
          ? `failed to allocate IP ${ip}: provided IP is already allocated`
          : undefined;
      if (why) throw refusal(service, 'spec.clusterIPs', `Invalid value: ["${ip}"]: ${why}`);
      return;
    }
    const port = Number(key.slice(PORTS.length));
    const at = (service.spec.ports ?? []).findIndex(({ nodePort }) => nodePort === port);
    const { first, last } = this.#ports;
    const why =
      port < first || port > last
        ? `provided port is not in the valid range. The range of valid ports is ${first}-${last}`
        : this.#taken.has(key)
          ? 'provided port is already allocated'
          : undefined;
    if (!why) return;
    if (at < 0) throw unhealthy(port, why);
    throw refusal(service, `spec.ports[${at}].nodePort`, `Invalid value: ${port}: ${why}`);
  }

  /** The first range, and those that are ready besides. */
  get #ranges(): readonly Ipv4Range[] {
    return this.#more.length === 0 ? [this.#range] : [this.#range, ...this.#more];
  }

  /** Had by a Service, or kept by somebody; IPAddresses that only show what Services have may be a little behind. */
  #isTaken(ip: string, { metadata }: Service): boolean {
    if (this.#taken.has(IPS + ip)) return true;
    const kept = this.#kept?.cache.get(ip)?.object<IPAddress>();
    if (!kept || kept.metadata.labels?.[MANAGED_BY] === 'ipallocator.k8s.io') return false;
    const { resource, namespace, name } = kept.spec.parentRef;
    return resource !== 'services' || namespace !== metadata.namespace || name !== metadata.name;
  }

  /** A random free one; a walk through all when chance finds none. Address 0, 1 and the last are nobody's to get by chance. */
  #freeAddress(service: Service): string {
    for (const range of this.#ranges) {
      const found = pick(range.size - 3, this.#random, offset => !this.#isTaken(range.at(offset + 2), service));
      if (found !== undefined) return range.at(found + 2);
    }
    const full = this.#ranges.map(({ text }) => text).join(',');
    throw refusal(service, 'spec.clusterIPs', `Internal error: failed to allocate a serviceIP: range ${full} is full`);
  }

  #freePort(service: Service, held: Set<string>): number {
    const { first, last } = this.#ports;
    const own = new Set([...keysOf(service), ...held]);
    const free = (offset: number) => !this.#taken.has(`${PORTS}${first + offset}`) && !own.has(`${PORTS}${first + offset}`);
    const found = pick(last - first + 1, this.#random, free);
    if (found === undefined)
      throw refusal(service, 'spec.ports', `Internal error: failed to allocate a nodePort: range ${first}-${last} is full`);
    return first + found;
  }
}

/** The IPv4 ranges that Services may have addresses of, but for the first. */
function readRanges({ cache }: Stored, first: string): Ipv4Range[] {
  const ready = [...cache.snapshot().view.range('', '\uffff')]
    .map(stored => stored.object<ServiceCIDR>())
    .filter(
      ({ metadata, status }) =>
        !metadata.deletionTimestamp && status?.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True'),
    );
  const texts = new Set(ready.flatMap(({ spec }) => spec.cidrs ?? []));
  texts.delete(first);
  return [...texts].flatMap(text => {
    const bits = Number(text.split('/')[1]);
    return text.includes(':') || bits < 8 || bits > 30 ? [] : [cidrOf(text)];
  });
}

function pick(size: number, random: () => number, isFree: (offset: number) => boolean): number | undefined {
  const start = Math.floor(random() * size);
  for (let i = 0; i < 16; i++) {
    const offset = Math.floor(random() * size);
    if (isFree(offset)) return offset;
  }
  for (let i = 0; i < size; i++) if (isFree((start + i) % size)) return (start + i) % size;
  return undefined;
}

/** The keys that a Service holds. */
function keysOf(object: KubeObject): string[] {
  const { spec } = object as Service;
  if (!spec || spec.type === 'ExternalName') return [];
  const ips = [spec.clusterIP ?? ''].filter(ip => ip !== '' && ip !== 'None').map(ip => IPS + ip);
  const ports = hasNodePorts(spec) ? (spec.ports ?? []).map(({ nodePort }) => nodePort) : [];
  if (needsHealthCheck(spec)) ports.push(spec.healthCheckNodePort);
  return [...ips, ...new Set(ports.flatMap(port => (port ? [`${PORTS}${port}`] : [])))];
}

/** What upstream has no field for. */
function unhealthy(port: number, why: string): Error {
  return new UmiakError('InternalError', `Internal error occurred: failed to allocate requested HealthCheck NodePort ${port}: ${why}`);
}

/** Addresses are of IPv4 alone. @throws `Invalid` */
function checkFamilies(service: Service): void {
  const { ipFamilies = [], ipFamilyPolicy } = service.spec;
  const index = ipFamilies.indexOf('IPv6');
  if (index >= 0) throw refusal(service, `spec.ipFamilies[${index}]`, 'Invalid value: "IPv6": not configured on this cluster');
  if (ipFamilyPolicy === 'RequireDualStack')
    throw refusal(
      service,
      'spec.ipFamilyPolicy',
      'Invalid value: "RequireDualStack": this cluster is not configured for dual-stack services',
    );
}

function refusal(service: Service, field: string, message: string): Error {
  return invalid({ group: '', plural: 'services', kind: 'Service' }, service.metadata.name, [
    { field, reason: 'FieldValueInvalid', message },
  ]);
}
