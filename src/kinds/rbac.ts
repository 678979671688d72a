import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';

export const ClusterRole: Kind<types.ClusterRole> = defineKind('rbac.authorization.k8s.io/v1/ClusterRole');
export type ClusterRole = types.ClusterRole;

export const ClusterRoleBinding: Kind<types.ClusterRoleBinding> = defineKind('rbac.authorization.k8s.io/v1/ClusterRoleBinding');
export type ClusterRoleBinding = types.ClusterRoleBinding;

export const Role: Kind<types.Role> = defineKind('rbac.authorization.k8s.io/v1/Role');
export type Role = types.Role;

export const RoleBinding: Kind<types.RoleBinding> = defineKind('rbac.authorization.k8s.io/v1/RoleBinding');
export type RoleBinding = types.RoleBinding;
