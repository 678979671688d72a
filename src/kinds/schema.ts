import { type FieldCause, UmiakError } from '#base/errors.ts';
import { isObject } from '#base/json-object.ts';
import { canonicalQuantity } from '#base/quantity.ts';
import { apiVersionOf, type Kind, type KubeObject } from './kind.ts';
import { canonicalBase64, canonicalMicroTime, canonicalTime } from './scalars.ts';
import { type Field, schemaData, type TypeData, typeNameOf } from './schema-data.ts';

/** What happens to fields the schema doesn't know: refuse, warn, or drop them quietly (they are dropped always). */
export type FieldValidation = 'Strict' | 'Warn' | 'Ignore';

export interface CheckOptions {
  /** Absent: `Warn`, as upstream. */
  fieldValidation?: FieldValidation | undefined;
  /** Unknown or duplicate fields that the JSON decoder found before; reported together with ours. */
  strictErrors?: readonly string[] | undefined;
}

export interface Checked<T> {
  /** The given value, changed in place: unknown fields and nulls gone, scalars in canonical form, required fields and the schema's defaults present. */
  object: T;
  /** Sentences for `Warning:` headers. */
  warnings: string[];
  /** Required fields that were absent; they now hold an empty value, as a decoder in Go leaves them. Validation reports them. */
  missing: FieldCause[];
}

/** What patches must know about a field's list or map. */
export interface MergeInfo {
  /** `merge`: element by element; `replace`: as a whole. */
  strategy: 'merge' | 'replace';
  /** The field that tells elements of a merged list of objects apart; absent for lists of scalars. */
  mergeKey?: string;
  /** Fields that the patch does not name under `$retainKeys` are cleared. */
  retainKeys: boolean;
}

/**
 * Checks a decoded JSON value against a kind's type and puts it in form. Absent `apiVersion` and `kind` are filled in.
 * @throws `BadRequest` for a wrong type anywhere, another apiVersion or kind, or (with `Strict`) unknown fields
 */
export function checkObject<T extends KubeObject>(kind: Kind<T>, value: unknown, options: CheckOptions = {}): Checked<T> {
  if (kind.check) return kind.check(value, options);
  const { group, version, kind: name } = kind.resource;
  return checkGvk<T>({ group, version, kind: name }, value, options);
}

/** The same for any object that has a type in the schema: `Scale`, `Eviction`, `DeleteOptions` (group '', version `v1`), … */
export function checkGvk<T>(
  { group, version, kind }: { group: string; version: string; kind: string },
  value: unknown,
  { fieldValidation = 'Warn', strictErrors = [] }: CheckOptions = {},
): Checked<T> {
  const apiVersion = apiVersionOf({ group, version });
  const type = typeNameOf(`${apiVersion}/${kind}`);
  if (!type) throw new UmiakError('InternalError', `the schema has no type for ${apiVersion} ${kind}`);
  const check = new Check({ kind, version, type });
  if (isObject(value)) completeGvk(value, apiVersion, kind);
  planOf(type)(value, check);
  const problems = [...check.unknown, ...strictErrors];
  if (fieldValidation === 'Strict' && problems.length > 0) check.refuse(`strict decoding error: ${problems.join(', ')}`);
  return { object: value as T, warnings: fieldValidation === 'Warn' ? problems : [], missing: check.missing };
}

/**
 * What all kinds share of a custom resource: apiVersion, kind and metadata are checked as above; the rest is the definition's.
 * Gives the sentences about unknown fields in metadata. @throws `BadRequest`
 */
export function checkResource({ group, version, kind }: { group: string; version: string; kind: string }, value: unknown): string[] {
  const check: Check = new Check({ kind, version, type: OBJECT_META });
  if (!isObject(value)) check.wrongType(value, kind);
  completeGvk(value, apiVersionOf({ group, version }), kind);
  if (typeof value.apiVersion !== 'string' || typeof value.kind !== 'string') check.refuse('apiVersion and kind must be strings');
  value.metadata ??= {};
  return checkMetadata(value, check);
}

