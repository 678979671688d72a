import type { FieldCause } from '#base/errors.ts';
import type { Checked, CheckOptions } from './schema.ts';
import type { TypeData } from './schema-data.ts';
import type { ObjectMeta } from './types.gen.ts';

/** Any object of the API: what all kinds share. */
export interface KubeObject {
  apiVersion: string;
  kind: string;
  metadata: ObjectMeta;
}

/** What a client sends to create an object: the server completes the metadata; `status` and defaulted fields may be missing. */
export type Draft<T extends KubeObject> = Omit<T, 'metadata'> & { metadata: Partial<ObjectMeta> };

/** Names one object of a namespaced (or, without `namespace`, a cluster-scoped) kind. */
export interface Key {
  namespace?: string | undefined;
  name: string;
}

/** A column of `kubectl get`: `metav1.TableColumnDefinition` with the way to its value. */
export interface Column<T> {
  name: string;
  type: 'string' | 'integer' | 'number' | 'boolean' | 'date';
  format?: string;
  description?: string;
  /** 0 shows always, 1 with `-o wide`. */
  priority?: number;
  value(object: T, nowMs: number): string | number | boolean | null | undefined;
}

export interface Subresource {
  name: string;
  group?: string;
  version?: string;
  kind: string;
  verbs: string[];
}

/** What a served resource is, without behaviour: one row of discovery. */
export interface Resource {
  group: string;
  version: string;
  kind: string;
  plural: string;
  singular: string;
  namespaced: boolean;
  verbs: string[];
  shortNames?: string[];
  categories?: string[];
  subresources?: Subresource[];
  columns?: { name: string; type: string; format?: string; priority?: number }[];
}

/**
 * What a kind is: its resource row, its schema type, and what people wrote by hand about it. One file a kind; the rest
 * (types, required fields, merge keys, generic metadata rules) comes from the schema. All functions are pure; they are methods,
 * so that a `Kind<Pod>` is a `Kind`.
 */
export interface Kind<T extends KubeObject = KubeObject> {
  readonly resource: Resource;
  /** Name of the type in the schema. */
  readonly type: string;
  /** The type itself, where the generated schema has none: custom resources. */
  readonly schema?: TypeData;
  /** Instead of the generated schema's check of what clients send: custom resources. See `checkObject`. */
  check?(value: unknown, options: CheckOptions): Checked<T>;
  /** Fills in what the client left out. Changes `object`, which passed the schema's check. */
  defaults?(object: T): void;
  /** Sets what the server alone decides at creation and clears what it may not get (status). Generic: generation 1, status dropped where there is a status subresource. */
  prepareForCreate?(object: T): void;
  /** The same before an update; generic: status kept from `old`, generation raised when the spec changed. */
  prepareForUpdate?(object: T, old: T): void;
  /** Completes what a status leaves out, before it replaces that of `old`. */
  prepareForStatusUpdate?(object: T, old: T): void;
  /** Before the object is marked as deleted or removed: may add finalizers and conditions. */
  prepareForDelete?(object: T, nowMs: number): void;
  /** What is wrong with a name; absent: it must be a DNS subdomain. */
  checkName?(name: string): string[];
  validate?(object: T): FieldCause[];
  /** What a new object may not have, besides. */
  validateCreate?(object: T): FieldCause[];
  validateUpdate?(object: T, old: T): FieldCause[];
  /** Instead of `validateUpdate` where a subresource other than `status` changes the object (`ephemeralcontainers`, `resize`). */
  validateSubresourceUpdate?(subresource: string, object: T, old: T): FieldCause[];
  validateStatusUpdate?(object: T, old: T): FieldCause[];
  /** Sentences for `Warning:` headers. */
  warnings?(object: T, old?: T): string[];
  readonly columns?: Column<T>[];
  /** Field selectors besides `metadata.name` and `metadata.namespace`. */
  readonly selectableFields?: Record<string, { of(object: T): string }['of']>;
  /** Where replicas stand, for the `scale` subresource. */
  readonly scale?: {
    specReplicas(object: T): number;
    setSpecReplicas(object: T, replicas: number): void;
    statusReplicas(object: T): number;
    /** A label selector in its string form. */
    selector(object: T): string;
  };
  /** Where objects are kept that another resource shows too; absent: under this kind's own group and plural. */
  readonly storage?: Storage<T>;
  /** Computed on request and never stored: reviews, bindings, component statuses. */
  readonly virtual?: boolean;
  /** Refused with 501 and this sentence: it would store a rule that nobody enforces yet. */
  readonly refused?: string;
  /** Every request to it is answered with this `Warning:`. */
  readonly deprecation?: string;
  /** What OpenAPI v3 publishes of a kind that is not in the generated schema; `revision` changes with it. */
  readonly openApi?: { readonly revision: string; schema(): object };
  /** Accepted with this `Warning:`: nothing acts on it yet. */
  readonly unattended?: string;
}

/** A second face of a resource that is stored as another kind. Both functions are pure and leave their argument as it is. */
export interface Storage<T extends KubeObject = KubeObject> {
  readonly kind: Kind;
  toStored(object: T): KubeObject;
  fromStored(stored: KubeObject): T;
}

/** The kind whose form the store keeps: the kind itself, or the one it shares its objects with. */
export function storedKindOf(kind: Kind): Kind {
  return kind.storage?.kind ?? kind;
}

/** `apps/v1`, `v1`. */
export function apiVersionOf({ group, version }: { group: string; version: string }): string {
  return group ? `${group}/${version}` : version;
}

/** `deployments.apps`, `pods`. */
export function groupResourceOf({ group, plural }: { group: string; plural: string }): string {
  return group ? `${plural}.${group}` : plural;
}
