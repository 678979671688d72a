import type { Overload } from './overload.ts';
import type { CelField, CelType } from './types.ts';
import type { CelValue } from './values.ts';

/** A checked expression: every node knows its type and where it stands. */
export type Node = NodeBase &
  (
    | { op: 'const'; value: CelValue }
    | { op: 'root'; name: string }
    | { op: 'local'; slot: number; name: string }
    | { op: 'select'; target: Node; field: string; declared: CelField | undefined; isTest: boolean; isOptional: boolean }
    | { op: 'index'; target: Node; key: Node; isOptional: boolean }
    | { op: 'call'; name: string; overloads: readonly Overload[]; isSure: boolean; args: readonly Node[] }
    | { op: 'and' | 'or'; left: Node; right: Node }
    | { op: 'choose'; test: Node; yes: Node; no: Node }
    | { op: 'list'; items: readonly Item[] }
    | { op: 'map'; entries: readonly Entry[]; struct: string | undefined }
    | { op: 'bind'; slot: number; init: Node; body: Node }
    | { op: 'optMap'; target: Node; slot: number; body: Node; isFlat: boolean }
    | Loop
  );

interface NodeBase {
  type: CelType;
  at: number;
}

/** An element of a list literal. */
export interface Item {
  node: Node;
  isOptional: boolean;
}

/** An entry of a map or message literal. */
export interface Entry {
  key: Node;
  value: Node;
  isOptional: boolean;
}

/** A comprehension over a list or a map with one or two variables. */
export interface Loop {
  op: 'loop';
  macro: 'all' | 'exists' | 'existsOne' | 'list' | 'mapValues' | 'mapEntries';
  range: Node;
  first: number;
  second: number | undefined;
  filter: Node | undefined;
  /** The predicate, or what is collected. */
  step: Node;
}
