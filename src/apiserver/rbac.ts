import { matchesLabels, requirementsOf } from '#base/label-selector.ts';
import type { KubeObject } from '#kinds/kind.ts';
import type { ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject } from '#kinds/types.gen.ts';
import type { Attributes, Decision, Identity } from './identity.ts';
import { ruleAllows } from './rbac-rules.ts';

/** A rule with the way by which it reached somebody. */
export interface GrantedRule {
  rule: PolicyRule;
  binding: RoleBinding | ClusterRoleBinding;
  subject: Subject;
}

type Binding = RoleBinding | ClusterRoleBinding;
/** Bindings by the one they name, and within by the binding's name. */
type BindingIndex = Map<string, Map<string, { binding: Binding; subject: Subject }>>;

/**
 * Role-based access control: who is bound to which rules. Told of every Role, ClusterRole and binding and of their changes, it holds
 * them indexed by subject, so that a decision looks only at what concerns the one who asks.
 */
export class Rbac {
  readonly #clusterRoles = new Map<string, ClusterRole>();
  readonly #roles = new Map<string, Role>();
  readonly #clusterBindings: BindingIndex = new Map();
  /** By namespace. */
  readonly #bindings = new Map<string, BindingIndex>();
  /** What stands in the indexes now, to be taken out again. */
  readonly #known = new Map<string, Binding>();
  /** Rules of aggregated ClusterRoles, gathered when asked for. */
  readonly #aggregated = new Map<string, PolicyRule[]>();

  /** Takes in a Role, ClusterRole, RoleBinding or ClusterRoleBinding as it is now; `deleted` takes it out. Other kinds are ignored. */
  observe(object: KubeObject, deleted = false): void {
    const { namespace = '', name } = object.metadata;
    switch (object.kind) {
      case 'ClusterRole':
        this.#aggregated.clear();
        put(this.#clusterRoles, name, object as ClusterRole, deleted);
        break;
      case 'Role':
        put(this.#roles, `${namespace}/${name}`, object as Role, deleted);
        break;
      case 'RoleBinding':
      case 'ClusterRoleBinding':
        this.#observeBinding(object as Binding, deleted);
        break;
    }
  }

  /** Allowed when one rule says so; RBAC never forbids what another authorizer allows. */
  authorize(attributes: Attributes): Decision {
    for (const { rule, binding, subject } of this.#grants(attributes.identity, attributes.path === undefined ? attributes.namespace : '')) {
      if (!ruleAllows(rule, attributes)) continue;
      const { roleRef, metadata, kind } = binding;
      const where = metadata.namespace ? `${metadata.name}/${metadata.namespace}` : metadata.name;
      return { allowed: true, reason: `RBAC: allowed by ${kind} "${where}" of ${roleRef.kind} "${roleRef.name}" to ${describe(subject)}` };
    }
    return { allowed: false, reason: '' };
  }

  /** All rules `identity` has in `namespace`, cluster-wide ones included; with an empty namespace only those. */
  rulesOf(identity: Identity, namespace: string): PolicyRule[] {
    return [...this.#grants(identity, namespace)].map(({ rule }) => rule);
  }

  /** The rules a binding in `namespace` refers to, or undefined if the role does not exist. */
  rulesOfRole({ kind, name }: RoleRef, namespace: string): PolicyRule[] | undefined {
    if (kind !== 'ClusterRole') return namespace ? this.#roleRules(this.#roles.get(`${namespace}/${name}`)) : undefined;
    const role = this.#clusterRoles.get(name);
    return role?.aggregationRule ? this.#aggregate(role) : this.#roleRules(role);
  }

  #roleRules(role: Role | ClusterRole | undefined): PolicyRule[] | undefined {
    return role && (role.rules ?? []);
  }

  *#grants(identity: Identity, namespace: string): Generator<GrantedRule> {
    const keys = [`User/${identity.name}`, ...identity.groups.map(group => `Group/${group}`)];
    const local = namespace ? this.#bindings.get(namespace) : undefined;
    for (const index of local ? [this.#clusterBindings, local] : [this.#clusterBindings])
      for (const key of keys)
        for (const { binding, subject } of index.get(key)?.values() ?? [])
          for (const rule of this.rulesOfRole(binding.roleRef, binding.metadata.namespace ?? '') ?? []) yield { rule, binding, subject };
  }

  /** The union of the rules of all ClusterRoles that its selectors match, theirs aggregated too. */
  #aggregate(role: ClusterRole): PolicyRule[] {
    const { name } = role.metadata;
    const present = this.#aggregated.get(name);
    if (present) return present;
    this.#aggregated.set(name, []);
    const selectors = (role.aggregationRule?.clusterRoleSelectors ?? []).map(requirementsOf);
    const rules = new Map<string, PolicyRule>();
    for (const other of [...this.#clusterRoles.values()].sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))) {
      if (other === role || !selectors.some(selector => matchesLabels(selector, other.metadata.labels))) continue;
      for (const rule of this.rulesOfRole({ kind: 'ClusterRole', name: other.metadata.name }, '') ?? [])
        rules.set(JSON.stringify(rule), rule);
    }
    const union = [...rules.values()];
    this.#aggregated.set(name, union);
    return union;
  }

  #observeBinding(binding: Binding, deleted: boolean): void {
    const { namespace = '', name } = binding.metadata;
    const id = `${namespace}/${name}`;
    const index = namespace ? this.#indexOf(namespace) : this.#clusterBindings;
    for (const subject of this.#known.get(id)?.subjects ?? []) {
      const key = subjectKey(subject, namespace);
      const bound = index.get(key);
      bound?.delete(name);
      if (bound?.size === 0) index.delete(key);
    }
    put(this.#known, id, binding, deleted);
    if (deleted) {
      if (namespace && index.size === 0) this.#bindings.delete(namespace);
      return;
    }
    for (const subject of binding.subjects ?? []) {
      const key = subjectKey(subject, namespace);
      const bound = index.get(key) ?? new Map();
      index.set(key, bound.set(name, { binding, subject }));
    }
  }

  #indexOf(namespace: string): BindingIndex {
    const index = this.#bindings.get(namespace) ?? new Map();
    this.#bindings.set(namespace, index);
    return index;
  }
}

function put<T>(map: Map<string, T>, key: string, value: T, deleted: boolean): void {
  if (deleted) map.delete(key);
  else map.set(key, value);
}

/** A service account is the user of its long name. */
function subjectKey({ kind, name, namespace }: Subject, bindingNamespace: string): string {
  return kind === 'ServiceAccount' ? `User/system:serviceaccount:${namespace || bindingNamespace}:${name}` : `${kind}/${name}`;
}

function describe({ kind, name, namespace }: Subject): string {
  return kind === 'ServiceAccount' ? `${kind} "${name}/${namespace ?? ''}"` : `${kind} "${name}"`;
}
