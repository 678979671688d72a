import { isUmiakError, UmiakError } from '#base/errors.ts';
import { parseReference, toCanonicalName, toFamiliarName, toRepositoryName } from '#images/index.ts';
import { flagFilter, parseFilters } from '../filters.ts';
import { type DockerRequest, flagOf, JsonLines, type Route, sendJson } from '../request.ts';
import { tellImage } from './image-events.ts';
import { LIST_FILTERS, planImageFilter, withFittingNames } from './image-filters.ts';
import { createdMs, toImageHistory, toImageInspect, toImageSummary } from './image-forms.ts';
import { parsePlatformQuery, requirePlatform } from './image-platform.ts';
import { countUsers, sharedSizes, usersOf } from './image-usage.ts';
import { checkImageRemoval } from './plan-image-removal.ts';

/** Docker's image calls. Fixed paths come before `{name}`, which takes slashes. */
export const imageRoutes: readonly Route[] = [
  ['GET', /^\/images\/json$/, list],
  ['POST', /^\/images\/prune$/, prune],
  ['GET', /^\/images\/(.+)\/json$/, inspect],
  ['GET', /^\/images\/(.+)\/history$/, history],
  ['POST', /^\/images\/(.+)\/tag$/, tag],
  ['DELETE', /^\/images\/(.+)$/, remove],
  // What docker has no call for.
  ['POST', /^\/umiak\/images\/verify$/, verify],
  ['POST', /^\/umiak\/images\/(.+)\/pin$/, pin],
];

/** `docker images`: with `shared-size` what each has in common with others, with `manifests` (1.48) what is of them here. */
async function list({ context, query, response, apiMinor }: DockerRequest): Promise<void> {
  const { images, clock } = context;
  const filters = parseFilters(query.get('filters'), LIST_FILTERS);
  const named = apiMinor < 41 ? query.get('filter') : null;
  if (named) filters.set('reference', [named]);
  const made = new Map<string, number>();
  for (const reference of [...(filters.get('before') ?? []), ...(filters.get('since') ?? [])])
    made.set(reference, createdMs(await images.inspect(reference)));
  const passes = planImageFilter(filters, { nowMs: clock.now(), createdOf: reference => made.get(reference) ?? 0 });
  const all = await images.list();
  const shared = apiMinor >= 42 && flagOf(query, 'shared-size') ? sharedSizes(all) : undefined;
  const users = countUsers(context);
  const hasManifests = apiMinor >= 48 && flagOf(query, 'manifests');
  const found = all.filter(passes).sort((a, b) => createdMs(b) - createdMs(a));
  sendJson(
    response,
    200,
    found.map(record =>
      toImageSummary(withFittingNames(record, filters), apiMinor, {
        containers: users.get(record.id) ?? 0,
        ...(shared ? { sharedSize: shared.get(record.id) ?? 0 } : {}),
        hasManifests,
      }),
    ),
  );
}

async function inspect({ context: { images }, name, response, apiMinor, query }: DockerRequest): Promise<void> {
  const record = await images.inspect(name);
  requirePlatform(record, parsePlatformQuery(query.get('platform')), name);
  sendJson(response, 200, toImageInspect(record, apiMinor, { hasManifests: apiMinor >= 48 && flagOf(query, 'manifests') }));
}

async function history({ context: { images }, name, response, query }: DockerRequest): Promise<void> {
  const record = await images.inspect(name);
  requirePlatform(record, parsePlatformQuery(query.get('platform')), name);
  sendJson(response, 200, toImageHistory(record));
}

async function tag({ context, name, query, response }: DockerRequest): Promise<void> {
  const [repo, its] = [query.get('repo') ?? '', query.get('tag') ?? ''];
  if (repo === '') throw new UmiakError('BadRequest', 'repo must give the new name');
  const given = its === '' ? repo : `${repo}:${its}`;
  if (toFamiliarName(toRepositoryName(parseReference(repo))) === 'sha256')
    throw new UmiakError('BadRequest', 'refusing to create an ambiguous tag using digest algorithm as name');
  await context.images.tag(name, given);
  const record = await context.images.inspect(given);
  tellImage(context, 'tag', record.id, { name: toCanonicalName(parseReference(given)), record });
  response.writeHead(201, { 'content-length': 0 }).end();
}

/** `docker rmi`. `noprune` would keep parents without a name, of which there are none. */
async function remove({ context, name, query, response }: DockerRequest): Promise<void> {
  const { images } = context;
  const force = flagOf(query, 'force');
  flagOf(query, 'noprune');
  const record = await images.inspect(name);
  for (const platform of query.getAll('platforms')) requirePlatform(record, parsePlatformQuery(platform), name);
  checkImageRemoval({ reference: name, image: record, users: usersOf(context, record.id), force });
  const { untagged, deleted } = await images.remove(name, { force });
  for (const _ of untagged) tellImage(context, 'untag', record.id, { record });
  if (deleted.includes(record.id)) tellImage(context, 'delete', record.id, { record });
  sendJson(response, 200, [...untagged.map(each => ({ Untagged: toFamiliarName(each) })), ...deleted.map(Deleted => ({ Deleted }))]);
}

/** `umiak image pin`, and with `pinned=0` unpin. */
async function pin({ context: { images }, name, query, response }: DockerRequest): Promise<void> {
  await images.pin(name, flagOf(query, 'pinned', true));
  response.writeHead(204).end();
}

/** `umiak image verify`: `{checked, of}` a line, at last the report. */
async function verify({ context: { images }, response, signal }: DockerRequest): Promise<void> {
  const lines = new JsonLines(response);
  lines.write(await images.verify({ signal, onProgress: (checked, of) => void lines.write({ checked, of }) }));
  lines.end();
}

/** `docker image prune`: images without a name, or with `dangling=false` all that nothing uses. */
async function prune({ context, query, response }: DockerRequest): Promise<void> {
  const { images, clock, events } = context;
  const filters = parseFilters(query.get('filters'), ['dangling', 'label', 'label!', 'until']);
  const isDangling = flagFilter(filters, 'dangling') ?? true;
  filters.delete('dangling');
  const passes = planImageFilter(filters, { nowMs: clock.now(), createdOf: () => 0 });
  const removed: ({ Untagged: string } | { Deleted: string })[] = [];
  let freed = 0;
  for (const record of await images.list()) {
    if (record.isInUse || record.isPinned || (isDangling && record.repoTags.length > 0) || !passes(record)) continue;
    for (const name of record.repoTags.length > 0 ? record.repoTags : [record.id]) {
      const outcome = await images.remove(name).catch(unlessInUse);
      for (const each of outcome?.untagged ?? []) {
        removed.push({ Untagged: toFamiliarName(each) });
        tellImage(context, 'untag', record.id, { record });
      }
      removed.push(...(outcome?.deleted ?? []).map(Deleted => ({ Deleted })));
      if (outcome?.deleted.includes(record.id)) tellImage(context, 'delete', record.id, { record });
      freed += outcome?.freedBytes ?? 0;
    }
  }
  if (filters.size === 0) {
    const left = await images.prune({ untagged: false }); // of broken pulls and loads, and what the disk altered
    removed.push(...left.deleted.map(Deleted => ({ Deleted })));
    freed += left.freedBytes;
  }
  events.emit({ type: 'image', action: 'prune', id: '', attributes: { reclaimed: String(freed) } });
  sendJson(response, 200, { ImagesDeleted: removed.length > 0 ? removed : null, SpaceReclaimed: freed });
}

function unlessInUse(error: unknown): undefined {
  if (!isUmiakError(error, 'Conflict') && !isUmiakError(error, 'NotFound')) throw error;
}
