import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';

export const LocalSubjectAccessReview: Kind<types.LocalSubjectAccessReview> = defineKind(
  'authorization.k8s.io/v1/LocalSubjectAccessReview',
);
export type LocalSubjectAccessReview = types.LocalSubjectAccessReview;

export const SelfSubjectAccessReview: Kind<types.SelfSubjectAccessReview> = defineKind('authorization.k8s.io/v1/SelfSubjectAccessReview');
export type SelfSubjectAccessReview = types.SelfSubjectAccessReview;

export const SelfSubjectRulesReview: Kind<types.SelfSubjectRulesReview> = defineKind('authorization.k8s.io/v1/SelfSubjectRulesReview');
export type SelfSubjectRulesReview = types.SelfSubjectRulesReview;

export const SubjectAccessReview: Kind<types.SubjectAccessReview> = defineKind('authorization.k8s.io/v1/SubjectAccessReview');
export type SubjectAccessReview = types.SubjectAccessReview;