/** The same for the metadata of a resource that stands at `path` within another. @throws `BadRequest` */
export function checkEmbeddedMetadata(
  value: Record<string, unknown>,
  path: readonly (string | number)[],
  { version, kind }: { version: string; kind: string },
): string[] {
  if (value.metadata === undefined) return [];
  const check: Check = new Check({ kind, version, type: OBJECT_META });
  check.path.push(...path);
  return checkMetadata(value, check);
}

const OBJECT_META = 'io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta';

function checkMetadata(value: Record<string, unknown>, check: Check): string[] {
  check.path.push('metadata');
  value.metadata = planOf(OBJECT_META)(value.metadata, check);
  checkFreeJson(value, check);
  return check.unknown;
}

function completeGvk(value: Record<string, unknown>, apiVersion: string, kind: string): void {
  value.apiVersion ??= apiVersion;
  value.kind ??= kind;
  if (typeof value.apiVersion === 'string' && value.apiVersion !== apiVersion) {
    const why = `the API version in the data (${quotable(value.apiVersion)}) does not match the expected API version (${apiVersion})`;
    throw new UmiakError('BadRequest', why);
  }
  if (typeof value.kind === 'string' && value.kind !== kind)
    throw new UmiakError('BadRequest', `the kind in the data (${quotable(value.kind)}) does not match the expected kind (${kind})`);
}

/** The schema's field `key` of a type, or undefined. */
export function fieldOf(typeName: string, key: string): Field | undefined {
  const fields = schemaData().types[typeName]?.fields;
  return fields && Object.hasOwn(fields, key) ? fields[key] : undefined;
}

/** Name of the type that a field, or its elements or values, refer to; undefined for scalars and free-form JSON. */
export function typeOfField(field: Field): string | undefined {
  return field.ref ?? (field.items && typeOfField(field.items)) ?? (field.values && typeOfField(field.values));
}

/** How a strategic merge patch treats field `key` of a type. */
export function mergeInfo(typeName: string, key: string): MergeInfo {
  const field = fieldOf(typeName, key);
  const strategies = field?.['patch-strategy']?.split(',') ?? [];
  const isList = field?.type === 'array';
  return {
    strategy: strategies.includes('merge') || (!isList && !strategies.includes('replace')) ? 'merge' : 'replace',
    ...(field?.['patch-merge-key'] ? { mergeKey: field['patch-merge-key'] } : {}),
    retainKeys: strategies.includes('retainKeys'),
  };
}

/** Checks one value and returns it, or what it is to be replaced by. */
type Plan = (value: unknown, check: Check) => unknown;

const MAX_REPORTED = 100;
const MAX_DEPTH = 256;

/** The state of one check: where it is, and what it found. */
class Check {
  readonly path: (string | number)[] = [];
  readonly unknown: string[] = [];
  readonly missing: FieldCause[] = [];
  readonly #root: { kind: string; version: string; type: string };
  depth = 0;

  constructor(root: { kind: string; version: string; type: string }) {
    this.#root = root;
  }

  noteUnknown(key: string): void {
    if (this.unknown.length < MAX_REPORTED) this.unknown.push(`unknown field "${quotable(formatPath([...this.path, key]))}"`);
  }

  /** Statuses and managed fields are written by programs: there an absent field is just empty. */
  noteMissing(key: string): void {
    const [first] = this.path;
    if (first === 'status' || this.path.includes('managedFields') || this.missing.length >= MAX_REPORTED) return;
    // Owners that a template names are nobody's.
    if (first !== 'metadata' && this.path.includes('ownerReferences')) return;
    this.missing.push({ reason: 'FieldValueRequired', message: 'Required value', field: formatPath([...this.path, key]) });
  }

  /** @throws `BadRequest` */
  wrongType(value: unknown, goType: string): never {
    const fields = this.path.filter(part => typeof part === 'string');
    const target = fields.length > 0 ? `Go struct field ${this.#structName()}.${quotable(fields.join('.'))}` : 'Go value';
    this.refuse(`json: cannot unmarshal ${describe(value)} into ${target} of type ${goType}`);
  }

