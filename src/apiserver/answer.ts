import type { Clock } from '#base/clock.ts';
import { UmiakError } from '#base/errors.ts';
import { copyJson } from '#base/json-object.ts';
import type { Store } from '#store/store.ts';
import { fieldManagerOf } from './apply/field-manager.ts';
import { type Decoded, isDryRun, readObject } from './decode.ts';
import { readDeleteOptions } from './delete-options.ts';
import { type DeleteOptions, orphansByDefault } from './deletion.ts';
import { answerScale } from './handlers/scale.ts';
import { list } from './list.ts';
import { requireReached } from './list-options.ts';
import { patchOf } from './patch/patch.ts';
import type { Context, ListOutcome, Outcome, ResourceRoute } from './request.ts';
import { cacheKeyOf, isStored, type Stored, shownIn } from './resources.ts';
import { badRequest, notFound } from './status.ts';
import { planWatch } from './watch.ts';
import type { Target, WriteOptions } from './write.ts';
import type { Writer, Written } from './writer.ts';

/** Answers for one subresource that is more than a part of its object. */
export type SubresourceHandler = (context: Context<ResourceRoute>, served: Stored) => Promise<Outcome>;

export interface AnswerOptions {
  store: Store;
  clock: Clock;
  writer: Writer;
  /** By `resource/subresource`, e.g. `pods/binding`; for what is not stored by its plural. */
  handlers: ReadonlyMap<string, (context: Context<ResourceRoute>) => Promise<Outcome>>;
}

/** The work of a resource request, by verb. */
export async function answerResource(context: Context<ResourceRoute>, options: AnswerOptions): Promise<Outcome> {
  const { served, verb, subresource } = context.route;
  const { plural, group } = served.resource;
  if (served.kind.refused && verb !== 'get' && verb !== 'list' && verb !== 'watch' && verb !== 'delete' && verb !== 'deletecollection') {
    throw new UmiakError('NotImplemented', served.kind.refused);
  }
  if (served.kind.deprecation) context.warnings.push(served.kind.deprecation);
  const special = options.handlers.get(`${group ? `${plural}.${group}` : plural}${subresource ? `/${subresource}` : ''}`);
  if (special) return await special(context);
  if (subresource === 'scale' && served.kind.scale && isStored(served)) return await answerScale(context, served, options.writer);
  if (!subresource && plural === 'componentstatuses') return noComponents(context);
  if (['log', 'exec', 'attach', 'portforward', 'proxy', 'scale'].includes(subresource)) {
    throw new UmiakError('NotImplemented', `${plural}/${subresource} is not served by this server yet`);
  }
  if (!isStored(served)) throw new UmiakError('NotImplemented', `${plural} are not computed by this server yet`);
  switch (verb) {
    case 'get':
      return await get(context, served);
    case 'list':
      return await shownList(await list(context, served, options.store, options.clock.now()));
    case 'watch':
      return planWatch(context, served);
    case 'create':
      return toOutcome(served, await create(context, served, options.writer), 201);
    case 'update':
      return toOutcome(served, await update(context, served, options.writer));
    case 'patch':
      return toOutcome(served, await patch(context, served, options.writer));
    case 'delete':
      return await remove(context, served, options.writer);
    case 'deletecollection':
      return await removeAll(context, served, options);
  }
}

/** Components' health is at `/readyz`; this resource is deprecated upstream and always empty here. */
function noComponents({ route: { name, served } }: Context<ResourceRoute>): Outcome {
  if (name) throw notFound(served.resource, name);
  return { type: 'list', served, items: [], revision: 0, continueToken: undefined, remaining: undefined };
}

/** Whose write the request is. */
export function targetOf(context: Context<ResourceRoute>, served: Stored): Target {
  const { route, identity, query, warnings, annotations } = context;
  const { namespace, name, subresource } = route;
  const owner = { manager: fieldManagerOf(context), subresource };
  const options = writeOptionsOf(query);
  return { served, namespace, name, subresource, identity, owner, dryRun: isDryRun(query), warnings, annotations, options };
}

function writeOptionsOf(query: URLSearchParams): WriteOptions | undefined {
  if (query.size === 0) return undefined;
  const [fieldManager, fieldValidation] = [query.get('fieldManager'), query.get('fieldValidation')];
  return { ...(fieldManager && { fieldManager }), ...(fieldValidation && { fieldValidation }) };
}

async function get({ route: { namespace, name }, query }: Context<ResourceRoute>, served: Stored): Promise<Outcome> {
  requireReached(query, served.cache.revision);
  const object = served.cache.get(cacheKeyOf(namespace, name));
  if (!object) throw notFound(served.resource, name);
  return { type: 'stored', status: 200, served, object: served.converter ? await shownIn(served, object) : object };
}

