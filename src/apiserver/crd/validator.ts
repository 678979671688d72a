import type { FieldCause } from '#base/errors.ts';
import { isObject, type JsonObject } from '#base/json-object.ts';
import type { CrdSchema } from '#kinds/crd-schema.ts';
import { required } from '#kinds/field-errors.ts';
import { jsonEqual } from '#kinds/json-equal.ts';
import { formatPath } from '#kinds/schema.ts';
import { validateObjectMeta } from '#kinds/validation.ts';
import { fieldAt, type Path } from './field-path.ts';
import { duplicatesIn, keyOfElement } from './list-types.ts';
import { type Check, checksOf, typeCheckOf } from './value-checks.ts';

/** All that is wrong with a value by a schema. What a value shares with `old` is not judged: it was let in by the rules of its day. */
export type Validator = (value: unknown, old?: unknown) => FieldCause[];

/** As many as anybody reads. */
const MOST_CAUSES = 100;

/** Compiles a schema; a part of it is compiled when the first value for it comes. */
export function validatorOf(schema: CrdSchema): Validator {
  const root = new SchemaNode(schema, true);
  return (value, old) => {
    const causes: FieldCause[] = [];
    root.validate(value, [], causes);
    if (causes.length === 0 || old === undefined) return causes.slice(0, MOST_CAUSES);
    const changed: FieldCause[] = [];
    root.validate(value, [], changed, { old });
    return changed.slice(0, MOST_CAUSES);
  };
}

/** What stood at the same place before, where that can be told. */
interface Before {
  old: unknown;
}

class SchemaNode {
  readonly #schema: CrdSchema;
  readonly #isRoot: boolean;
  readonly #isOfType: Check | undefined;
  readonly #checks: Check[];
  readonly #properties = new Map<string, SchemaNode>();
  #items: SchemaNode | undefined;
  #additional: SchemaNode | undefined;

  constructor(schema: CrdSchema, isRoot = false) {
    this.#schema = schema;
    this.#isRoot = isRoot;
    this.#isOfType = typeCheckOf(schema);
    this.#checks = [...checksOf(schema), ...combinationsOf(schema)];
  }

  validate(value: unknown, path: Path, causes: FieldCause[], before?: Before): void {
    if (before && jsonEqual(value, before.old)) return;
    if (value === null && this.#schema.nullable) return;
    const found = causes.length;
    this.#isOfType?.(value, path, causes);
    if (causes.length > found) return;
    for (const check of this.#checks) check(value, path, causes);
    if (Array.isArray(value)) this.#validateList(value, path, causes, before);
    else if (isObject(value)) this.#validateObject(value, path, causes, before);
  }

  #validateList(list: unknown[], path: Path, causes: FieldCause[], before: Before | undefined): void {
    const schema = this.#schema;
    const keys = schema['x-kubernetes-list-type'] === 'map' ? (schema['x-kubernetes-list-map-keys'] ?? []) : undefined;
    if (keys || schema['x-kubernetes-list-type'] === 'set') causes.push(...duplicatesIn(list, keys, path));
    if (!schema.items) return;
    this.#items ??= new SchemaNode(schema.items);
    const olds =
      before && keys && Array.isArray(before.old) ? new Map(before.old.map(item => [keyOfElement(item, keys), item])) : undefined;
    for (let i = 0; i < list.length; i++) {
      path.push(i);
      const known = olds?.get(keyOfElement(list[i], keys!));
      this.#items.validate(list[i], path, causes, known === undefined ? undefined : { old: known });
      path.pop();
    }
  }

  #validateObject(object: JsonObject, path: Path, causes: FieldCause[], before: Before | undefined): void {
    const schema = this.#schema;
    for (const key of schema.required ?? []) if (!Object.hasOwn(object, key)) causes.push(required(fieldAt([...path, key])));
    if (schema['x-kubernetes-embedded-resource'] && !this.#isRoot) causes.push(...embeddedCauses(object, path));
    const old = before && isObject(before.old) ? before.old : undefined;
    for (const key in object) {
      const node = this.#nodeOf(key);
      if (!node) continue;
      path.push(key);
      node.validate(object[key], path, causes, old && Object.hasOwn(old, key) ? { old: old[key] } : undefined);
      path.pop();
    }
  }

  #nodeOf(key: string): SchemaNode | undefined {
    const known = this.#properties.get(key);
    if (known) return known;
    const { properties, additionalProperties } = this.#schema;
    if (properties && Object.hasOwn(properties, key)) {
      if (this.#isRoot && key === 'metadata') return this.#metadataNode(properties[key]!);
      const node = new SchemaNode(properties[key]!);
      this.#properties.set(key, node);
      return node;
    }
    if (typeof additionalProperties !== 'object') return undefined;
    this.#additional ??= new SchemaNode(additionalProperties);
    return this.#additional;
  }

  /** Of metadata a definition may restrict name and generateName. */
  #metadataNode(schema: CrdSchema): SchemaNode {
    const node = new SchemaNode(schema);
    this.#properties.set('metadata', node);
    return node;
  }
}

