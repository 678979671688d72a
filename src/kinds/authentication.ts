import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';

export const SelfSubjectReview: Kind<types.SelfSubjectReview> = defineKind('authentication.k8s.io/v1/SelfSubjectReview');
export type SelfSubjectReview = types.SelfSubjectReview;

export const TokenReview: Kind<types.TokenReview> = defineKind('authentication.k8s.io/v1/TokenReview');
export type TokenReview = types.TokenReview;
