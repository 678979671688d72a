import type { Clock } from '#base/clock.ts';
import { copyJson } from '#base/json-object.ts';
import type { KubeObject } from '#kinds/kind.ts';
import { validateCreate } from '#kinds/validate-object.ts';
import type { Store } from '#store/store.ts';
import { keepInForm, setManagedFields } from './apply/managed-fields.ts';
import { trackUpdate } from './apply/ownership.ts';
import { Commits } from './commits.ts';
import type { Decoded } from './decode.ts';
import { type DeleteOptions, planDeletion } from './deletion.ts';
import { prepareMetadataForCreate, timeOf } from './object-metadata.ts';
import { cacheKeyOf, fromStored, type Stored, shownIn } from './resources.ts';
import { alreadyExists, badRequest, conflict, MODIFIED, notFound } from './status.ts';
import type { StoredObject } from './stored-object.ts';
import type { AdmissionPlugin, Claims, Target, Write } from './write.ts';
import {
  busy,
  checkIdentity,
  checkPreconditions,
  isReadyToGo,
  nameObject,
  prepareUpdate,
  refuse,
  updateCauses,
  warn,
} from './write-steps.ts';

/** Makes the new object (served version, defaulted) of the current one. */
type Make = (current: KubeObject, nowMs: number) => Decoded | Promise<Decoded>;

/** `change` gets a copy, which may become the new object; `replace` the current object itself, which stays as it is. */
export type UpdateOptions = ({ change: Make } | { replace: Make }) & {
  /** Made instead when there is none; without it the update is `NotFound`. */
  create?: (nowMs: number) => Decoded | Promise<Decoded>;
};

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
  readonly #clock: Clock;
  readonly #admission: readonly AdmissionPlugin[];
  readonly #commits: Commits;

  constructor({ store, clock, admission, claims }: WriterOptions) {
    this.#clock = clock;
    this.#admission = admission;
    this.#commits = new Commits({ store, claims });
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
      warn(write);
      await this.#validate(write);
      if (resourceVersion && resourceVersion !== '0') throw badRequest('resourceVersion should not be set on objects to be created');
      const key = cacheKeyOf(namespace, write.object.metadata.name);
      const result = await this.#commits.put(write, key, 0);
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
   * Puts in the object's place what `how` makes of it. A resourceVersion in the made object makes the update conditional; without
   * one it is tried again on what others made meanwhile. @throws `NotFound`, `Conflict`, `Invalid`, …
   */
  async update(target: Target, how: UpdateOptions): Promise<Written> {
    const { served, namespace, name } = target;
    const key = cacheKeyOf(namespace, name);
    let stored = await this.#commits.settled(served, key);
    for (let attempt = 1; attempt <= MOST_ATTEMPTS; attempt++) {
      if (!stored) {
        if (how.create) return await this.create(target, how.create);
        throw notFound(served.resource, name);
      }
      const current = served.converter ? await shownIn(served, stored) : stored;
      const old = current.object();
      const before = fromStored(served, old);
      const nowMs = this.#clock.now();
      const made = 'replace' in how ? how.replace(before, nowMs) : how.change(copyJson(before), nowMs);
      const { object: sent, missing, isTracked } = made instanceof Promise ? await made : made;
      if (!isTracked) this.#track(target, before, sent);
      const object = toStored(served, sent);
      const asked = object.metadata.resourceVersion;
      checkIdentity(target, object, old);
      if (asked && asked !== '0' && asked !== String(stored.revision)) throw conflict(served.resource, name, MODIFIED);

      object.metadata.resourceVersion = old.metadata.resourceVersion;
      const write = this.#begin('UPDATE', target, object, old);
      await this.#mutate(write);
      prepareUpdate(write, old);
      refuse(write, updateCauses(write, old, missing));
      warn(write);
      await this.#validate(write);
      const isLast = isReadyToGo(served, write.object, old);
      const result = isLast ? await this.#commits.remove(write, current) : await this.#commits.put(write, key, current.revision, current);
      if (result.ok) return { object: result.object, gone: isLast };
      const ownKey = served.cache.prefix + key;
      if (result.failed.key === ownKey && asked && asked !== '0') throw conflict(served.resource, name, MODIFIED);
      stored = this.#commits.newest(served, key, result);
    }
    throw busy(served, name);
  }

  /** Takes the object away or, while something still has to happen first, marks it. @throws `NotFound`, `Conflict` */
  async delete(target: Target, options: DeleteOptions, accompany?: Accompany): Promise<Written> {
    const { served, namespace, name } = target;
    const key = cacheKeyOf(namespace, name);
    let stored = await this.#commits.settled(served, key);
    for (let attempt = 1; attempt <= MOST_ATTEMPTS; attempt++) {
      if (!stored) throw notFound(served.resource, name);
      const current = served.converter ? await shownIn(served, stored) : stored;
      const old = current.object();
      checkPreconditions(target, options, old);
      const doomed = copyJson(old);
      const besides = accompany?.(doomed, this.#clock.now());
      const plan = planDeletion(served.storedKind, doomed, options, this.#clock.now());
      if (plan.action === 'nothing') return { object: current };
      const write = this.#begin('DELETE', target.admittedAs ? target : { ...target, options }, plan.object, old);
      if (besides) write.conditions.push(...besides.conditions);
      if (besides) write.writes.push(...besides.writes);
      await this.#validate(write);
      if (plan.action === 'remove') {
        const removed = await this.#commits.remove(write, current);
        if (removed.ok) return { object: removed.object, gone: true };
        stored = this.#commits.newest(served, key, removed);
        continue;
      }
      const result = await this.#commits.put(write, key, current.revision, current);
      if (result.ok) return { object: result.object };
      stored = this.#commits.newest(served, key, result);
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
}

function toStored(served: Stored, object: KubeObject): KubeObject {
  return served.conversion ? served.conversion.toStored(object) : object;
}