/** An object within the object needs a type, and metadata that could be its own. */
function embeddedCauses(object: JsonObject, path: Path): FieldCause[] {
  const causes: FieldCause[] = [];
  for (const key of ['apiVersion', 'kind'])
    if (typeof object[key] !== 'string' || object[key] === '') causes.push(required(fieldAt([...path, key]), 'must not be empty'));
  if (!isObject(object.metadata)) return causes;
  const { metadata } = object;
  const isNamespaced = typeof metadata.namespace === 'string' && metadata.namespace !== '';
  const meta = validateObjectMeta(metadata, { namespaced: isNamespaced, path: fieldAt([...path, 'metadata']) });
  return [...causes, ...meta.filter(({ reason, field }) => reason !== 'FieldValueRequired' || !field.endsWith('.metadata.name'))];
}

/** `allOf`, `anyOf`, `oneOf` and `not`. */
function combinationsOf(schema: CrdSchema): Check[] {
  const checks: Check[] = [];
  const compile = (schemas: readonly CrdSchema[]) => schemas.map(each => new SchemaNode(each));
  const judge = (nodes: SchemaNode[], value: unknown, path: Path): FieldCause[][] =>
    nodes.map(node => {
      const causes: FieldCause[] = [];
      node.validate(value, path, causes);
      return causes;
    });
  const say = (why: string): FieldCause => ({ reason: 'FieldValueInvalid', message: `Invalid value: "": ${why}`, field: '<nil>' });
  const named = (path: Path) => JSON.stringify(formatPath(path));
  const { allOf, anyOf, oneOf, not } = schema;
  if (allOf?.length) {
    const nodes = compile(allOf);
    checks.push((value, path, causes) => {
      const results = judge(nodes, value, path);
      for (const result of results) causes.push(...result);
      const none = results.every(result => result.length > 0) ? '. None validated' : '';
      if (results.some(result => result.length > 0)) causes.push(say(`${named(path)} must validate all the schemas (allOf)${none}`));
    });
  }
  if (anyOf?.length && !schema['x-kubernetes-int-or-string']) {
    const nodes = compile(anyOf);
    checks.push((value, path, causes) => {
      const results = judge(nodes, value, path);
      if (results.some(result => result.length === 0)) return;
      causes.push(say(`${named(path)} must validate at least one schema (anyOf)`), ...best(results));
    });
  }
  if (oneOf?.length) {
    const nodes = compile(oneOf);
    checks.push((value, path, causes) => {
      const results = judge(nodes, value, path);
      const valid = results.filter(result => result.length === 0).length;
      if (valid === 1) return;
      const found = valid === 0 ? 'Found none valid' : `Found ${valid} valid alternatives`;
      causes.push(say(`${named(path)} must validate one and only one schema (oneOf). ${found}`), ...(valid === 0 ? best(results) : []));
    });
  }
  if (not) {
    const [node] = compile([not]);
    checks.push((value, path, causes) => {
      if (judge([node!], value, path)[0]!.length === 0) causes.push(say(`${named(path)} must not validate the schema (not)`));
    });
  }
  return checks;
}

/** What was nearest to being right. */
function best(results: FieldCause[][]): FieldCause[] {
  return results.reduce((least, each) => (each.length < least.length ? each : least));
}
