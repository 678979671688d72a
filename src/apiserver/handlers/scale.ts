import { toTime } from '#base/clock.ts';
import type { KubeObject } from '#kinds/kind.ts';
import { checkGvk } from '#kinds/schema.ts';
import type { Scale } from '#kinds/types.gen.ts';
import { targetOf } from '../answer.ts';
import { APPLY, isForced, readConfiguration } from '../apply/apply-patch.ts';
import { applyScale } from '../apply/apply-scale.ts';
import { applierOf as applierName } from '../apply/field-manager.ts';
import { mediaTypeOf } from '../body.ts';
import { fieldValidationOf, readBodyValue } from '../decode.ts';
import { applierOf } from '../patch/patch.ts';
import type { Context, Outcome, ResourceRoute } from '../request.ts';
import { cacheKeyOf, fromStored, type Stored, shownIn } from '../resources.ts';
import { badRequest, conflict, invalid, MODIFIED, notFound } from '../status.ts';
import type { AdmittedAs } from '../write.ts';
import type { Writer } from '../writer.ts';

const SCALE = { group: 'autoscaling', version: 'v1', kind: 'Scale' };
/** Schema type of `Scale`, for strategic merges. */
const SCALE_TYPE = 'io.k8s.api.autoscaling.v1.Scale';

/** The `scale` subresource: the number of replicas of whatever has one. */
export async function answerScale(context: Context<ResourceRoute>, served: Stored, writer: Writer): Promise<Outcome> {
  const { namespace, name, verb } = context.route;
  if (verb === 'get') {
    const stored = served.cache.get(cacheKeyOf(namespace, name));
    if (!stored) throw notFound(served.resource, name);
    return shown(toScale(served, fromStored(served, (await shownIn(served, stored)).object())));
  }
  const isApply = verb === 'patch' && mediaTypeOf(context.request.headers['content-type']) === APPLY;
  if (isApply) return await applyToScale(context, served, writer);
  const change = verb === 'patch' ? await readPatch(context) : await readPut(context);
  const { object } = await writer.update(
    { ...targetOf(context, served), subresource: '', admittedAs: asScale(served) },
    {
      change: current => {
        const before = toScale(served, current);
        const wanted = change(before);
        const asked = wanted.metadata?.resourceVersion;
        if (asked && asked !== current.metadata.resourceVersion) throw conflict(served.resource, name, MODIFIED);
        const replicas = wanted.spec?.replicas ?? 0;
        checkReplicas(replicas, name);
        served.kind.scale!.setSpecReplicas(current, replicas);
        if (!asked) current.metadata.resourceVersion = '';
        return { object: current, missing: [] };
      },
    },
  );
  return shown(toScale(served, fromStored(served, object.object())));
}

/** Admission sees the `Scale`. */
function asScale(served: Stored): AdmittedAs {
  return {
    subresource: 'scale',
    kind: SCALE,
    show: object => toScale(served, fromStored(served, object)) as unknown as KubeObject,
    take: (object, shown) => served.storedKind.scale!.setSpecReplicas(object, (shown as unknown as Scale).spec?.replicas ?? 0),
  };
}

function checkReplicas(replicas: number, name: string): void {
  if (replicas >= 0) return;
  const message = `Invalid value: ${replicas}: must be greater than or equal to 0`;
  throw invalid({ group: 'autoscaling', plural: 'scales', kind: 'Scale' }, name, [
    { field: 'spec.replicas', reason: 'FieldValueInvalid', message },
  ]);
}

/** Server-side apply of a `Scale`. */
async function applyToScale(context: Context<ResourceRoute>, served: Stored, writer: Writer): Promise<Outcome> {
  const manager = applierName(context);
  const force = isForced(context.query);
  const { config } = readConfiguration(await context.request.readBody(), context.query);
  const { object } = await writer.update(
    { ...targetOf(context, served), subresource: '', admittedAs: asScale(served) },
    {
      change: (current, nowMs) => {
        applyScale({ served, manager, subresource: 'scale', now: toTime(nowMs), config, force }, current, toScale(served, current));
        checkReplicas(served.kind.scale!.specReplicas(current), context.route.name);
        current.metadata.resourceVersion = config.metadata.resourceVersion ?? '';
        return { object: current, missing: [], isTracked: true };
      },
    },
  );
  return shown(toScale(served, fromStored(served, object.object())));
}

async function readPut(context: Context<ResourceRoute>): Promise<(before: Scale) => Scale> {
  const { value, duplicates } = await readBodyValue(context);
  const { object } = checkGvk<Scale>(SCALE, value, { fieldValidation: fieldValidationOf(context.query), strictErrors: duplicates });
  if (object.metadata?.name && object.metadata.name !== context.route.name)
    throw badRequest(`the name of the object (${object.metadata.name}) does not match the name on the URL (${context.route.name})`);
  return () => object;
}

async function readPatch(context: Context<ResourceRoute>): Promise<(before: Scale) => Scale> {
  const bytes = await context.request.readBody();
  const apply = applierOf(mediaTypeOf(context.request.headers['content-type']), SCALE_TYPE, bytes);
  return before => {
    const revision = before.metadata.resourceVersion;
    const { object } = checkGvk<Scale>(SCALE, apply(before), { fieldValidation: fieldValidationOf(context.query) });
    if (object.metadata?.resourceVersion === revision) object.metadata.resourceVersion = '';
    return object;
  };
}

function toScale({ kind }: Stored, object: KubeObject): Scale {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata;
  const scale = kind.scale!;
  const selector = scale.selector(object);
  return {
    kind: 'Scale',
    apiVersion: 'autoscaling/v1',
    metadata: { name, uid, resourceVersion, creationTimestamp, ...(namespace !== undefined && { namespace }) } as Scale['metadata'],
    spec: { replicas: scale.specReplicas(object) },
    status: { replicas: scale.statusReplicas(object), ...(selector && { selector }) },
  };
}

function shown(scale: Scale): Outcome {
  return { type: 'value', status: 200, value: scale };
}
