import type { Clock } from '#base/clock.ts';
import { type FieldCause, UmiakError } from '#base/errors.ts';
import { newNameSuffix } from '#base/ids.ts';
import { jsonEqual } from '#kinds/json-equal.ts';
import type { KubeObject } from '#kinds/kind.ts';
import { validateCreate, validateStatusUpdate, validateUpdate } from '#kinds/validate-object.ts';
import type { CommitResult, Condition, Store } from '#store/store.ts';
import { keepInForm, setManagedFields, settleTimes } from './apply/managed-fields.ts';
import { trackUpdate } from './apply/ownership.ts';
import type { Decoded } from './decode.ts';
import { type DeleteOptions, isHeldNamespace, planDeletion } from './deletion.ts';
import type { Identity } from './identity.ts';
import { countGeneration, prepareMetadataForCreate, prepareMetadataForUpdate, timeOf } from './object-metadata.ts';
import { cacheKeyOf, fromStored, type Stored, shownIn } from './resources.ts';
import { alreadyExists, badRequest, conflict, invalid, MODIFIED, notFound } from './status.ts';
import { StoredObject } from './stored-object.ts';
import { prepareSubresource } from './subresources.ts';
import type { AdmissionPlugin, AdmittedAs, Claims, Write, WriteOptions } from './write.ts';

/** Whose write it is, to which object. */
export interface Target {
  served: Stored;
  namespace: string;
  /** Empty for a creation that generates it. */
  name: string;
  subresource: string;
  identity: Identity;
  /** Whose the written fields are, and through which subresource; absent: nobody's. */
  owner?: { manager: string; subresource: string };
  dryRun: boolean;
  warnings: string[];
  /** For the audit log; absent while nobody writes one. */
  annotations?: Record<string, string> | undefined;
  /** What admission is shown instead of the object. */
  admittedAs?: AdmittedAs;
  /** What the client asked for besides. */
  options?: WriteOptions | undefined;
}

export interface UpdateOptions {
  /** Makes the new object (served version, defaulted) from a copy of the current one that may be changed. */
  change: (current: KubeObject, nowMs: number) => Decoded | Promise<Decoded>;
  /** Made instead when there is none; without it the update is `NotFound`. */
  create?: (nowMs: number) => Decoded | Promise<Decoded>;
}

/** A write and what came of it: `gone` when it took the object away. */
export interface Written {
  object: StoredObject;
  created?: boolean;
  gone?: boolean;
}

export interface WriterOptions {
  store: Store;
  clock: Clock;
  admission: readonly AdmissionPlugin[];
  claims: readonly Claims[];
}

/**
 * What goes with a deletion in the same transaction: looks at the object as it is now, may change it before it is marked or removed, and
 * may refuse. Asked again at every attempt.
 */
export type Accompany = (object: KubeObject, nowMs: number) => Pick<Write, 'conditions' | 'writes'>;

/** Names tried for `generateName`, and commits tried while others change the same object. */
const MOST_NAMES = 8;
const MOST_ATTEMPTS = 64;

/** The way of every change from a decoded object to the durable one: mutate → prepare → validate → admit → claim → commit, again when another was first. */
export class Writer {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #admission: readonly AdmissionPlugin[];
  readonly #claims: readonly Claims[];

  constructor({ store, clock, admission, claims }: WriterOptions) {
    this.#store = store;
    this.#clock = clock;
    this.#admission = admission;
    this.#claims = claims;
  }

