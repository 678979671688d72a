import { type Clock, type Log, messageOf } from '#base/index.ts';
import { type Client, Informer, keyText } from '#client/index.ts';
import { EndpointSlice } from '#kinds/endpoint-slice.ts';
import { Service } from '#kinds/service.ts';
import type { DnsServer, Rule, RuleTable } from '#net/index.ts';
import { toDnsRecords } from './dns-records.ts';
import { HealthCheckPorts } from './health-check-ports.ts';
import { toHealthCheck, toServiceRule } from './service-rules.ts';

export interface ClusterNetworkOptions {
  client: Client;
  nodeName: string;
  domain: string;
  rules: RuleTable;
  dns: DnsServer;
  /** The port at which load balancers ask for a Service could not be had. */
  onRefused: (service: Service, message: string) => void;
  clock: Clock;
  log: Log;
}

const RETRY_MS = 1_000;

/**
 * Keeps the kernel's rules and the DNS server's names true to Services and EndpointSlices. What changed within one turn goes out as one
 * transaction; while it is on its way, further changes gather for the next.
 */
export class ClusterNetwork implements AsyncDisposable {
  readonly #options: ClusterNetworkOptions;
  readonly #services: Informer<Service>;
  readonly #slices: Informer<EndpointSlice>;
  readonly #slicesOf = new Map<string, Map<string, EndpointSlice>>();
  readonly #namesOf = new Map<string, string[]>();
  readonly #dirty = new Set<string>();
  readonly #healthChecks: HealthCheckPorts;
  #writing: Promise<void> | undefined;
  #hasFailed = false;
  #isLoaded = false;
  #retry: Disposable | undefined;
  #closed = false;

  constructor(options: ClusterNetworkOptions) {
    this.#options = options;
    const { client, clock, log } = options;
    this.#services = new Informer({ client, kind: Service, clock, log });
    this.#slices = new Informer({ client, kind: EndpointSlice, clock, log });
    this.#healthChecks = new HealthCheckPorts({
      isHealthy: () => this.#isLoaded && !this.#hasFailed,
      onRefused: (key, port, why) => {
        const service = this.#services.get(key);
        if (service) options.onRefused(service, `node ${options.nodeName} failed to start healthcheck "${key}" on port ${port}: ${why}`);
      },
      clock,
    });
  }

  /** Resolves when kernel and DNS show all Services that there are. */
  async start(): Promise<void> {
    this.#slices.subscribe(({ key, object, previous }) => {
      const [before, now] = [previous && serviceOf(previous), object && serviceOf(object)];
      if (before && before !== now) this.#dropSlice(before, key);
      if (object && now) this.#slicesOf.set(now, (this.#slicesOf.get(now) ?? new Map()).set(key, object));
      for (const service of new Set([before, now])) if (service) this.#touch(service);
    });
    this.#services.subscribe(({ key }) => this.#touch(key));
    await Promise.all([this.#services.start(), this.#slices.start()]);
    const services = this.#services.list();
    this.#dirty.clear();
    await this.#options.rules.load([...this.#hostRules(), ...services.flatMap(service => this.#ruleOf(service) ?? [])]);
    await this.#writeNames(services.map(({ metadata }) => keyText(metadata)));
    this.#isLoaded = true;
    for (const { metadata } of services) this.#checkHealth(keyText(metadata));
    for (const key of this.#dirty) this.#touch(key);
  }

  /** Published ports of pods stay through a reload of the Services. */
  #hostRules(): Rule[] {
    return [...this.#options.rules.rules.values()].filter(rule => 'hostPort' in rule);
  }

  #ruleOf(service: Service) {
    return toServiceRule(service, this.#slicesFor(keyText(service.metadata)), this.#options.nodeName);
  }

  #checkHealth(key: string): void {
    const service = this.#services.get(key);
    this.#healthChecks.set(key, service && toHealthCheck(service, this.#slicesFor(key), this.#options.nodeName));
  }

  #slicesFor(service: string): EndpointSlice[] {
    return [...(this.#slicesOf.get(service)?.values() ?? [])];
  }

  #dropSlice(service: string, key: string): void {
    const slices = this.#slicesOf.get(service);
    slices?.delete(key);
    if (slices?.size === 0) this.#slicesOf.delete(service);
  }

  #touch(service: string): void {
    this.#dirty.add(service);
    if (this.#writing || this.#closed || !this.#isLoaded) return;
    this.#writing = Promise.resolve()
      .then(() => this.#writeAll())
      .finally(() => {
        this.#writing = undefined;
      });
  }

  async #writeAll(): Promise<void> {
    await new Promise(resolve => setImmediate(resolve));
    while (this.#dirty.size > 0 && !this.#closed) {
      const keys = [...this.#dirty];
      this.#dirty.clear();
      try {
        await Promise.all([this.#writeRules(keys), this.#writeNames(keys)]);
        this.#hasFailed = false;
        for (const key of keys) this.#checkHealth(key);
      } catch (error) {
        this.#options.log.error('Services could not be written to the kernel', { services: keys, error: messageOf(error) });
        this.#hasFailed = true;
        for (const key of keys) this.#dirty.add(key);
        this.#retry = this.#options.clock.after(RETRY_MS, () => this.#touch(keys[0] ?? ''));
        return;
      }
    }
  }

  async #writeRules(keys: readonly string[]): Promise<void> {
    const set: Rule[] = [];
    const removed: string[] = [];
    for (const key of keys) {
      const service = this.#services.get(key);
      const rule = service && this.#ruleOf(service);
      if (rule) set.push(rule);
      else if (this.#options.rules.rules.has(key)) removed.push(key);
    }
    if (set.length + removed.length > 0) await this.#options.rules.change(set, removed);
  }

  async #writeNames(keys: readonly string[]): Promise<void> {
    const set: Record<string, ReturnType<typeof toDnsRecords>[string]> = {};
    const removed: string[] = [];
    for (const key of keys) {
      const service = this.#services.get(key);
      const records = service ? toDnsRecords(service, this.#slicesFor(key), this.#options.domain) : {};
      Object.assign(set, records);
      removed.push(...(this.#namesOf.get(key) ?? []).filter(name => !(name in records)));
      if (service) this.#namesOf.set(key, Object.keys(records));
      else this.#namesOf.delete(key);
    }
    await this.#options.dns.setRecords({ set, removed: removed.filter(name => !(name in set)) });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#retry?.[Symbol.dispose]();
    await Promise.all([this.#services, this.#slices, this.#healthChecks].map(part => part[Symbol.asyncDispose]()));
    await this.#writing;
  }
}

function serviceOf({ metadata }: EndpointSlice): string | undefined {
  const name = metadata.labels?.['kubernetes.io/service-name'];
  return name ? `${metadata.namespace}/${name}` : undefined;
}
