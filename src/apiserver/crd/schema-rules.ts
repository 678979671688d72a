import { type FieldCause, UmiakError } from '#base/errors.ts';
import type { JsonObject } from '#base/json-object.ts';
import type { CrdSchema } from '#kinds/crd-schema.ts';
import { toTypeData } from '#kinds/crd-type-data.ts';
import type { KubeObject } from '#kinds/kind.ts';
import { type Checked, checkResource, type FieldValidation } from '#kinds/schema.ts';
import type { TypeData } from '#kinds/schema-data.ts';
import { beginSlice, isSliceOver, runInSlices } from '../slices.ts';
import { checkEmbedded } from './embedded.ts';
import { prune } from './prune.ts';
import { toPublishedSchema } from './published-schema.ts';
import { type Rules, rulesOf } from './rules.ts';
import { type Validator, validatorOf } from './validator.ts';

/** A kind that has no schema keeps everything. */
const ANYTHING: CrdSchema = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };

/** Judgements by rules that did not end within their slice, by the metadata of their objects, which all versions of an object share. */
const unfinished = new WeakMap<object, ReturnType<Rules>>();

/** The rest of what the rules find wrong with an object that was validated; undefined when they are through with it. */
export function finishRules({ metadata }: KubeObject): Promise<FieldCause[]> | undefined {
  const judging = unfinished.get(metadata);
  return judging && runInSlices(judging);
}

interface Gvk {
  group: string;
  version: string;
  kind: string;
}

/** What one version's schema demands of objects. It is read and compiled when the first object comes. */
export class SchemaRules {
  readonly #read: () => CrdSchema | undefined;
  #schema: CrdSchema | undefined;
  #typeData: TypeData | undefined;
  #validator: Validator | undefined;
  /** Null until they have been looked for. */
  #rules: Rules | undefined | null = null;

  constructor(read: () => CrdSchema | undefined) {
    this.#read = read;
  }

  get schema(): CrdSchema {
    this.#schema ??= this.#read() ?? ANYTHING;
    return this.#schema;
  }

  get typeData(): TypeData {
    this.#typeData ??= toTypeData(this.schema);
    return this.#typeData;
  }

  /** Takes a decoded JSON value for an object: types of the common fields checked, unknown fields dropped. @throws `BadRequest` */
  check<T>(gvk: Gvk, value: unknown, fieldValidation: FieldValidation, strictErrors: readonly string[]): Checked<T> {
    beginSlice();
    const unknown = checkResource(gvk, value);
    const dropped = prune(value as JsonObject, this.schema);
    const embedded = checkEmbedded(value, this.schema, gvk);
    const problems = [...strictErrors, ...unknown, ...embedded, ...dropped.map(path => `unknown field "${path}"`)];
    if (fieldValidation === 'Strict' && problems.length > 0) {
      const { kind, version } = gvk;
      const list = problems.join(', ');
      throw new UmiakError('BadRequest', `${kind} in version "${version}" cannot be handled as a ${kind}: strict decoding error: ${list}`);
    }
    return { object: value as T, warnings: fieldValidation === 'Warn' ? problems : [], missing: [] };
  }

  /**
   * All that is wrong with an object by the schema; what it shares with `old` is not judged again. Rules that take longer than a slice
   * of the present turn are left to `finishRules`.
   */
  validate(object: KubeObject, old?: KubeObject): FieldCause[] {
    this.#validator ??= validatorOf(this.schema);
    const causes = this.#validator(object, old);
    if (causes.length > 0) return causes; // rules may rely on types
    if (this.#rules === null) this.#rules = rulesOf(this.schema);
    if (!this.#rules) return [];
    const judging = this.#rules(object, old);
    for (let step = judging.next(); ; step = judging.next()) {
      if (step.done) return step.value;
      if (!isSliceOver()) continue;
      unfinished.set(object.metadata, judging);
      return [];
    }
  }

  /** The type as OpenAPI v3 shows it. */
  published(gvk: Gvk): object {
    return toPublishedSchema(this.#schema ?? this.#read(), gvk);
  }
}
