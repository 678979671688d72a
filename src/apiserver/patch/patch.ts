import { UmiakError } from '#base/errors.ts';
import type { KubeObject } from '#kinds/kind.ts';
import { APPLY, applyOf } from '../apply/apply-patch.ts';
import { mediaTypeOf, parseBody } from '../body.ts';
import { type Decoded, toObject } from '../decode.ts';
import { hasStatusSubresource } from '../object-metadata.ts';
import type { Context, ResourceRoute } from '../request.ts';
import type { Stored } from '../resources.ts';
import { badRequest } from '../status.ts';
import type { UpdateOptions } from '../writer.ts';
import { applyJsonPatch } from './json-patch.ts';
import { applyMergePatch } from './merge-patch.ts';
import { applyStrategicMergePatch } from './strategic-merge.ts';

/** Reads the request's patch; gives what makes the patched object from the current one, checked and defaulted as if it had been sent whole. */
export async function patchOf(context: Context<ResourceRoute>, served: Stored): Promise<UpdateOptions> {
  const { request, route } = context;
  const type = mediaTypeOf(request.headers['content-type']);
  if (type === APPLY) return await applyOf(context, served);
  refuseForce(context);
  if (type === STRATEGIC && served.kind.check) throw unsupportedPatch('application/json-patch+json, application/merge-patch+json');
  const bytes = await request.readBody();
  const apply = applierOf(type, served.kind.type, bytes);
  // Upstream's objects show a status even when it is empty, and patches are written for that.
  const showsStatus = type === JSON_PATCH && !served.storedKind.openApi && hasStatusSubresource(served);
  let warned = false;
  const change = (current: KubeObject): Decoded => {
    const before = context.warnings.length;
    const revision = current.metadata.resourceVersion;
    const { managedFields } = current.metadata;
    if (showsStatus) (current as { status?: unknown }).status ??= {};
    const patched = apply(current) as KubeObject & { status?: object };
    if (showsStatus && patched?.status && Object.keys(patched.status).length === 0) delete patched.status;
    // Ours, and large: checked only when the patch brings others.
    const isKept = managedFields !== undefined && patched?.metadata?.managedFields === managedFields;
    if (isKept) delete patched.metadata.managedFields;
    // The current object's own revision makes no condition: only one that the patch itself brings does.
    if (patched?.metadata?.resourceVersion === revision) patched.metadata.resourceVersion = '';
    const decoded = toObject({ ...context, route: { ...route, verb: 'update' } }, served.kind, patched);
    if (isKept) decoded.object.metadata.managedFields = managedFields;
    served.kind.defaults?.(decoded.object);
    if (warned) context.warnings.length = before;
    warned = true;
    return decoded;
  };
  return { change };
}

/** What applies the patch in `bytes` to an object of the schema type `schemaType`. It may change what it is given. @throws `BadRequest`, `UnsupportedMediaType` */
export function applierOf(type: string, schemaType: string, bytes: Buffer): (current: unknown) => unknown {
  switch (type) {
    case JSON_PATCH:
      return current => applyJsonPatch(current, parseBody(bytes, 'json'));
    case 'application/merge-patch+json': {
      objectIn(bytes);
      return current => applyMergePatch(current, parseBody(bytes, 'json'));
    }
    case STRATEGIC: {
      objectIn(bytes);
      return current => applyStrategicMergePatch(schemaType, current, parseBody(bytes, 'json'));
    }
    default:
      throw unsupportedPatch(`application/json-patch+json, application/merge-patch+json, ${STRATEGIC}`);
  }
}

const JSON_PATCH = 'application/json-patch+json';
const STRATEGIC = 'application/strategic-merge-patch+json';

function unsupportedPatch(accepted: string): UmiakError {
  const why = `the body of the request was in an unknown format - accepted media types include: ${accepted}, ${APPLY}`;
  return new UmiakError('UnsupportedMediaType', why);
}

/** @throws `Invalid` for `force` where nothing is applied */
function refuseForce({ query }: Context): void {
  if (!query.get('force')) return;
  const message = 'Forbidden: may not be specified for non-apply patch';
  throw new UmiakError('Invalid', `PatchOptions.meta.k8s.io "" is invalid: force: ${message}`, {
    details: { group: 'meta.k8s.io', kind: 'PatchOptions', causes: [{ reason: 'FieldValueForbidden', message, field: 'force' }] },
  });
}

function objectIn(bytes: Buffer): void {
  const value = parseBody(bytes, 'json');
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw badRequest('error decoding patch: the patch is no JSON object');
}
