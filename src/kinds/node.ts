import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';

export const Node: Kind<types.Node> = defineKind('v1/Node');
export type Node = types.Node;