  /** @throws `BadRequest` */
  refuse(why: string): never {
    const { kind, version } = this.#root;
    throw new UmiakError('BadRequest', `${kind} in version "${version}" cannot be handled as a ${kind}: ${why}`);
  }

  /** The short name of the innermost type that has the present field. */
  #structName(): string {
    let type = this.#root.type;
    let field: Field | undefined;
    for (const part of this.path) {
      const inner: Field | undefined = typeof part === 'number' ? field?.items : field?.values;
      if (inner) field = inner;
      else {
        type = field?.ref ?? type;
        field = fieldOf(type, String(part));
      }
    }
    return type.split('.').at(-1) ?? type;
  }
}

/** Plans are compiled once a type, at its first use. */
const plans = new Map<string, Plan>();

function planOf(typeName: string): Plan {
  let plan = plans.get(typeName);
  if (!plan) {
    // Types may contain themselves: whoever asks meanwhile gets a door to the plan to come.
    let made: Plan | undefined;
    plans.set(typeName, (value, check) => (made as Plan)(value, check));
    made = compileType(typeName);
    plans.set(typeName, made);
    plan = made;
  }
  return plan;
}

const scalarTypes: Record<string, Plan> = {
  'io.k8s.apimachinery.pkg.api.resource.Quantity': checkQuantity,
  'io.k8s.apimachinery.pkg.apis.meta.v1.Time': (value, check) => checkTime(value, check, canonicalTime),
  'io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime': (value, check) => checkTime(value, check, canonicalMicroTime),
  'io.k8s.apimachinery.pkg.util.intstr.IntOrString': checkIntOrString,
};

function compileType(typeName: string): Plan {
  const scalar = scalarTypes[typeName];
  if (scalar) return scalar;
  const type = schemaData().types[typeName];
  if (!type) throw new UmiakError('InternalError', `the schema has no type ${typeName}`);
  if (!type.fields) return type.type === 'object' ? checkFreeObject : checkFreeJson;
  return compileStruct(typeName, type);
}

function compileStruct(typeName: string, { fields = {}, required = [], gvk = [] }: TypeData): Plan {
  const goType = typeName.split('.').slice(-2).join('.');
  const presets = Object.entries(fields).flatMap(([key, field]) => (field.default === undefined ? [] : [[key, field.default] as const]));
  const known = new Map(Object.entries(fields).map(([key, field]) => [key, lazily(field)]));
  const embedded = typeName.endsWith('TemplateSpec') || gvk.length === 1;
  const needed = [
    ...new Set([
      ...required,
      ...(embedded && fields.spec ? ['spec'] : []),
      ...(gvk.length === 1 && fields.metadata?.ref ? ['metadata'] : []),
    ]),
  ].map(key => ({ key, ...emptyOf(fields[key] as Field, `${goType}.${key}`) }));
  return (value, check: Check) => {
    if (!isObject(value)) check.wrongType(value, goType);
    if (++check.depth > MAX_DEPTH) check.refuse('exceeded max depth');
    const { path } = check;
    for (const key in value) {
      const given = value[key];
      const plan = known.get(key);
      if (plan === undefined) {
        check.noteUnknown(key);
        delete value[key];
      } else if (given === null || given === undefined) delete value[key];
      else {
        path.push(key);
        const made = plan(given, check);
        if (made !== given) value[key] = made;
        path.pop();
      }
    }
    for (const { key, empty, mayLack } of needed) {
      if (value[key] !== undefined) continue;
      if (!mayLack) check.noteMissing(key);
      const filled = empty();
      if (filled === undefined) continue;
      value[key] = filled;
      if (!isObject(filled)) continue;
      path.push(key);
      (known.get(key) as Plan)(filled, check);
      path.pop();
    }
    for (const [key, preset] of presets) value[key] ??= preset;
    check.depth--;
    return value;
  };
}

