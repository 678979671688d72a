import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';

export const CustomResourceDefinition: Kind<types.CustomResourceDefinition> = defineKind(
  'apiextensions.k8s.io/v1/CustomResourceDefinition',
);
export type CustomResourceDefinition = types.CustomResourceDefinition;
