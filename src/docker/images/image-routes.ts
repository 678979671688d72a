import { pipeline } from 'node:stream/promises';
import { isUmiakError, UmiakError } from '#base/errors.ts';
import { type ImageRecord, isDigest, parsePlatform, parseReference, toCanonicalName, toFamiliarName } from '#images/index.ts';
import { parseManifestOrIndex } from '#images/oci.ts';
import { toDockerError } from '../docker-error.ts';
import { flagFilter, parseFilters } from '../filters.ts';
import { type DockerRequest, flagOf, JsonLines, type Route, refuse, sendJson } from '../request.ts';
import { LIST_FILTERS, planImageFilter, withFittingNames } from './image-filters.ts';
import { createdSeconds, toImageHistory, toImageInspect, toImageSummary } from './image-forms.ts';
import { inUnits, PullProgress } from './pull-progress.ts';
import { PushProgress } from './push-progress.ts';
import { parseRegistryAuth } from './registry-auth-header.ts';

/** Docker's image calls. Fixed paths come before `{name}`, which takes slashes. */
export const imageRoutes: readonly Route[] = [
  ['GET', /^\/images\/json$/, list],
  ['GET', /^\/images\/get$/, save],
  ['POST', /^\/images\/create$/, pull],
  ['POST', /^\/images\/load$/, load, { readsBody: true }],
  ['POST', /^\/images\/prune$/, prune],
  ['GET', /^\/images\/(.+)\/json$/, inspect],
  ['GET', /^\/images\/(.+)\/history$/, history],
  ['GET', /^\/images\/(.+)\/get$/, save],
  ['POST', /^\/images\/(.+)\/tag$/, tag],
  ['POST', /^\/images\/(.+)\/push$/, push],
  ['DELETE', /^\/images\/(.+)$/, remove],
  // What docker has no call for.
  ['POST', /^\/umiak\/images\/verify$/, verify],
  ['POST', /^\/umiak\/images\/(.+)\/pin$/, pin],
];

async function list({ context: { images, clock }, query, response, apiMinor }: DockerRequest): Promise<void> {
  const filters = parseFilters(query.get('filters'), LIST_FILTERS);
  const made = new Map<string, number>();
  for (const reference of [...(filters.get('before') ?? []), ...(filters.get('since') ?? [])])
    made.set(reference, createdSeconds(await images.inspect(reference)));
  const passes = planImageFilter(filters, { nowMs: clock.now(), createdOf: reference => made.get(reference) ?? 0 });
  const found = (await images.list()).filter(passes).sort((a, b) => createdSeconds(b) - createdSeconds(a));
  sendJson(
    response,
    200,
    found.map(record => toImageSummary(withFittingNames(record, filters), apiMinor)),
  );
}

async function inspect({ context: { images }, name, response, apiMinor, query }: DockerRequest): Promise<void> {
  refuse(query, 'platform', 'manifests');
  sendJson(response, 200, toImageInspect(await images.inspect(name), apiMinor));
}

async function history({ context: { images }, name, response, query }: DockerRequest): Promise<void> {
  refuse(query, 'platform');
  const record = await images.inspect(name);
  const what = `manifest ${record.manifestDigest}`;
  const parsed = parseManifestOrIndex(await images.content.readDocument(record.manifestDigest, what), what);
  if (parsed.kind !== 'manifest') throw new UmiakError('InternalError', `${what} is not an image's`);
  sendJson(response, 200, toImageHistory(record, parsed.manifest));
}

/** `docker pull`: progress until the image is here, or the failure as the stream's last line. */
async function pull({ context: { images }, query, incoming, response, signal }: DockerRequest): Promise<void> {
  refuse(query, 'fromSrc', 'repo', 'message', 'changes');
  const { text, isDefaultTag } = toPullName(query.get('fromImage') ?? '', query.get('tag') ?? '');
  const reference = parseReference(text);
  const auth = parseRegistryAuth(incoming.headers['x-registry-auth']);
  const platform = query.get('platform');
  const name = toFamiliarName(toCanonicalName(reference));
  const before = await idOf(images.inspect(name));
  const lines = new JsonLines(response);
  const progress = new PullProgress();
  const begin = () => {
    if (lines.isBegun) return;
    if (isDefaultTag) lines.write({ status: 'Using default tag: latest' });
    lines.write(progress.begin(reference));
  };
  let isSlow = false;
  response.on('drain', () => (isSlow = false));
  try {
    const record = await images.pull(text, {
      signal,
      ...(auth ? { auth } : {}),
      ...(platform ? { platform: parsePlatform(platform) } : {}),
      onProgress(event) {
        // The failure to find an image still gets a status of its own; a client that reads slowly misses figures, not steps.
        if (isSlow && event.status === 'downloading') return;
        begin();
        for (const line of progress.lines(event)) isSlow = !lines.write(line) || isSlow;
      },
    });
    begin();
    for (const line of progress.end(record.target.digest, name, record.id !== before)) lines.write(line);
    lines.end();
  } catch (error) {
    if (!lines.isBegun || signal.aborted) throw error;
    lines.fail(toDockerError(error).message);
  }
}

