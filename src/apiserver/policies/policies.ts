import { messageOf } from '#base/errors.ts';
import type { Authorizer } from '../identity.ts';
import type { Resources, Served } from '../resources.ts';
import { fromStored } from '../resources.ts';
import { type AdmissionAttributes, attributesOf } from '../webhooks/attributes.ts';
import { type AdmissionRequest, toAdmissionRequest } from '../webhooks/review.ts';
import type { AdmissionPlugin, Write } from '../write.ts';
import { checkedPolicies } from './checked-policies.ts';
import { Matcher } from './matching.ts';
import { type Params, resolveParams } from './params.ts';
import type { Binding } from './policy.ts';
import { type ActivePolicy, PolicySet } from './policy-set.ts';
import type { Denial } from './validating.ts';

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

  /** `again` are the built-in plugins that look once more at what policies changed. */
  mutating(again: readonly AdmissionPlugin[]): AdmissionPlugin {
    return { name: 'MutatingAdmissionPolicy', mutate: write => this.#admitChange(write, again, () => true) };
  }

  /** For what webhooks changed: the policies that want to look once more. */
  reinvoked(): AdmissionPlugin {
    const isWanted = ({ policy }: ActivePolicy) => policy.spec.reinvocationPolicy === 'IfNeeded';
    return { name: 'MutatingAdmissionPolicyReinvocation', mutate: write => this.#admitChange(write, [], isWanted) };
  }

  validating(): AdmissionPlugin {
    return {
      name: 'ValidatingAdmissionPolicy',
      validate: write => (this.#validating.active.length === 0 ? undefined : this.admit(attributesOf(write))),
    };
  }

  /** Refuses policies whose expressions do not compile, and parameters that their author may not read. */
  checked(): AdmissionPlugin {
    return checkedPolicies(this.#resources, this.#authorize);
  }

  /** Judges a request that may be no write: connections to pods. */
  admit(attributes: AdmissionAttributes): void | Promise<void> {
    if (this.#validating.active.length === 0) return;
    const matches = this.#matches(this.#validating, attributes);
    if (matches.length === 0) return;
    return this.#with(language => this.#validate(language, attributes, matches));
  }

  #admitChange(write: Write, again: readonly AdmissionPlugin[], isWanted: (active: ActivePolicy) => boolean): void | Promise<void> {
    if (this.#mutating.active.length === 0) return;
    const matches = this.#matches(this.#mutating, attributesOf(write)).filter(({ active }) => isWanted(active));
    if (matches.length === 0) return;
    return this.#with(language => this.#mutate(language, write, matches, again));
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
  #with(work: (language: Language) => void | Promise<void>): void | Promise<void> {
    if (this.#language) return work(this.#language);
    return import('./language.ts').then(language => {
      this.#language = language;
      return work(language);
    });
  }

  #validate(language: Language, attributes: AdmissionAttributes, matches: readonly Match[]): void {
    const requests = new Map<Served, AdmissionRequest>();
    const denials: Denial[] = [];
    for (const { active, served, bindings } of matches) {
      const { policy } = active;
      active.compiled ??= language.compilePolicy(policy.spec);
      const request = requests.get(served) ?? toAdmissionRequest(attributes, served);
      requests.set(served, request);
      for (const binding of bindings) {
        let params: Params;
        try {
          params = resolveParams(this.#resources, policy.spec.paramKind, binding.spec.paramRef, attributes.namespace);
        } catch (error) {
          if (policy.spec.failurePolicy === 'Ignore') continue;
          const findings = [{ message: messageOf(error), reason: 'Invalid' as const }];
          denials.push(...language.enforce(policy, binding, { findings, annotations: {} }, attributes));
          continue;
        }
        for (const param of params) {
          const findings = language.judge(policy, active.compiled, this.#subject(attributes, request, param));
          denials.push(...language.enforce(policy, binding, findings, attributes));
        }
      }
    }
    const [first, ...others] = denials;
    if (first) throw language.refusal(attributes, [first, ...others]);
  }

  /** A change concerns the policies before it once more, and the built-in plugins; what those change, all that want to know. */
  async #mutate(language: Language, write: Write, matches: readonly Match[], again: readonly AdmissionPlugin[]): Promise<void> {
    const concerned = new Set<Match>();
    const asked: Match[] = [];
    let isChanged = false;
    for (const match of matches) {
      if (this.#mutateBy(language, write, match)) {
        isChanged = true;
        for (const earlier of asked) concerned.add(earlier);
      }
      if (match.active.policy.spec.reinvocationPolicy === 'IfNeeded') asked.push(match);
    }
    if (!isChanged) return;
    const before = JSON.stringify(write.object);
    for (const plugin of again) await plugin.mutate?.(write);
    if (JSON.stringify(write.object) !== before) for (const match of asked) concerned.add(match);
    for (const match of matches) if (concerned.has(match)) this.#mutateBy(language, write, match);
  }

  #mutateBy(language: Language, write: Write, { active, served, bindings }: Match): boolean {
    const { policy } = active;
    active.compiled ??= language.compilePolicy(policy.spec);
    let changed = false;
    for (const binding of bindings) {
      const attributes = attributesOf(write);
      try {
        for (const param of resolveParams(this.#resources, policy.spec.paramKind, binding.spec.paramRef, attributes.namespace)) {
          const object = language.mutated(
            served,
            active.compiled,
            this.#subject(attributes, toAdmissionRequest(attributes, served), param),
          );
          if (!object) continue;
          const before = fromStored(served, write.object);
          object.metadata = { ...object.metadata, ...(before.metadata.managedFields && { managedFields: before.metadata.managedFields }) };
          write.object = served.conversion ? served.conversion.toStored(object) : object;
          changed = true;
        }
      } catch (error) {
        if (policy.spec.failurePolicy === 'Ignore') continue;
        const where = `policy '${policy.metadata.name}' with binding '${binding.metadata.name}'`;
        throw language.failure(attributes, `${where} denied request: ${messageOf(error)}`);
      }
    }
    return changed;
  }

  #subject(attributes: AdmissionAttributes, request: AdmissionRequest, params: Params[number]) {
    return { attributes, request, params, namespaceObject: this.#matcher.namespaceOf(attributes), authorize: this.#authorize };
  }
}
