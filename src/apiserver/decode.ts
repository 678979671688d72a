import { type FieldCause, UmiakError } from '#base/errors.ts';
import type { Kind, KubeObject } from '#kinds/kind.ts';
import { checkObject, type FieldValidation } from '#kinds/schema.ts';
import { bodyTypeOf, duplicateFields, parseBody } from './body.ts';
import { brief } from './brief.ts';
import type { Context, ResourceRoute } from './request.ts';
import { badRequest } from './status.ts';

/** A decoded object, and the required fields it lacks, which validation is to report. */
export interface Decoded {
  object: KubeObject;
  missing: FieldCause[];
  /** Its `managedFields` are made already. */
  isTracked?: boolean;
}

/** The `fieldValidation` parameter; by default unknown fields are warned of. @throws `BadRequest` */
export function fieldValidationOf(query: URLSearchParams): FieldValidation {
  const text = query.get('fieldValidation') ?? '';
  if (text === '') return 'Warn';
  if (text === 'Strict' || text === 'Warn' || text === 'Ignore') return text;
  throw invalidParameter('fieldValidation', text, '"Ignore", "Strict", "Warn"');
}

/** True for `dryRun=All`. @throws `Invalid` for other values */
export function isDryRun(query: URLSearchParams): boolean {
  const values = query.getAll('dryRun').filter(value => value !== '');
  for (const value of values) if (value !== 'All') throw invalidParameter('dryRun', value, '"All"');
  return values.length > 0;
}

function invalidParameter(name: string, value: string, supported: string): UmiakError {
  const shown = JSON.stringify(value.slice(0, 100));
  return new UmiakError('Invalid', `${name}: Unsupported value: ${shown}: supported values: ${supported}`, {
    details: {
      causes: [{ field: name, reason: 'FieldValueNotSupported', message: `Unsupported value: ${shown}: supported values: ${supported}` }],
    },
  });
}

/** The JSON value in the request's body, and the fields that stand twice in it, where the client wants to know. */
export async function readBodyValue({ request, query }: Context): Promise<{ value: unknown; duplicates: string[] }> {
  const type = bodyTypeOf(request.headers['content-type']);
  const bytes = await request.readBody();
  const value = parseBody(bytes, type);
  const validation = query.get('fieldValidation');
  const wanted = type === 'json' && (validation === 'Strict' || validation === 'Warn');
  return { value, duplicates: wanted ? duplicateFields(bytes.toString()).map(path => `duplicate field "${path}"`) : [] };
}

/** The object of `kind` in the body: of the right kind, checked against the schema, for the right namespace and name. */
export async function readObject(context: Context<ResourceRoute>, kind: Kind): Promise<Decoded> {
  const { value, duplicates } = await readBodyValue(context);
  return toObject(context, kind, value, duplicates);
}

/** Takes a JSON value for an object of `kind`. @throws `BadRequest` with what does not fit */
export function toObject(
  { route, query, warnings }: Context<ResourceRoute>,
  kind: Kind,
  value: unknown,
  strictErrors: string[] = [],
): Decoded {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw badRequest(`the body is no ${kind.resource.kind} object`);
  const checked = checkObject(kind, value, { fieldValidation: fieldValidationOf(query), strictErrors });
  warnings.push(...checked.warnings);
  checked.object.metadata ??= {} as KubeObject['metadata'];
  checkPlace(route, checked.object, kind);
  return checked;
}

function checkPlace({ namespace, name, subresource, served, verb }: ResourceRoute, { metadata }: KubeObject, kind: Kind): void {
  if (served.resource.namespaced) {
    metadata.namespace ||= namespace;
    if (metadata.namespace !== namespace)
      throw badRequest('the namespace of the provided object does not match the namespace sent on the request');
  } else if (kind.resource.namespaced === false) delete metadata.namespace;
  if (!name) return;
  if (metadata.name === undefined && (verb !== 'update' || subresource)) metadata.name = name;
  if (metadata.name !== name) {
    throw badRequest(
      metadata.name
        ? `the name of the object (${brief(metadata.name)}) does not match the name on the URL (${name})`
        : 'name must be provided',
    );
  }
}
