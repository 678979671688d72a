import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';

/** Who the API takes its caller for. */
export const SelfSubjectReview: Kind<types.SelfSubjectReview> = defineKind<types.SelfSubjectReview>(
  'authentication.k8s.io/v1/SelfSubjectReview',
  { virtual: true },
);
export type SelfSubjectReview = types.SelfSubjectReview;

/** Whose a token is. */
export const TokenReview: Kind<types.TokenReview> = defineKind<types.TokenReview>('authentication.k8s.io/v1/TokenReview', {
  virtual: true,
});
export type TokenReview = types.TokenReview;