/** Required by the schema, yet upstream takes their absence for an empty value. */
const MAY_LACK = new Set([
  'v1.HTTPHeader.value',
  'v1.Sysctl.value',
  'v1.CSINodeSpec.drivers',
  'v1.Event.metadata',
  'v1.Event.eventTime',
  'v1.PodFailurePolicy.rules',
  'v1.Role.rules',
  'v1.ConfigMapNodeConfigSource.kubeletConfigKey',
  'v1.ConfigMapNodeConfigSource.name',
  'v1.ConfigMapNodeConfigSource.namespace',
  'v1.LimitRangeSpec.limits',
  'v1.ScopedResourceSelectorRequirement.operator',
  'v1.ScopedResourceSelectorRequirement.scopeName',
  'v1.Taint.key',
  'v1.Taint.effect',
]);

/** What an absent required field becomes (Go's zero value), and whether that is fine. */
function emptyOf(field: Field, qualifiedName: string): { empty: () => unknown; mayLack: boolean } {
  const excused = MAY_LACK.has(qualifiedName);
  if (field.type === 'boolean') return { empty: () => false, mayLack: true };
  if (field.type === 'integer' || field.type === 'number') return { empty: () => 0, mayLack: true };
  if (field.type === 'string') return { empty: () => '', mayLack: excused };
  if (field.type === 'array') return { empty: () => [], mayLack: excused };
  if (field.type === 'map') return { empty: () => ({}), mayLack: excused };
  const isStruct = field.ref !== undefined && schemaData().types[field.ref]?.fields !== undefined;
  // Whether there is a selector at all is for the kinds to judge: none selects nothing, an empty one everything.
  if (field.ref?.endsWith('.LabelSelector')) return { empty: () => undefined, mayLack: true };
  if (isStruct) return { empty: () => ({}), mayLack: true };
  if (field.ref?.endsWith('.IntOrString')) return { empty: () => 0, mayLack: excused };
  if (field.ref?.endsWith('.Quantity')) return { empty: () => '0', mayLack: excused };
  return { empty: () => undefined, mayLack: excused };
}

/** Most types of most kinds are never used: a field's plan is compiled when the first value comes. */
function lazily(field: Field): Plan {
  if (!field.ref && !field.items && !field.values) return compileField(field);
  let plan: Plan | undefined;
  return (value, check: Check) => {
    plan ??= compileField(field);
    return plan(value, check);
  };
}

function compileField(field: Field): Plan {
  if (field.ref) return planOf(field.ref);
  switch (field.type) {
    case 'string':
      return field.format === 'byte' ? checkBytes : checkString;
    case 'boolean':
      return (value, check) => (typeof value === 'boolean' ? value : check.wrongType(value, 'bool'));
    case 'integer':
      return field.format === 'int64' ? checkInt64 : checkInt32;
    case 'number':
      return (value, check) => (typeof value === 'number' && Number.isFinite(value) ? value : check.wrongType(value, 'float64'));
    case 'array':
      return compileList(field.items ?? {});
    case 'map':
      return compileMap(field.values ?? {});
    case 'int-or-string':
      return checkIntOrString;
    case 'object':
      return checkFreeObject;
    default:
      return checkFreeJson;
  }
}

function compileList(items: Field): Plan {
  const plan = compileField(items);
  const goType = `[]${goTypeOf(items)}`;
  const { empty } = emptyOf(items, goType);
  return (value, check: Check) => {
    if (!Array.isArray(value)) check.wrongType(value, goType);
    const { path } = check;
    for (let i = 0; i < value.length; i++) {
      const given = value[i] ?? empty();
      path.push(i);
      const made = plan(given, check);
      if (made !== value[i]) value[i] = made;
      path.pop();
    }
    return value;
  };
}

function compileMap(values: Field): Plan {
  const plan = compileField(values);
  const goType = `map[string]${goTypeOf(values)}`;
  const { empty } = emptyOf(values, goType);
  return (value, check: Check) => {
    if (!isObject(value)) check.wrongType(value, goType);
    const { path } = check;
    for (const key in value) {
      const given = value[key] ?? empty();
      path.push(key);
      const made = plan(given, check);
      if (made !== value[key]) Object.defineProperty(value, key, { value: made, writable: true, enumerable: true, configurable: true });
      path.pop();
    }
    return value;
  };
}

