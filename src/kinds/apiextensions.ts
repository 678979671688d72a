import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';

/** A kind of its own. */
export const CustomResourceDefinition: Kind<types.CustomResourceDefinition> = defineKind<types.CustomResourceDefinition>(
  'apiextensions.k8s.io/v1/CustomResourceDefinition',
  { refused: 'custom resources are not served yet, so no definition is stored' },
);
export type CustomResourceDefinition = types.CustomResourceDefinition;
