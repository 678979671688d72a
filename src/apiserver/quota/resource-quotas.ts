import type { Clock } from '#base/clock.ts';
import { isUmiakError } from '#base/errors.ts';
import { groupResourceOf } from '#kinds/kind.ts';
import type { ResourceQuota } from '#kinds/types.gen.ts';
import { SYSTEM } from '../identity.ts';
import type { Change, ResourceCache } from '../resource-cache.ts';
import type { Resources, Stored } from '../resources.ts';
import { isStored } from '../resources.ts';
import { forbidden } from '../status.ts';
import type { Claims, Write } from '../write.ts';
import type { Writer } from '../writer.ts';
import { Tally } from './tally.ts';

export interface ResourceQuotasOptions {
  resources: Resources;
  clock: Clock;
  onFailure: (error: unknown) => void;
}

/** How long changes of usage are gathered before a quota's status tells them. */
const STATUS_DELAY_MS = 20;
/** Resources whose updates may use more; of all others only creations do. */
const GROWING = new Set(['services', 'persistentvolumeclaims']);

/**
 * Holds namespaces to their quotas, exactly: usage is counted from the cache, which this server alone writes, and every write on its
 * way keeps its room from the check until the cache shows it. Nothing of it is stored but the status, which is written behind; a new
 * start counts again. Without quotas nothing is counted.
 */
export class ResourceQuotas implements Claims, Disposable {
  readonly #resources: Resources;
  readonly #quotas: Stored;
  readonly #clock: Clock;
  readonly #onFailure: (error: unknown) => void;
  readonly #tallies = new Map<string, Map<string, Tally>>();
  readonly #listening = new Map<ResourceCache, Disposable>();
  readonly #following: Disposable;
  readonly #claimed = new WeakMap<Write, (() => void)[]>();
  readonly #dirty = new Map<string, Tally>();
  #writer: Writer | undefined;
  #timer: Disposable | undefined;
  #disposed = false;

