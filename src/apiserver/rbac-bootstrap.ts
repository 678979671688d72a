import type { ClusterRole, ClusterRoleBinding, Role, RoleBinding, Subject } from '#kinds/types.gen.ts';
import {
  type BootstrapBinding,
  type BootstrapLocal,
  type BootstrapRole,
  bootstrapClusterRoleBindings,
  bootstrapClusterRoles,
  bootstrapLocals,
} from './bootstrap-roles.ts';
import { rulesNotHeld } from './rbac-rules.ts';

type Policy = ClusterRole | ClusterRoleBinding | Role | RoleBinding;
type Wanted = BootstrapRole | BootstrapBinding | BootstrapLocal;
type PolicyKey = { name: string; namespace?: string | undefined };

/** What bootstrapping needs of the API: as the server itself, past authorization. */
export interface PolicyWriter {
  get(kind: Policy['kind'], key: PolicyKey): Promise<Policy | undefined>;
  create(object: Wanted): Promise<unknown>;
  update(object: Policy): Promise<unknown>;
  delete(kind: Policy['kind'], key: PolicyKey): Promise<unknown>;
}

/** Brings the bootstrap roles and their bindings up to date. What people added stays; what they took away comes back, unless they say otherwise. */
export async function applyBootstrapRoles(writer: PolicyWriter): Promise<void> {
  const apply = async (wanted: Wanted) => {
    const present = await writer.get(wanted.kind, wanted.metadata);
    const plan = planBootstrap(wanted, present);
    if (!plan) return;
    if ('update' in plan) return void (await writer.update(plan.update));
    if (present) await writer.delete(wanted.kind, wanted.metadata);
    await writer.create(plan.create);
  };
  await Promise.all([...bootstrapClusterRoles(), ...bootstrapClusterRoleBindings(), ...bootstrapLocals()].map(apply));
}

/**
 * What to write so that `present` gives all that `wanted` gives; undefined if nothing. An object annotated
 * `rbac.authorization.kubernetes.io/autoupdate: "false"` is left alone. A binding's role can't be changed: one that names another is made anew.
 */
export function planBootstrap(wanted: Wanted, present: Policy | undefined): { create: Wanted } | { update: Policy } | undefined {
  if (!present) return { create: wanted };
  if (present.metadata.annotations?.['rbac.authorization.kubernetes.io/autoupdate'] === 'false') return undefined;
  const metadata = {
    ...present.metadata,
    labels: { ...wanted.metadata.labels, ...present.metadata.labels },
    annotations: { ...wanted.metadata.annotations, ...present.metadata.annotations },
  };
  const labelled =
    Object.keys(metadata.labels).length === Object.keys(present.metadata.labels ?? {}).length &&
    Object.keys(metadata.annotations).length === Object.keys(present.metadata.annotations ?? {}).length;

  const [role, there] = [asRole(wanted), asRole(present)];
  if (role && there) {
    const missing = rulesNotHeld(role.rules ?? [], there.rules ?? []);
    const selectors = there.aggregationRule?.clusterRoleSelectors ?? [];
    const lacking = (role.aggregationRule?.clusterRoleSelectors ?? []).filter(
      selector => !selectors.some(other => JSON.stringify(other) === JSON.stringify(selector)),
    );
    if (labelled && !missing.length && !lacking.length) return undefined;
    const aggregation = lacking.length ? { aggregationRule: { clusterRoleSelectors: [...selectors, ...lacking] } } : {};
    return { update: { ...present, ...aggregation, metadata, rules: [...(there.rules ?? []), ...missing] } as Policy };
  }

  const [binding, before] = [wanted as BootstrapBinding, present as ClusterRoleBinding | RoleBinding];
  if (before.roleRef.kind !== binding.roleRef.kind || before.roleRef.name !== binding.roleRef.name) return { create: binding };
  const held = before.subjects ?? [];
  const missing = (binding.subjects ?? []).filter(subject => !held.some(other => sameSubject(other, subject)));
  if (labelled && !missing.length) return undefined;
  return { update: { ...before, metadata, subjects: [...held, ...missing] } };
}

function asRole(object: { kind: string }): Pick<ClusterRole, 'rules' | 'aggregationRule'> | undefined {
  return object.kind === 'ClusterRole' || object.kind === 'Role' ? (object as ClusterRole) : undefined;
}

function sameSubject(left: Subject, right: Subject): boolean {
  return left.kind === right.kind && left.name === right.name && (left.namespace ?? '') === (right.namespace ?? '');
}