/** `docker push`: of one tag, or without one of all that the repository has here. */
async function push({ context: { images }, name, query, incoming, response, signal }: DockerRequest): Promise<void> {
  refuse(query, 'platform');
  const tag = query.get('tag') ?? '';
  const reference = parseReference(tag === '' ? name : `${name}:${tag}`);
  const isNameAlone = tag === '' && !/[:@][^/]*$/.test(name);
  const auth = parseRegistryAuth(incoming.headers['x-registry-auth']);
  const lines = new JsonLines(response);
  const progress = new PushProgress();
  let isSlow = false;
  response.on('drain', () => (isSlow = false));
  try {
    await images.push(toCanonicalName(reference), {
      signal,
      allTags: isNameAlone,
      ...(auth ? { auth } : {}),
      onProgress(event) {
        if (isSlow && event.status === 'uploading') return;
        if (!lines.isBegun) lines.write(progress.begin(reference));
        for (const each of progress.lines(event)) isSlow = !lines.write(each) || isSlow;
      },
    });
    lines.end();
  } catch (error) {
    if (!lines.isBegun || signal.aborted) throw error;
    lines.fail(toDockerError(error).message);
  }
}

/** Docker gives name and tag apart; the tag may be a digest. Without any, `latest` is pulled, not all tags as docker does. */
function toPullName(fromImage: string, tag: string): { text: string; isDefaultTag: boolean } {
  if (fromImage === '') throw new UmiakError('BadRequest', 'fromImage must name the image to pull');
  if (tag !== '') return { text: isDigest(tag) ? `${fromImage}@${tag}` : `${fromImage}:${tag}`, isDefaultTag: false };
  const { tag: read, digest } = parseReference(fromImage);
  return { text: fromImage, isDefaultTag: digest === undefined && read === 'latest' && !fromImage.endsWith(':latest') };
}

async function idOf(inspected: Promise<ImageRecord>): Promise<string | undefined> {
  try {
    return (await inspected).id;
  } catch (error) {
    if (isUmiakError(error, 'NotFound')) return undefined;
    throw error;
  }
}

const PROGRESS_BYTES = 4 << 20;

/** `docker load`: the body is the archive; what fails once we spoke is the stream's last line. */
async function load({ context: { images }, query, incoming, response, signal }: DockerRequest): Promise<void> {
  refuse(query, 'platform');
  const lines = new JsonLines(response);
  const isQuiet = flagOf(query, 'quiet');
  let told = 0;
  try {
    const records = await images.load(incoming.iterator({ destroyOnReturn: false }), {
      signal,
      onBytes(total) {
        if (isQuiet || total - told < PROGRESS_BYTES) return;
        told = total;
        lines.write({ status: 'Loading', id: 'archive', progressDetail: { current: total }, progress: inUnits(total) });
      },
    });
    for (const { id, repoTags } of records)
      if (repoTags.length === 0) lines.write({ stream: `Loaded image ID: ${id}\n` });
      else for (const name of repoTags) lines.write({ stream: `Loaded image: ${toFamiliarName(name)}\n` });
    lines.end();
  } catch (error) {
    if (!lines.isBegun || signal.aborted) throw error;
    lines.fail(toDockerError(error).message);
  }
}

async function save({ context: { images }, name, query, response, signal }: DockerRequest): Promise<void> {
  refuse(query, 'platform');
  const names = name !== '' ? [name] : query.getAll('names').flatMap(each => each.split(','));
  if (names.length === 0 || names.includes('')) throw new UmiakError('BadRequest', 'names must name the images to save');
  const archive = await images.save(names);
  response.writeHead(200, { 'content-type': 'application/x-tar' });
  await pipeline(archive, response, { signal });
}

async function tag({ context: { images }, name, query, response }: DockerRequest): Promise<void> {
  const [repo, its] = [query.get('repo') ?? '', query.get('tag') ?? ''];
  if (repo === '') throw new UmiakError('BadRequest', 'repo must give the new name');
  await images.tag(name, its === '' ? repo : `${repo}:${its}`);
  response.writeHead(201, { 'content-length': 0 }).end();
}

async function remove({ context: { images }, name, query, response }: DockerRequest): Promise<void> {
  refuse(query, 'platforms');
  const { untagged, deleted } = await images.remove(name, { force: flagOf(query, 'force') });
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
async function prune({ context: { images, clock }, query, response }: DockerRequest): Promise<void> {
  const filters = parseFilters(query.get('filters'), ['dangling', 'label', 'until']);
  const isDangling = flagFilter(filters, 'dangling') ?? true;
  filters.delete('dangling');
  const passes = planImageFilter(filters, { nowMs: clock.now(), createdOf: () => 0 });
  const removed: ({ Untagged: string } | { Deleted: string })[] = [];
  let freed = 0;
  for (const record of await images.list()) {
    if (record.isInUse || record.isPinned || (isDangling && record.repoTags.length > 0) || !passes(record)) continue;
    for (const name of record.repoTags.length > 0 ? record.repoTags : [record.id]) {
      const outcome = await images.remove(name).catch(unlessInUse);
      removed.push(...(outcome?.untagged ?? []).map(each => ({ Untagged: toFamiliarName(each) })));
      removed.push(...(outcome?.deleted ?? []).map(Deleted => ({ Deleted })));
      freed += outcome?.freedBytes ?? 0;
    }
  }
  sendJson(response, 200, { ImagesDeleted: removed.length > 0 ? removed : null, SpaceReclaimed: freed });
}

function unlessInUse(error: unknown): undefined {
  if (!isUmiakError(error, 'Conflict') && !isUmiakError(error, 'NotFound')) throw error;
}