  /** @throws `AlreadyExists`, `Invalid`, `Forbidden`, … `make` gives the object afresh for each attempt. */
  async create(target: Target, make: (nowMs: number) => Decoded | Promise<Decoded>): Promise<Written> {
    const { served, namespace } = target;
    for (let attempt = 1; ; attempt++) {
      const made = make(this.#clock.now());
      const { object: sent, missing, isTracked } = made instanceof Promise ? await made : made;
      if (!isTracked) this.#track(target, undefined, sent);
      const object = toStored(served, sent);
      const { resourceVersion } = object.metadata;
      const write = this.#begin('CREATE', target, object, undefined);
      await this.#mutate(write);
      const generated = nameObject(write);
      prepareMetadataForCreate(served, write.object, this.#clock.now());
      served.storedKind.prepareForCreate?.(write.object);
      refuse(write, validateCreate(served.kind, fromStored(served, write.object), missing));
      this.#warn(write);
      await this.#validate(write);
      if (resourceVersion && resourceVersion !== '0') throw badRequest('resourceVersion should not be set on objects to be created');
      const key = cacheKeyOf(namespace, write.object.metadata.name);
      const result = await this.#commit(write, key, 0);
      if (result.ok) return { object: result.object, created: true };
      if (result.failed.key !== served.cache.prefix + key) {
        if (attempt < MOST_ATTEMPTS) continue;
        throw busy(served, write.name);
      }
      if (generated && attempt < MOST_NAMES) continue;
      throw alreadyExists(served.resource, write.object.metadata.name);
    }
  }

  /**
   * Replaces the object by what `change` makes of it. A resourceVersion in the made object makes the update conditional; without
   * one it is tried again on what others made meanwhile. @throws `NotFound`, `Conflict`, `Invalid`, …
   */
  async update(target: Target, { change, create }: UpdateOptions): Promise<Written> {
    const { served, namespace, name } = target;
    const key = cacheKeyOf(namespace, name);
    let stored = served.cache.get(key);
    for (let attempt = 1; attempt <= MOST_ATTEMPTS; attempt++) {
      if (!stored) {
        if (create) return await this.create(target, create);
        throw notFound(served.resource, name);
      }
      const current = served.converter ? await shownIn(served, stored) : stored;
      const old = current.object();
      const shown = fromStored(served, current.object());
      const made = change(shown, this.#clock.now());
      const { object: sent, missing, isTracked } = made instanceof Promise ? await made : made;
      if (!isTracked) this.#track(target, fromStored(served, old), sent);
      const object = toStored(served, sent);
      const asked = object.metadata.resourceVersion;
      checkIdentity(target, object, old);
      if (asked && asked !== '0' && asked !== String(stored.revision)) throw conflict(served.resource, name, MODIFIED);

      object.metadata.resourceVersion = old.metadata.resourceVersion;
      const write = this.#begin('UPDATE', target, object, old);
      await this.#mutate(write);
      this.#prepareUpdate(write, old);
      refuse(write, updateCauses(write, old, missing));
      this.#warn(write);
      await this.#validate(write);
      const isLast = isReadyToGo(served, write.object, old);
      const result = isLast ? await this.#tryRemove(write, current) : await this.#commit(write, key, current.revision, current);
      if (result.ok) return { object: result.object, gone: isLast };
      const ownKey = served.cache.prefix + key;
      if (result.failed.key === ownKey && asked && asked !== '0') throw conflict(served.resource, name, MODIFIED);
      stored = this.#newest(served, key, result);
    }
    throw busy(served, name);
  }

  /** Takes the object away or, while something still has to happen first, marks it. @throws `NotFound`, `Conflict` */
  async delete(target: Target, options: DeleteOptions, accompany?: Accompany): Promise<Written> {
    const { served, namespace, name } = target;
    const key = cacheKeyOf(namespace, name);
    let stored = served.cache.get(key);
    for (let attempt = 1; attempt <= MOST_ATTEMPTS; attempt++) {
      if (!stored) throw notFound(served.resource, name);
      const current = served.converter ? await shownIn(served, stored) : stored;
      const old = current.object();
      checkPreconditions(target, options, old);
      const doomed = current.object();
      const besides = accompany?.(doomed, this.#clock.now());
      const plan = planDeletion(served.storedKind, doomed, options, this.#clock.now());
      if (plan.action === 'nothing') return { object: current };
      const write = this.#begin('DELETE', target.admittedAs ? target : { ...target, options }, plan.object, old);
      if (besides) write.conditions.push(...besides.conditions);
      if (besides) write.writes.push(...besides.writes);
      await this.#validate(write);
      if (plan.action === 'remove') {
        const removed = await this.#tryRemove(write, current);
        if (removed.ok) return { object: removed.object, gone: true };
        stored = this.#newest(served, key, removed);
        continue;
      }
      const result = await this.#commit(write, key, current.revision, current);
      if (result.ok) return { object: result.object };
      stored = this.#newest(served, key, result);
    }
    throw busy(served, name);
  }

  #begin(operation: Write['operation'], target: Target, object: KubeObject, old: KubeObject | undefined): Write {
    const { served, namespace, subresource, identity, dryRun, warnings, annotations, admittedAs, options } = target;
    const name = object.metadata.name ?? target.name;
    return {
      operation,
      served,
      namespace,
      name,
      subresource,
      identity,
      dryRun,
      warnings,
      annotations,
      admittedAs,
      options,
      object,
      old,
      conditions: [],
      writes: [],
    };
  }

  /** Says who owns what of the object that a client sent. */
  #track({ served, owner, subresource }: Target, before: KubeObject | undefined, sent: KubeObject): void {
    const isTracked = owner && subresource !== 'binding';
    const now = timeOf(this.#clock.now());
    setManagedFields(sent, isTracked ? trackUpdate({ served, ...owner, now }, before, sent) : before?.metadata.managedFields);
  }

  async #mutate(write: Write): Promise<void> {
    const { managedFields } = write.object.metadata;
    for (const plugin of this.#admission) {
      const pending = plugin.mutate?.(write);
      if (pending) await pending;
    }
    const warning = keepInForm(write.object, managedFields);
    if (warning) write.warnings.push(warning);
  }

  async #validate(write: Write): Promise<void> {
    for (const plugin of this.#admission) {
      const pending = plugin.validate?.(write);
      if (pending) await pending;
    }
  }

  #prepareUpdate(write: Write, old: KubeObject): void {
    const { served, subresource, object } = write;
    if (subresource) {
      write.object = prepareSubresource(subresource, served, object, old);
      setManagedFields(write.object, object.metadata.managedFields);
      if (CHANGE_SPEC.has(subresource)) countGeneration(served, write.object, old);
      return;
    }
    prepareMetadataForUpdate(served, object, old);
    served.storedKind.prepareForUpdate?.(object, old);
    countGeneration(served, object, old);
  }

  #warn({ served, object, old, warnings, subresource }: Write): void {
    if (subresource) return;
    const { unattended, warnings: warningsOf } = served.storedKind;
    if (unattended) warnings.push(unattended);
    if (warningsOf) warnings.push(...warningsOf(object, old));
  }

