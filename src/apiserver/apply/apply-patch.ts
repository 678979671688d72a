import { toTime } from '#base/clock.ts';
import { messageOf, UmiakError } from '#base/errors.ts';
import { copyJson, isObject } from '#base/json-object.ts';
import type { KubeObject } from '#kinds/kind.ts';
import { duplicateFields, parseBody } from '../body.ts';
import { type Decoded, toObject } from '../decode.ts';
import type { Context, ResourceRoute } from '../request.ts';
import type { Stored } from '../resources.ts';
import { badRequest, conflict } from '../status.ts';
import type { UpdateOptions } from '../writer.ts';
import { planApply } from './apply.ts';
import { applierOf } from './field-manager.ts';
import { updateLastApplied } from './last-applied.ts';
import { problemsOf } from './leaves.ts';
import { rootShapeOf } from './shape.ts';

/** The media type of server-side apply; JSON is YAML. */
export const APPLY = 'application/apply-patch+yaml';

/** Reads the request's configuration; gives what applies it to the object that is there, or makes it. @throws `BadRequest`, `Invalid`; when used `Conflict` */
export async function applyOf(context: Context<ResourceRoute>, served: Stored): Promise<UpdateOptions> {
  const { query, route } = context;
  const manager = applierOf(context);
  const force = isForced(query);
  const { config, strictErrors } = readConfiguration(await context.request.readBody(), query);
  checkConfiguration(config, served, route);
  let warned = false;
  const plan = (live: KubeObject | undefined, nowMs: number): Decoded => {
    const before = context.warnings.length;
    let missing: Decoded['missing'] = [];
    const complete = (merged: object): KubeObject => {
      // Checking changes its object, and the next attempt needs the configuration as it came.
      const copy = copyJson(merged) as KubeObject;
      if (!config.metadata.resourceVersion) copy.metadata.resourceVersion = '';
      const decoded = toObject({ ...context, route: { ...route, verb: live ? 'update' : 'create' } }, served.kind, copy, strictErrors);
      served.kind.defaults?.(decoded.object);
      missing = decoded.missing;
      return decoded.object;
    };
    const now = toTime(nowMs);
    const object = planApply({ served, manager, subresource: route.subresource, now, config, force, complete }, live);
    if (manager === 'kubectl' && live) updateLastApplied(object, config);
    if (warned) context.warnings.length = before;
    warned = true;
    return { object, missing, isTracked: true };
  };
  return {
    replace: plan,
    ...(!route.subresource && {
      create: nowMs => {
        const { uid } = config.metadata;
        if (uid)
          throw conflict(
            served.resource,
            route.name,
            `uid mismatch: the provided object specified uid ${uid}, and no existing object was found`,
          );
        if (config.metadata.resourceVersion) throw badRequest('resourceVersion should not be set on objects to be created');
        return plan(undefined, nowMs);
      },
    }),
  };
}

/** The `force` parameter. @throws `BadRequest` */
export function isForced(query: URLSearchParams): boolean {
  const text = query.get('force') ?? '';
  if (text === '' || /^(0|f|F|false|False|FALSE)$/.test(text)) return false;
  if (/^(1|t|T|true|True|TRUE)$/.test(text)) return true;
  throw badRequest(`force: ${JSON.stringify(text.slice(0, 100))} is no boolean`);
}

/** Most clients send JSON, which is read much faster than YAML. */
export function readConfiguration(bytes: Buffer, query: URLSearchParams): { config: KubeObject; strictErrors: string[] } {
  const isJson = /^\s*\{/.test(bytes.toString('latin1', 0, 64));
  const config = parseApplied(bytes, isJson);
  if (!isObject(config)) throw badRequest('error decoding YAML: the configuration is no object');
  const validation = query.get('fieldValidation');
  const wanted = isJson && (validation === 'Strict' || validation === 'Warn');
  const strictErrors = wanted ? duplicateFields(bytes.toString()).map(path => `duplicate field "${path}"`) : [];
  if (config.metadata !== undefined && !isObject(config.metadata)) throw badRequest('metadata: expected map');
  config.metadata ??= {};
  return { config: config as unknown as KubeObject, strictErrors };
}

function parseApplied(bytes: Buffer, isJson: boolean): unknown {
  if (isJson) {
    try {
      return parseBody(bytes, 'json');
    } catch {
      // YAML's braces are more forgiving: a comma may stand before the end.
    }
  }
  try {
    return parseBody(bytes, 'yaml');
  } catch (error) {
    throw duplicateKey(bytes, messageOf(error)) ?? error;
  }
}

/** A key that stands twice, in the words that clients look for. */
function duplicateKey(bytes: Buffer, message: string): UmiakError | undefined {
  const [, line, column] = /Map keys must be unique at line (\d+), column (\d+)/.exec(message) ?? [];
  if (!line || !column) return undefined;
  const text =
    bytes
      .toString()
      .split('\n')
      [Number(line) - 1]?.slice(Number(column) - 1) ?? '';
  const [, key = ''] = /^["']?([^"':,}\]]{1,253})/.exec(text) ?? [];
  const place = `line ${line}: key ${JSON.stringify(key)} already set in map`;
  return badRequest(`error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n  ${place}`);
}

function checkConfiguration(config: KubeObject, served: Stored, { namespace, name, subresource }: ResourceRoute): void {
  const { kind, apiVersion } = config as { kind?: unknown; apiVersion?: unknown };
  if (!kind || !apiVersion) throw badRequest(`invalid object type: ${kind ? 'apiVersion' : 'kind'} is not set`);
  if (typeof kind !== 'string' || typeof apiVersion !== 'string')
    throw badRequest('invalid object type: apiVersion and kind must be strings');
  if (apiVersion !== served.apiVersion)
    throw badRequest(
      `Incorrect version specified in apply patch. Specified patch version: ${apiVersion.slice(0, 100)}, expected: ${served.apiVersion}`,
    );
  if (config.metadata.managedFields) throw badRequest('metadata.managedFields must be nil');
  delete config.metadata.managedFields;
  const problems = problemsOf(rootShapeOf(served.kind, subresource), config);
  if (problems.length === 0) return;
  const list = problems.length === 1 ? problems[0] : ['errors:', ...problems.slice(0, 20).map(problem => `  ${problem}`)].join('\n');
  const what = `${namespace || '<unknown>'}/${name}; ${served.apiVersion}, Kind=${served.resource.kind}`;
  throw new UmiakError('BadRequest', `failed to create typed patch object (${what}): ${list}`);
}
