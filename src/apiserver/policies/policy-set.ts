import type { Stored } from '../resources.ts';
import type { CompiledExpression } from './environment.ts';
import type { Binding, Policy } from './policy.ts';

/** A policy that is bound somewhere. */
export interface ActivePolicy {
  readonly policy: Policy;
  readonly bindings: readonly Binding[];
  /** Compiled when the first request is for it. */
  compiled: CompiledExpression[] | undefined;
}

/** The policies of one sort with their bindings, as the server's own cache has them. */
export class PolicySet implements Disposable {
  readonly #policies: Stored;
  readonly #bindings: Stored;
  readonly #listening: readonly Disposable[];
  #active: readonly ActivePolicy[] | undefined;

  constructor(policies: Stored, bindings: Stored) {
    this.#policies = policies;
    this.#bindings = bindings;
    this.#listening = [policies, bindings].map(({ cache }) =>
      cache.listen(changes => {
        if (changes.length > 0) this.#active = undefined;
      }),
    );
  }

  /** The bound policies by name. */
  get active(): readonly ActivePolicy[] {
    this.#active ??= this.#collect();
    return this.#active;
  }

  [Symbol.dispose](): void {
    for (const listening of this.#listening) listening[Symbol.dispose]();
  }

  #collect(): ActivePolicy[] {
    const byPolicy = new Map<string, Binding[]>();
    for (const stored of this.#bindings.cache.now.range('', '\uffff')) {
      const binding = stored.object<Binding>();
      const name = binding.spec.policyName ?? '';
      byPolicy.set(name, [...(byPolicy.get(name) ?? []), binding]);
    }
    if (byPolicy.size === 0) return [];
    return [...this.#policies.cache.now.range('', '\uffff')].flatMap(stored => {
      const policy = stored.object<Policy>();
      const bindings = byPolicy.get(policy.metadata.name);
      return bindings ? [{ policy, bindings, compiled: undefined }] : [];
    });
  }
}