async function shownList(outcome: ListOutcome): Promise<ListOutcome> {
  const { converter } = outcome.served;
  return converter ? { ...outcome, items: await converter.show([...outcome.items]) } : outcome;
}

async function create(context: Context<ResourceRoute>, served: Stored, writer: Writer): Promise<Written> {
  const { route } = context;
  if (served.resource.namespaced && !route.namespace) throw badRequest('an empty namespace may not be set during creation');
  const { object, missing } = await readObject(context, served.kind);
  served.kind.defaults?.(object);
  return await writer.create(targetOf(context, served), copying({ object, missing }));
}

async function update(context: Context<ResourceRoute>, served: Stored, writer: Writer): Promise<Written> {
  const { object, missing } = await readObject(context, served.kind);
  served.kind.defaults?.(object);
  const make = copying({ object, missing });
  const { resourceVersion, uid } = object.metadata;
  const orCreate = CREATED_BY_UPDATE.has(served.resource.kind) && !context.route.subresource && !resourceVersion && !uid;
  return await writer.update(targetOf(context, served), { replace: make, ...(orCreate && { create: make }) });
}

/** Gives the same object for each attempt, as it is before the attempt changes it. */
function copying({ object, missing }: Decoded): () => Decoded {
  return () => ({ object: copyJson(object), missing });
}

/** Kinds that a PUT also creates, as upstream has it. */
const CREATED_BY_UPDATE = new Set([
  'Lease',
  'Event',
  'Endpoints',
  'Service',
  'LimitRange',
  'PriorityClass',
  'Role',
  'RoleBinding',
  'ClusterRole',
  'ClusterRoleBinding',
  'Node',
]);

async function patch(context: Context<ResourceRoute>, served: Stored, writer: Writer): Promise<Written> {
  return await writer.update(targetOf(context, served), await patchOf(context, served));
}

async function remove(context: Context<ResourceRoute>, served: Stored, writer: Writer): Promise<Outcome> {
  const { options, dryRun } = await readDeleteOptions(context);
  warnOfOrphans(context, options);
  const target = { ...targetOf(context, served), dryRun };
  const { object, gone } = await writer.delete(target, options);
  if (!gone || SHOWN_WHEN_DELETED.has(served.resource.kind)) return { type: 'stored', status: 200, served, object };
  const { group, plural } = served.resource;
  const details = { name: target.name, ...(group && { group }), kind: plural, uid: object.object().metadata.uid };
  return { type: 'value', status: 200, value: { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', details } };
}

/** The sentence that upstream says of Jobs alone. */
function warnOfOrphans({ route: { served }, warnings }: Context<ResourceRoute>, { propagationPolicy }: DeleteOptions): void {
  if (served.resource.kind !== 'Job' || propagationPolicy || !orphansByDefault(served.storedKind)) return;
  warnings.push(
    'child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or ' +
      'set propagationPolicy=Orphan to suppress this warning',
  );
}

/** Kinds whose deletion answers with the object rather than with a Status. */
const SHOWN_WHEN_DELETED = new Set([
  'Pod',
  'Service',
  'ServiceAccount',
  'PodTemplate',
  'PersistentVolume',
  'PersistentVolumeClaim',
  'ResourceQuota',
]);

/** Takes away what a list with the same options shows: with a limit one page. */
async function removeAll(context: Context<ResourceRoute>, served: Stored, { store, writer, clock }: AnswerOptions): Promise<Outcome> {
  const { route } = context;
  if (served.resource.namespaced && !route.namespace)
    throw new UmiakError('MethodNotAllowed', 'the server does not allow this method on the requested resource');
  const { options, dryRun } = await readDeleteOptions(context);
  warnOfOrphans(context, options);
  const page = await list(context, served, store, clock.now());
  const chosen = [...page.items];
  const target = { ...targetOf(context, served), dryRun };
  for (let i = 0; i < chosen.length; i += 64) {
    await Promise.all(
      chosen
        .slice(i, i + 64)
        .map(object => removeOne(writer, { ...target, name: object.key.slice(route.namespace ? route.namespace.length + 1 : 0) }, options)),
    );
  }
  return await shownList({ ...page, items: chosen });
}

async function removeOne(writer: Writer, target: Target, options: DeleteOptions): Promise<void> {
  try {
    await writer.delete(target, options);
  } catch (error) {
    if (!(error instanceof UmiakError && error.reason === 'NotFound')) throw error;
  }
}

function toOutcome(served: Stored, { object, created }: Written, status = created ? 201 : 200): Outcome {
  return { type: 'stored', status, served, object };
}
