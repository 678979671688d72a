import { isDeepStrictEqual } from 'node:util';
import type { ParamKind } from '#kinds/types.gen.ts';
import type { Authorizer } from '../identity.ts';
import type { Resources, Stored } from '../resources.ts';
import { forbidden } from '../status.ts';
import type { Write } from '../write.ts';
import { servedOf } from './params.ts';
import type { Binding, Policy } from './policy.ts';

/** Whoever makes a policy with parameters, or binds one, must be allowed to read them: its messages could tell what they hold. */
export class ParamAccess {
  readonly #resources: Resources;
  readonly #authorize: Authorizer;
  /** The policies by their bindings' resource. */
  readonly #policiesOf: ReadonlyMap<string, Stored>;

  constructor(resources: Resources, authorize: Authorizer) {
    this.#resources = resources;
    this.#authorize = authorize;
    this.#policiesOf = new Map(
      ['validating', 'mutating'].map(sort => [
        `${sort}admissionpolicybindings`,
        resources.stored('admissionregistration.k8s.io', 'v1', `${sort}admissionpolicies`),
      ]),
    );
  }

  /** @throws `Forbidden` */
  check(write: Write): void | Promise<void> {
    const { served, object, old } = write;
    const policies = this.#policiesOf.get(served.resource.plural);
    if (!policies) {
      const kind = (object as Policy).spec.paramKind;
      if (!kind || isDeepStrictEqual((old as Policy | undefined)?.spec.paramKind, kind)) return;
      const which = `all objects of the referenced paramKind (kind=${kind.kind}, apiVersion=${kind.apiVersion})`;
      return this.#ask(write, kind, { name: '*', namespace: '*' }, `must have "get" permission on ${which}`);
    }
    const { paramRef, policyName = '' } = (object as Binding).spec;
    const before = (old as Binding | undefined)?.spec;
    if (!paramRef || (before?.policyName === policyName && isDeepStrictEqual(before.paramRef, paramRef))) return;
    const kind = policies.cache.get(policyName)?.object<Policy>().spec.paramKind;
    const { name = '', namespace = '' } = paramRef;
    return this.#ask(write, kind, { name, namespace }, 'does not have "get" permission on the object referenced by paramRef');
  }

  #ask(write: Write, kind: ParamKind | undefined, which: { name: string; namespace: string }, why: string): void | Promise<void> {
    const { served, name, identity } = write;
    const decision = this.#authorize({ identity, verb: 'get', subresource: '', ...this.#resourceOf(kind), ...which });
    const refuse = ({ allowed }: { allowed: boolean }) => {
      if (!allowed) throw forbidden(served.resource, name, `user ${JSON.stringify(identity.name)} ${why}`);
    };
    return decision instanceof Promise ? decision.then(refuse) : refuse(decision);
  }

  /** What is not known must be allowed altogether. */
  #resourceOf(kind: ParamKind | undefined): { group: string; version: string; resource: string } {
    if (!kind) return { group: '*', version: '*', resource: '*' };
    const [version = '', group = ''] = (kind.apiVersion ?? '').split('/').reverse();
    try {
      return { group, version, resource: servedOf(this.#resources, kind).resource.plural };
    } catch {
      return { group, version, resource: '*' };
    }
  }
}
