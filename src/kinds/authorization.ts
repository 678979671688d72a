import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';

/** Whether someone may do something in one namespace. */
export const LocalSubjectAccessReview: Kind<types.LocalSubjectAccessReview> = defineKind<types.LocalSubjectAccessReview>(
  'authorization.k8s.io/v1/LocalSubjectAccessReview',
  { virtual: true },
);
export type LocalSubjectAccessReview = types.LocalSubjectAccessReview;

/** Whether the caller may do something. */
export const SelfSubjectAccessReview: Kind<types.SelfSubjectAccessReview> = defineKind<types.SelfSubjectAccessReview>(
  'authorization.k8s.io/v1/SelfSubjectAccessReview',
  { virtual: true },
);
export type SelfSubjectAccessReview = types.SelfSubjectAccessReview;

/** All that the caller may do in one namespace. */
export const SelfSubjectRulesReview: Kind<types.SelfSubjectRulesReview> = defineKind<types.SelfSubjectRulesReview>(
  'authorization.k8s.io/v1/SelfSubjectRulesReview',
  { virtual: true },
);
export type SelfSubjectRulesReview = types.SelfSubjectRulesReview;

/** Whether someone may do something. */
export const SubjectAccessReview: Kind<types.SubjectAccessReview> = defineKind<types.SubjectAccessReview>(
  'authorization.k8s.io/v1/SubjectAccessReview',
  { virtual: true },
);
export type SubjectAccessReview = types.SubjectAccessReview;
