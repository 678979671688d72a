import type { Clock } from '#base/clock.ts';
import { isUmiakError, messageOf } from '#base/errors.ts';
import type { Log } from '#base/log.ts';
import { CUSTOM_RESOURCE_CLEANUP, type CustomResourceDefinition } from '#kinds/apiextensions.ts';
import type { ClusterCache } from '../cluster-cache.ts';
import { SYSTEM } from '../identity.ts';
import { ResourceCache } from '../resource-cache.ts';
import { prefixOf, type Resources, type Served, type Stored } from '../resources.ts';
import type { StoredObject } from '../stored-object.ts';
import type { WebhookCaller } from '../webhooks/webhook-caller.ts';
import type { Target } from '../write.ts';
import type { Writer } from '../writer.ts';
import { isStatusSettled, type NameHolder, nameHolderOf, planStatus, takenNames, withCondition } from './naming.ts';
import { definitionsOf, formOf, isEstablished, type Restored, servedBy } from './served-definitions.ts';

type Definition = CustomResourceDefinition;

/** What is served of one definition. */
interface Serving {
  /** Tells one form of the definition from another. */
  form: string;
  cache: ResourceCache;
  isTerminating: boolean;
  listening: Disposable;
}

export interface CustomResourcesOptions {
  resources: Resources;
  cluster: ClusterCache;
  writer: Writer;
  /** What `restoreCustomResources` found. */
  restored: ReadonlyMap<string, Restored>;
  /** Calls conversion webhooks. */
  caller: WebhookCaller;
  clock: Clock;
  log: Log;
}

/** Deletions under way at a time. */
const AT_ONCE = 64;
const FIRST_RETRY_MS = 100;
const LAST_RETRY_MS = 30_000;

/**
 * Serves what CustomResourceDefinitions define: follows them, says in their status which names they have and that they are
 * established, has their resources come, change and go, and empties a definition that is being deleted.
 *
 * It is level-based: each definition is looked at again after every change, one look at a time.
 */
export class CustomResources implements AsyncDisposable {
  readonly #options: CustomResourcesOptions;
  readonly #definitions: Stored;
  readonly #serving = new Map<string, Serving>();
  readonly #holders = new Map<string, NameHolder>();
  /** The look that is under way at a definition, and whether another has to follow. */
  readonly #looks = new Map<string, { again: boolean; done: Promise<void> }>();
  readonly #retries = new Map<string, { inMs: number; timer: Disposable }>();
  readonly #listening: Disposable;
  #ended = false;

