import { messageOf } from '#base/errors.ts';
import type { Authorizer } from '../identity.ts';
import type { Resources, Served } from '../resources.ts';
import { fromStored } from '../resources.ts';
import { type AdmissionAttributes, attributesOf } from '../webhooks/attributes.ts';
import type { AdmissionPlugin, Write } from '../write.ts';
import { checkedPolicies } from './checked-policies.ts';
import { Matcher } from './matching.ts';
import { type Params, resolveParams } from './params.ts';
import type { Binding } from './policy.ts';
import { type ActivePolicy, PolicySet } from './policy-set.ts';

/** What the objects that decide about admission are exempt from, so that nobody can lock himself out. */
const EXEMPT_GROUP = 'admissionregistration.k8s.io';

/** The parts that know the expression language. */
type Language = typeof import('./language.ts');

/** A policy that is for a request, with the bindings that are, and the version in which each is seen. */
interface Match {
  active: ActivePolicy;
  served: Served;
  bindings: readonly Binding[];
}

export interface PoliciesOptions {
  resources: Resources;
  authorize: Authorizer;
}

/** Admission policies of both sorts as plugins: `mutating` belongs behind built-in mutation, `validating` before the webhooks. */
export class Policies implements Disposable {
  readonly #resources: Resources;
  readonly #authorize: Authorizer;
  readonly #matcher: Matcher;
  readonly #validating: PolicySet;
  readonly #mutating: PolicySet;
  #language: Language | undefined;

  constructor({ resources, authorize }: PoliciesOptions) {
    const registered = (plural: string) => resources.stored('admissionregistration.k8s.io', 'v1', plural);
    this.#resources = resources;
    this.#authorize = authorize;
    this.#matcher = new Matcher(resources);
    this.#validating = new PolicySet(registered('validatingadmissionpolicies'), registered('validatingadmissionpolicybindings'));
    this.#mutating = new PolicySet(registered('mutatingadmissionpolicies'), registered('mutatingadmissionpolicybindings'));
  }

  [Symbol.dispose](): void {
    this.#validating[Symbol.dispose]();
    this.#mutating[Symbol.dispose]();
  }

  mutating(): AdmissionPlugin {
    return {
      name: 'MutatingAdmissionPolicy',
      mutate: write => {
        if (this.#mutating.active.length === 0) return;
        const matches = this.#matches(this.#mutating, attributesOf(write));
        if (matches.length === 0) return;
        return this.#with(language => this.#mutate(language, write, matches));
      },
    };
  }

  validating(): AdmissionPlugin {
    return {
      name: 'ValidatingAdmissionPolicy',
      validate: write => (this.#validating.active.length === 0 ? undefined : this.admit(attributesOf(write))),
    };
  }

  /** Refuses policies whose expressions do not compile. */
  checked(): AdmissionPlugin {
    return checkedPolicies(this.#resources);
  }

  /** Judges a request that may be no write: connections to pods. */
  admit(attributes: AdmissionAttributes): void | Promise<void> {
    if (this.#validating.active.length === 0) return;
    const matches = this.#matches(this.#validating, attributes);
    if (matches.length === 0) return;
    return this.#with(language => this.#validate(language, attributes, matches));
  }

  #matches(policies: PolicySet, attributes: AdmissionAttributes): Match[] {
    if (attributes.served.resource.group === EXEMPT_GROUP) return [];
    return policies.active.flatMap(active => {
      const served = this.#matcher.match(active.policy.spec.matchConstraints, attributes);
      if (!served) return [];
      const bindings = active.bindings.filter(({ spec }) => this.#matcher.match(spec.matchResources, attributes));
      return bindings.length > 0 ? [{ active, served, bindings }] : [];
    });
  }

  /** At once when the expression language is there already. */
  #with(work: (language: Language) => void): void | Promise<void> {
    if (this.#language) return work(this.#language);
    return import('./language.ts').then(language => {
      this.#language = language;
      work(language);
    });
  }

  #validate(language: Language, attributes: AdmissionAttributes, matches: readonly Match[]): void {
    let refusal: Error | undefined;
    for (const { active, served, bindings } of matches) {
      const { policy } = active;
      active.compiled ??= language.compilePolicy(policy.spec);
      for (const binding of bindings) {
        let params: Params;
        try {
          params = resolveParams(this.#resources, policy.spec.paramKind, binding.spec.paramRef, attributes.namespace);
        } catch (error) {
          if (policy.spec.failurePolicy === 'Ignore') continue;
          const findings = [{ message: `failed to configure binding: ${messageOf(error)}`, reason: 'Invalid' as const }];
          refusal = language.enforce(policy, binding, { findings, annotations: {} }, attributes) ?? refusal;
          continue;
        }
        for (const param of params) {
          const findings = language.judge(policy, active.compiled, this.#subject(attributes, served, param));
          refusal ??= language.enforce(policy, binding, findings, attributes);
        }
      }
    }
    if (refusal) throw refusal;
  }

  #mutate(language: Language, write: Write, matches: readonly Match[]): void {
    /** Policies that a later change concerns again. */
    const again = new Set<Match>();
    for (const [i, match] of matches.entries()) {
      if (!this.#mutateBy(language, write, match)) continue;
      for (const earlier of matches.slice(0, i)) if (earlier.active.policy.spec.reinvocationPolicy === 'IfNeeded') again.add(earlier);
    }
    for (const match of matches) if (again.has(match)) this.#mutateBy(language, write, match);
  }

  #mutateBy(language: Language, write: Write, { active, served, bindings }: Match): boolean {
    const { policy } = active;
    active.compiled ??= language.compilePolicy(policy.spec);
    let changed = false;
    for (const binding of bindings) {
      const attributes = attributesOf(write);
      try {
        for (const param of resolveParams(this.#resources, policy.spec.paramKind, binding.spec.paramRef, attributes.namespace)) {
          const object = language.mutated(active.compiled, this.#subject(attributesOf(write), served, param));
          if (!object) continue;
          const before = fromStored(served, write.object);
          object.metadata = { ...object.metadata, ...(before.metadata.managedFields && { managedFields: before.metadata.managedFields }) };
          write.object = served.conversion ? served.conversion.toStored(object) : object;
          changed = true;
        }
      } catch (error) {
        if (policy.spec.failurePolicy === 'Ignore') continue;
        const where = `policy '${policy.metadata.name}' with binding '${binding.metadata.name}'`;
        throw language.denial(attributes, `${where} denied request: ${messageOf(error)}`, 'Invalid');
      }
    }
    return changed;
  }

  #subject(attributes: AdmissionAttributes, served: Served, params: Params[number]) {
    return { attributes, served, params, namespaceObject: this.#matcher.namespaceOf(attributes), authorize: this.#authorize };
  }
}
