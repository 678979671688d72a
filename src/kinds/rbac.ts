import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import { checkPathSegment } from './names.ts';
import type * as types from './types.gen.ts';

/** Role names may hold colons: `system:node`. */
const behaviour = { checkName: checkPathSegment };

export const ClusterRole: Kind<types.ClusterRole> = defineKind('rbac.authorization.k8s.io/v1/ClusterRole', behaviour);
export type ClusterRole = types.ClusterRole;

export const ClusterRoleBinding: Kind<types.ClusterRoleBinding> = defineKind('rbac.authorization.k8s.io/v1/ClusterRoleBinding', behaviour);
export type ClusterRoleBinding = types.ClusterRoleBinding;

export const Role: Kind<types.Role> = defineKind('rbac.authorization.k8s.io/v1/Role', behaviour);
export type Role = types.Role;

export const RoleBinding: Kind<types.RoleBinding> = defineKind('rbac.authorization.k8s.io/v1/RoleBinding', behaviour);
export type RoleBinding = types.RoleBinding;