  /** Serves at once what `restore` has put there before, and looks at every definition. */
  constructor(options: CustomResourcesOptions) {
    this.#options = options;
    this.#definitions = definitionsOf(options.resources);
    for (const [name, { holder, serving }] of options.restored) {
      this.#holders.set(name, holder);
      if (serving) this.#serving.set(name, { ...serving, isTerminating: false, listening: this.#watchFor(name, serving.cache) });
    }
    this.#listening = this.#definitions.cache.listen(changes => {
      for (const { object } of changes) this.#look(object.key);
    });
    for (const [name, { isSettled }] of options.restored) if (!isSettled) this.#look(name);
  }

  /** True while the definition of `served` is being deleted: nothing may be created any more. */
  isTerminating({ kind, resource }: Served): boolean {
    return kind.check !== undefined && this.#serving.get(`${resource.plural}.${resource.group}`)?.isTerminating === true;
  }

  /** Resolves when nothing is left to do for now. */
  async settled(): Promise<void> {
    while (this.#looks.size > 0) await Promise.all([...this.#looks.values()].map(({ done }) => done));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true;
    this.#listening[Symbol.dispose]();
    for (const { timer } of this.#retries.values()) timer[Symbol.dispose]();
    for (const { listening } of this.#serving.values()) listening[Symbol.dispose]();
    await this.settled();
  }

  #look(name: string): void {
    const present = this.#looks.get(name);
    if (present) {
      present.again = true;
      return;
    }
    const look = { again: false, done: Promise.resolve() };
    this.#looks.set(name, look);
    look.done = this.#lookUntilDone(name, look);
  }

  async #lookUntilDone(name: string, look: { again: boolean }): Promise<void> {
    await undefined; // never while the caches are being told of a change
    do {
      look.again = false;
      try {
        if (!this.#ended) await this.#attend(name);
        this.#retries.delete(name);
      } catch (error) {
        this.#retry(name, error);
      }
    } while (look.again && !this.#ended);
    this.#looks.delete(name);
  }

  #retry(name: string, error: unknown): void {
    const { clock, log } = this.#options;
    const inMs = Math.min((this.#retries.get(name)?.inMs ?? FIRST_RETRY_MS / 2) * 2, LAST_RETRY_MS);
    if (!isUmiakError(error, 'Conflict'))
      log.warn('a custom resource definition is looked at again', { name, error: messageOf(error), inMs });
    this.#retries.get(name)?.timer[Symbol.dispose]();
    this.#retries.set(name, { inMs, timer: clock.after(inMs, () => !this.#ended && this.#look(name)) });
  }

  async #attend(name: string): Promise<void> {
    const stored = this.#definitions.cache.get(name);
    if (!stored) {
      this.#forget(name);
      return;
    }
    const crd = stored.object<Definition>();
    if (crd.metadata.deletionTimestamp) return await this.#empty(crd);
    this.#holders.delete(name);
    const taken = takenNames(crd.spec.group, this.#holders.values());
    const planned = planStatus(crd, taken, this.#options.clock.now());
    this.#holders.set(name, nameHolderOf({ ...crd, status: planned })); // from here on the names are its own
    if (isEstablished(planned)) await this.#serve({ ...crd, status: planned }, stored);
    if (!isStatusSettled(crd, planned)) await this.#writeStatus(crd, planned);
  }

  /** Has the definition's resources served as it says now. */
  async #serve(crd: Definition, stored: StoredObject): Promise<void> {
    const { name } = crd.metadata;
    const present = this.#serving.get(name);
    const isTerminating = crd.metadata.deletionTimestamp !== undefined;
    const form = formOf(crd);
    if (present?.form === form) {
      present.isTerminating = isTerminating;
      return;
    }
    const { resources, cluster, caller } = this.#options;
    const { kinds, converters, layout } = servedBy(crd, stored, { definitions: this.#definitions.cache, caller });
    let cache: ResourceCache;
    if (present) {
      cache = present.cache.under(layout);
      cluster.replace(cache);
    } else {
      cache = new ResourceCache({ layout, prefix: prefixOf({ group: crd.spec.group, plural: crd.spec.names.plural }) });
      await cluster.add(cache);
    }
    resources.serve(name, { kinds, cache, converters });
    present?.listening[Symbol.dispose]();
    present?.cache.close();
    this.#serving.set(name, { form, cache, isTerminating, listening: this.#watchFor(name, cache) });
  }

  /** A definition that is being deleted is looked at whenever one of its objects goes. */
  #watchFor(name: string, cache: ResourceCache): Disposable {
    return cache.listen(changes => {
      if (changes.length > 0 && cache.size === 0 && this.#serving.get(name)?.isTerminating) this.#look(name);
    });
  }

  #forget(name: string): void {
    const freed = this.#holders.get(name);
    this.#holders.delete(name);
    // Its names are free now: others of the group may have waited for them.
    for (const [other, { group }] of this.#holders) if (group === freed?.group) this.#look(other);
    const present = this.#serving.get(name);
    if (!present) return;
    this.#serving.delete(name);
    this.#options.resources.withdraw(name);
    this.#options.cluster.remove(present.cache);
    present.listening[Symbol.dispose]();
    present.cache.close();
  }

  /** Deletes all objects of a definition, and lets it go when none is left. */
  async #empty(crd: Definition): Promise<void> {
    const { name, finalizers = [] } = crd.metadata;
    const serving = this.#serving.get(name);
    if (serving) serving.isTerminating = true;
    if (!finalizers.includes(CUSTOM_RESOURCE_CLEANUP)) return;
    const left = serving ? [...serving.cache.snapshot().view.range('', '\uffff')] : [];
    if (left.length > 0) {
      await this.#writeTerminating(crd, 'True', 'InstanceDeletionInProgress', 'CustomResource deletion is in progress');
      const served = this.#options.resources.all.find(each => each.cache === serving!.cache) as Stored;
      for (let i = 0; i < left.length; i += AT_ONCE)
        await Promise.all(left.slice(i, i + AT_ONCE).map(object => this.#deleteInstance(served, object.key)));
      if (serving!.cache.size > 0) return; // finalizers hold some: their end is heard of
    }
    await this.#letGo(crd);
  }

  async #deleteInstance(served: Stored, key: string): Promise<void> {
    const slash = key.indexOf('/');
    const [namespace, name] = slash < 0 ? ['', key] : [key.slice(0, slash), key.slice(slash + 1)];
    try {
      await this.#options.writer.delete(targetOf(served, namespace, name), { propagationPolicy: 'Background' });
    } catch (error) {
      if (!isUmiakError(error, 'NotFound')) throw error;
    }
  }

  async #letGo(crd: Definition): Promise<void> {
    await this.#writeTerminating(crd, 'False', 'InstanceDeletionCompleted', 'removed all instances');
    await this.#update(crd.metadata.name, '', current => {
      const finalizers = (current.metadata.finalizers ?? []).filter(each => each !== CUSTOM_RESOURCE_CLEANUP);
      return { ...current, metadata: { ...current.metadata, finalizers } };
    });
  }

  async #writeTerminating(crd: Definition, status: 'True' | 'False', reason: string, message: string): Promise<void> {
    const present = crd.status?.conditions ?? [];
    if (present.some(each => each.type === 'Terminating' && each.reason === reason)) return;
    const conditions = withCondition(present, { type: 'Terminating', status, reason, message }, this.#options.clock.now());
    await this.#writeStatus(crd, { ...crd.status, conditions });
  }

  async #writeStatus(crd: Definition, status: Definition['status']): Promise<void> {
    await this.#update(crd.metadata.name, 'status', current => ({ ...current, status }));
  }

  /** Changes the definition as it is now; that it is gone is fine. */
  async #update(name: string, subresource: string, change: (current: Definition) => Definition): Promise<void> {
    const target = { ...targetOf(this.#definitions, '', name), subresource };
    try {
      await this.#options.writer.update(target, {
        change: current => ({ object: change(current as Definition), missing: [] }),
      });
    } catch (error) {
      if (!isUmiakError(error, 'NotFound')) throw error;
    }
  }
}

function targetOf(served: Stored, namespace: string, name: string): Target {
  return { served, namespace, name, subresource: '', identity: SYSTEM, dryRun: false, warnings: [] };
}