  constructor({ resources, clock, onFailure }: ResourceQuotasOptions) {
    this.#resources = resources;
    this.#quotas = resources.stored('', 'v1', 'resourcequotas');
    this.#clock = clock;
    this.#onFailure = onFailure;
    const { cache } = this.#quotas;
    this.#following = cache.listen(changes => {
      for (const { type, object } of changes) this.#follow(object.key, type === 'DELETED' ? undefined : object.object<ResourceQuota>());
    });
    for (const stored of cache.snapshot().view.range('', '\uffff')) this.#follow(stored.key, stored.object<ResourceQuota>());
  }

  /** Statuses are written by `writer` from here on. */
  start(writer: Writer): void {
    this.#writer = writer;
    this.#schedule();
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#timer?.[Symbol.dispose]();
    this.#following[Symbol.dispose]();
    for (const listening of this.#listening.values()) listening[Symbol.dispose]();
  }

  claim(write: Write): void | Promise<void> {
    const tallies = this.#tallies.get(write.namespace);
    if (!tallies || write.operation === 'DELETE') return;
    const { resource } = write.served.storedKind;
    const source = groupResourceOf(resource);
    const grows =
      write.operation === 'CREATE' || (source === 'pods' ? write.subresource === 'resize' : !write.subresource && GROWING.has(source));
    if (!grows) return;
    const { cache } = write.served;
    const concerned = [...tallies.values()].filter(tally => tally.sources.has(source));
    const counting = concerned.flatMap(tally => this.#count(tally, cache, write.served) ?? []);
    if (counting.length > 0) return Promise.all(counting).then(() => this.#reserve(write, concerned));
    if (concerned.length > 0) this.#reserve(write, concerned);
  }

  release(write: Write): void {
    for (const giveBack of this.#claimed.get(write) ?? []) giveBack();
    this.#claimed.delete(write);
  }

  #reserve(write: Write, tallies: Tally[]): void {
    const { served, namespace, name, object, old } = write;
    const { resource } = served.storedKind;
    const full = `${served.cache.prefix}${namespace}/${name}`;
    const uses = tallies.map(tally => ({ tally, verdict: tally.judge(resource, full, object, write.operation === 'CREATE') }));
    for (const { verdict } of uses) if ('refusal' in verdict) throw forbidden(served.resource, name, verdict.refusal);
    const base = Number(old?.metadata.resourceVersion ?? 0);
    this.#claimed.set(
      write,
      uses.flatMap(({ tally, verdict }) => ('usage' in verdict ? tally.reserve(full, base, verdict.usage) : [])),
    );
  }

  #follow(key: string, quota: ResourceQuota | undefined): void {
    const [namespace = '', name = ''] = key.split('/');
    const present = this.#tallies.get(namespace)?.get(name);
    if (!quota) {
      this.#tallies.get(namespace)?.delete(name);
      if (this.#tallies.get(namespace)?.size === 0) this.#tallies.delete(namespace);
      if (this.#tallies.size === 0) this.#stopListening();
      this.#dirty.delete(key);
      return;
    }
    if (present && JSON.stringify(present.spec) === JSON.stringify(quota.spec ?? {})) {
      if (JSON.stringify(quota.status) !== JSON.stringify(present.status)) this.#tell(key, present);
      return;
    }
    const tally = new Tally(quota, this.#clock, present);
    const inNamespace = this.#tallies.get(namespace) ?? new Map<string, Tally>();
    inNamespace.set(name, tally);
    this.#tallies.set(namespace, inNamespace);
    for (const served of this.#resources.all)
      if (isStored(served) && !served.conversion && tally.sources.has(groupResourceOf(served.resource)))
        this.#count(tally, served.cache, served);
    this.#tell(key, tally);
  }

  #count(tally: Tally, cache: ResourceCache, { storedKind }: { storedKind: Stored['storedKind'] }): Promise<void> | undefined {
    if (!this.#listening.has(cache))
      this.#listening.set(
        cache,
        cache.listen(changes => this.#changed(cache, storedKind, changes)),
      );
    return tally.count(cache, storedKind.resource);
  }

  #changed(cache: ResourceCache, { resource }: Stored['storedKind'], changes: Change[]): void {
    for (const { type, object: stored } of changes) {
      const namespace = stored.key.slice(0, stored.key.indexOf('/'));
      for (const tally of this.#tallies.get(namespace)?.values() ?? []) {
        if (!tally.sources.has(groupResourceOf(resource))) continue;
        const object = type === 'DELETED' ? undefined : stored.object();
        tally.changed(cache, resource, stored.key, object, stored.revision);
        this.#tell(`${namespace}/${tally.name}`, tally);
      }
    }
  }

  #stopListening(): void {
    for (const listening of this.#listening.values()) listening[Symbol.dispose]();
    this.#listening.clear();
  }

  #tell(key: string, tally: Tally): void {
    this.#dirty.set(key, tally);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#timer || !this.#writer || this.#dirty.size === 0 || this.#disposed) return;
    this.#timer = this.#clock.after(STATUS_DELAY_MS, () => {
      this.#writeStatuses().then(
        () => this.#rest(),
        error => {
          this.#rest();
          this.#onFailure(error);
        },
      );
    });
  }

  #rest(): void {
    this.#timer = undefined;
    this.#schedule();
  }

  async #writeStatuses(): Promise<void> {
    const dirty = [...this.#dirty];
    this.#dirty.clear();
    for (const [key, tally] of dirty) {
      const [namespace = '', name = ''] = key.split('/');
      if (this.#disposed || this.#tallies.get(namespace)?.get(name) !== tally) continue;
      await this.#counted(tally);
      const target = { served: this.#quotas, namespace, name, subresource: 'status', identity: SYSTEM, dryRun: false, warnings: [] };
      try {
        await this.#writer!.update(target, {
          change: current => {
            current.metadata.resourceVersion = '';
            return { object: { ...current, status: tally.status } as ResourceQuota, missing: [] };
          },
        });
      } catch (error) {
        if (!isUmiakError(error, 'NotFound') && !this.#disposed) throw error;
      }
    }
  }

  async #counted(tally: Tally): Promise<void> {
    for (const served of this.#resources.all)
      if (isStored(served) && !served.conversion && tally.sources.has(groupResourceOf(served.resource)))
        await this.#count(tally, served.cache, served);
  }
}