function goTypeOf(field: Field): string {
  if (field.ref) return field.ref.split('.').slice(-2).join('.');
  if (field.type === 'array') return `[]${goTypeOf(field.items ?? {})}`;
  if (field.type === 'map') return `map[string]${goTypeOf(field.values ?? {})}`;
  if (field.type === 'string') return field.format === 'byte' ? '[]uint8' : 'string';
  if (field.type === 'boolean') return 'bool';
  if (field.type === 'number') return 'float64';
  return field.format ?? 'interface {}';
}

function checkString(value: unknown, check: Check): unknown {
  return typeof value === 'string' ? value : check.wrongType(value, 'string');
}

function checkInt32(value: unknown, check: Check): unknown {
  return typeof value === 'number' && (value | 0) === value ? value : check.wrongType(value, 'int32');
}

/** Beyond 2⁵³ a number has lost digits before it comes here: refused rather than stored wrong. */
function checkInt64(value: unknown, check: Check): unknown {
  return Number.isSafeInteger(value) ? value : check.wrongType(value, 'int64');
}

function checkIntOrString(value: unknown, check: Check): unknown {
  return typeof value === 'string' ? value : checkInt32(value, check);
}

function checkQuantity(value: unknown, check: Check): unknown {
  if (typeof value !== 'string' && typeof value !== 'number') check.wrongType(value, 'resource.Quantity');
  try {
    return canonicalQuantity(value);
  } catch (error) {
    if (error instanceof UmiakError) check.refuse(error.message);
    throw error;
  }
}

function checkTime(value: unknown, check: Check, canonical: (text: string) => string | undefined): unknown {
  if (typeof value !== 'string') check.wrongType(value, 'string');
  const text = quotable(value);
  return canonical(value) ?? check.refuse(`parsing time "${text}" as "2006-01-02T15:04:05Z07:00": cannot parse "${text}"`);
}

function checkBytes(value: unknown, check: Check): unknown {
  if (typeof value !== 'string') check.wrongType(value, '[]uint8');
  return canonicalBase64(value) ?? check.refuse(`illegal base64 data at input byte ${wrongByteOf(value)}`);
}

/** Where a decoder in Go stops: at the first byte that is none of the alphabet, or at the last four when they are not whole. */
function wrongByteOf(text: string): number {
  const stranger = text.search(/[^A-Za-z0-9+/=\r\n]|=(?!=?[\r\n]*$)/);
  return stranger >= 0 ? stranger : text.length - (text.length % 4);
}

function checkFreeObject(value: unknown, check: Check): unknown {
  if (!isObject(value)) check.wrongType(value, 'map[string]interface {}');
  return checkFreeJson(value, check);
}

/** Free-form JSON is kept as it is; only its depth is bounded, without recursion. */
function checkFreeJson(value: unknown, check: Check): unknown {
  let level: unknown[] = [value];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MAX_DEPTH) check.refuse('exceeded max depth');
    level = level.flatMap(one => (one !== null && typeof one === 'object' ? Object.values(one) : []));
  }
  return value;
}

/** JSON's word for a value, with the number as Go adds it. */
function describe(value: unknown): string {
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'boolean') return 'bool';
  if (typeof value === 'number') return Number.isInteger(value) && Math.abs(value) < 2 ** 31 ? 'number' : `number ${value}`;
  return value === null ? 'null' : typeof value;
}

/** `spec.containers[0].image`. */
export function formatPath(path: readonly (string | number)[]): string {
  let text = '';
  for (const part of path) text += typeof part === 'number' ? `[${part}]` : text === '' ? part : `.${part}`;
  return text;
}

/** Clients' text inside our messages, kept short. */
function quotable(text: string): string {
  return text.length > 256 ? `${text.slice(0, 256)}…` : text;
}
