import type { FieldCause } from '#base/errors.ts';
import type { CrdSchema } from '#kinds/crd-schema.ts';
import { duplicate, invalid, required, tooMany } from '#kinds/field-errors.ts';
import { jsonEqual } from '#kinds/json-equal.ts';
import type { CustomResourceDefinition, CustomResourceDefinitionVersion } from '#kinds/types.gen.ts';
import { defaultCauses } from './default-rules.ts';
import { compileJsonPath, fieldNamesOf } from './json-path.ts';
import { ruleCauses } from './rule-costs.ts';
import { schemaCauses } from './schema-causes.ts';
import { structuralCauses } from './structural.ts';

const COLUMN_TYPES = ['boolean', 'date', 'integer', 'number', 'string'];
const COLUMN_FORMATS = ['byte', 'date', 'date-time', 'double', 'float', 'int32', 'int64', 'password'];
const MOST_SELECTABLE_FIELDS = 8;

/**
 * What is wrong with the versions of a definition: schemas, rules, columns, subresources. A version that is as it was is not judged
 * again. A part at a time: schemas may be large.
 */
export function* definitionCauses(
  crd: CustomResourceDefinition,
  old: CustomResourceDefinition | undefined,
): Generator<undefined, FieldCause[]> {
  const causes: FieldCause[] = [];
  for (const [i, version] of crd.spec.versions.entries()) {
    const before = old?.spec.versions.find(({ name }) => name === version.name);
    if (!before || !jsonEqual(before, version)) causes.push(...(yield* versionCauses(version, `spec.versions[${i}]`)));
  }
  return causes;
}

function* versionCauses(version: CustomResourceDefinitionVersion, at: string): Generator<undefined, FieldCause[]> {
  const schema = version.schema?.openAPIV3Schema as CrdSchema | undefined;
  const causes = [
    ...(version.additionalPrinterColumns ?? []).flatMap((column, i) => columnCauses(column, `${at}.additionalPrinterColumns[${i}]`)),
    ...scaleCauses(version.subresources?.scale, `${at}.subresources.scale`),
    ...selectableCauses(version.selectableFields, schema, `${at}.selectableFields`),
  ];
  if (!schema) return [...causes, required(`${at}.schema.openAPIV3Schema`, 'schemas are required')];
  return [...causes, ...(yield* wholeSchemaCauses(schema, `${at}.schema.openAPIV3Schema`))];
}

/** The schema's form first; what counts on that form (defaults, rules) only when it is right. */
function* wholeSchemaCauses(schema: CrdSchema, at: string): Generator<undefined, FieldCause[]> {
  const form = [...(yield* together(schemaCauses(schema, at))), ...(yield* together(structuralCauses(schema, at)))];
  if (form.length > 0) return form;
  return [...(yield* together(defaultCauses(schema, at))), ...(yield* together(ruleCauses(schema, at)))];
}

function* together(parts: Iterable<FieldCause[]>): Generator<undefined, FieldCause[]> {
  const causes: FieldCause[] = [];
  for (const part of parts) {
    causes.push(...part);
    yield;
  }
  return causes;
}

function columnCauses(
  { name, type, format, jsonPath }: NonNullable<CustomResourceDefinitionVersion['additionalPrinterColumns']>[number],
  at: string,
): FieldCause[] {
  const causes: FieldCause[] = [];
  if (!name) causes.push(required(`${at}.name`));
  if (!type) causes.push(required(`${at}.type`, `must be one of ${COLUMN_TYPES.join(',')}`));
  else if (!COLUMN_TYPES.includes(type)) causes.push(invalid(`${at}.type`, type, `must be one of ${COLUMN_TYPES.join(',')}`));
  if (format && !COLUMN_FORMATS.includes(format))
    causes.push(invalid(`${at}.format`, format, `must be one of ${COLUMN_FORMATS.join(',')}`));
  if (!jsonPath) causes.push(required(`${at}.jsonPath`));
  else {
    const why = pathProblem(jsonPath);
    if (why) causes.push(invalid(`${at}.jsonPath`, jsonPath, why));
  }
  return causes;
}

function pathProblem(path: string): string | undefined {
  if (!path.startsWith('.') && !path.startsWith('[') && !path.startsWith('$')) return 'must be a simple json path starting with .';
  try {
    compileJsonPath(path);
    return undefined;
  } catch (error) {
    return `is an invalid json path: ${(error as Error).message}`;
  }
}

function scaleCauses(scale: NonNullable<CustomResourceDefinitionVersion['subresources']>['scale'], at: string): FieldCause[] {
  if (!scale) return [];
  const check = (field: string, path: string | undefined, roots: readonly string[]): FieldCause[] => {
    if (!path) return field === 'labelSelectorPath' ? [] : [required(`${at}.${field}`)];
    const names = fieldNamesOf(path);
    if (!names) return [invalid(`${at}.${field}`, path, 'should be a simple json path with the dot notation')];
    if (roots.includes(names[0]!) && names.length > 1) return [];
    return [invalid(`${at}.${field}`, path, `should be a json path under ${roots.map(root => `.${root}`).join(' or ')}`)];
  };
  return [
    ...check('specReplicasPath', scale.specReplicasPath, ['spec']),
    ...check('statusReplicasPath', scale.statusReplicasPath, ['status']),
    ...check('labelSelectorPath', scale.labelSelectorPath, ['status', 'spec']),
  ];
}

function selectableCauses(
  fields: CustomResourceDefinitionVersion['selectableFields'],
  schema: CrdSchema | undefined,
  at: string,
): FieldCause[] {
  const causes: FieldCause[] = [];
  const seen = new Set<string>();
  fields?.forEach(({ jsonPath }, i) => {
    const field = `${at}[${i}].jsonPath`;
    const names = fieldNamesOf(jsonPath);
    const found = names && names[0] !== 'metadata' ? leafOf(schema, names) : undefined;
    if (!jsonPath) causes.push(required(field));
    else if (!names) causes.push(invalid(field, jsonPath, 'is an invalid path: it must be a simple path of fields'));
    else if (names[0] === 'metadata') causes.push(invalid(field, jsonPath, 'must not point to fields in metadata'));
    else if (!found) causes.push(invalid(field, jsonPath, 'is an invalid path: does not refer to a valid field'));
    else if (!['string', 'boolean', 'integer'].includes(found.type ?? ''))
      causes.push(invalid(field, jsonPath, 'must point to a field of type string, boolean or integer'));
    if (seen.has(jsonPath)) causes.push(duplicate(field, jsonPath));
    seen.add(jsonPath);
  });
  if (seen.size > MOST_SELECTABLE_FIELDS) causes.push(tooMany(at, seen.size, MOST_SELECTABLE_FIELDS));
  return causes;
}

function leafOf(schema: CrdSchema | undefined, names: readonly string[]): CrdSchema | undefined {
  let found = schema;
  for (const name of names) found = found?.properties && Object.hasOwn(found.properties, name) ? found.properties[name] : undefined;
  return found;
}