  async #commit(write: Write, key: string, revision: number, stored?: StoredObject): Promise<{ ok: true; object: StoredObject } | Failed> {
    let committed = false;
    try {
      const result = await this.#commitClaimed(write, key, revision, stored);
      committed = result.ok && result.object !== stored && !write.dryRun;
      return result;
    } finally {
      if (!committed) for (const claims of this.#claims) claims.release?.(write);
    }
  }

  async #commitClaimed(
    write: Write,
    key: string,
    revision: number,
    stored?: StoredObject,
  ): Promise<{ ok: true; object: StoredObject } | Failed> {
    const { cache, converter } = write.served;
    for (const claims of this.#claims) {
      const pending = claims.claim(write);
      if (pending) await pending;
    }
    if (write.old) settleTimes(write.object, write.old);
    const { layout = cache.layout } = converter ?? {};
    const value = layout.encode(write.object);
    if (stored && (stored.value.equals(value) || (stored.value.length === value.length && jsonEqual(write.object, write.old)))) {
      return { ok: true, object: stored };
    }
    if (write.dryRun) return { ok: true, object: new StoredObject(layout, key, value, revision) };
    const fullKey = cache.prefix + key;
    const kept = converter ? await converter.encode(write.object) : value;
    const result = await this.#store.commit({
      conditions: [{ key: fullKey, revision }, ...write.conditions],
      writes: [{ key: fullKey, value: kept }, ...write.writes],
    });
    if (!result.ok) return this.#lost(result);
    const seen = converter ? undefined : cache.get(key);
    return { ok: true, object: seen?.revision === result.revision ? seen : new StoredObject(layout, key, value, result.revision) };
  }

  /** The object's last form is `write.object`; what it had claimed is given back with it. */
  async #tryRemove(write: Write, stored: StoredObject): Promise<{ ok: true; object: StoredObject } | Failed> {
    const { cache, converter } = write.served;
    const { layout = cache.layout } = converter ?? {};
    const removal: Write = { ...write, operation: 'DELETE' };
    for (const claims of this.#claims) {
      const pending = claims.claim(removal);
      if (pending) await pending;
    }
    const last = layout.encode(write.object);
    if (write.dryRun) return { ok: true, object: new StoredObject(layout, stored.key, last, stored.revision) };
    const fullKey = cache.prefix + stored.key;
    const result = await this.#store.commit({
      conditions: [{ key: fullKey, revision: stored.revision }, ...removal.conditions],
      writes: [{ key: fullKey, value: null }, ...removal.writes],
    });
    if (!result.ok) return this.#lost(result);
    return { ok: true, object: new StoredObject(layout, stored.key, last, result.revision) };
  }

  #lost(result: CommitResult & { ok: false }): Failed {
    for (const claims of this.#claims) claims.lost?.(result.failed);
    return result;
  }

  /** What stands there now: the store's answer may be ahead of the cache. */
  #newest(served: Stored, key: string, { failed, current }: Failed): StoredObject | undefined {
    const cached = served.cache.get(key);
    if (failed.key !== served.cache.prefix + key) return cached;
    if (!current) return undefined;
    return cached && cached.revision >= current.revision
      ? cached
      : new StoredObject(served.cache.layout, key, current.value, current.revision);
  }
}

type Failed = CommitResult & { ok: false; failed: Condition };

/** Completes the name that the client only began; whether it did. Those who may still change the object do not see the name. */
function nameObject(write: Write): boolean {
  const { metadata } = write.object;
  const generated = !metadata.name && metadata.generateName;
  metadata.name = generated ? generated.slice(0, 58) + newNameSuffix() : (metadata.name ?? ''); // validation says that it is required
  write.name = metadata.name || write.name;
  return Boolean(generated);
}

function toStored(served: Stored, object: KubeObject): KubeObject {
  return served.conversion ? served.conversion.toStored(object) : object;
}

/** Nothing holds an object any more that was to be deleted: the update that let go of it takes it away. */
function isReadyToGo({ storedKind }: Stored, object: KubeObject, old: KubeObject): boolean {
  if (!old.metadata.deletionTimestamp || (object.metadata.deletionGracePeriodSeconds ?? 0) > 0) return false;
  return (object.metadata.finalizers?.length ?? 0) === 0 && !isHeldNamespace(storedKind, object);
}

function refuse({ served, object }: Write, causes: FieldCause[]): void {
  if (causes.length > 0) throw invalid(served.resource, object.metadata.name ?? '', causes);
}

/** What is written through them is a new generation of the object. */
const CHANGE_SPEC: ReadonlySet<string> = new Set(['ephemeralcontainers', 'resize']);

/** Judged in the version the client wrote, so that the fields are named as it knows them. */
function updateCauses({ served, subresource, object }: Write, old: KubeObject, missing: FieldCause[]): FieldCause[] {
  const [now, before] = [fromStored(served, object), fromStored(served, old)];
  if (subresource === 'status') return validateStatusUpdate(served.kind, now, before);
  if (subresource === 'binding') return [];
  return validateUpdate(served.kind, now, before, subresource ? [] : missing, subresource);
}

function checkIdentity({ served, name, namespace }: Target, { metadata }: KubeObject, old: KubeObject): void {
  if (metadata.uid && metadata.uid !== old.metadata.uid) {
    throw conflict(
      served.resource,
      name,
      `Precondition failed: UID in precondition: ${metadata.uid}, UID in object meta: ${old.metadata.uid}`,
    );
  }
  metadata.name ||= name;
  if (namespace) metadata.namespace ||= namespace;
}

function checkPreconditions({ served, name }: Target, { preconditions }: DeleteOptions, { metadata }: KubeObject): void {
  if (preconditions?.uid !== undefined && preconditions.uid !== metadata.uid) {
    throw conflict(
      served.resource,
      name,
      `Precondition failed: UID in precondition: ${preconditions.uid}, UID in object meta: ${metadata.uid}`,
    );
  }
  if (preconditions?.resourceVersion !== undefined && preconditions.resourceVersion !== metadata.resourceVersion) {
    const [asked, found] = [preconditions.resourceVersion, metadata.resourceVersion];
    throw conflict(
      served.resource,
      name,
      `Precondition failed: ResourceVersion in precondition: ${asked}, ResourceVersion in object meta: ${found}`,
    );
  }
}

function busy({ resource }: Stored, name: string): UmiakError {
  return new UmiakError(
    'Conflict',
    `Operation cannot be fulfilled on ${resource.plural} "${name}": too many others change it at the same time; try again`,
  );
}
