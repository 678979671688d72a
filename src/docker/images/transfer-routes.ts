import { isUmiakError, UmiakError } from '#base/errors.ts';
import { sendChunks, spending } from '#base/spent.ts';
import {
  type ImageRecord,
  type ImageReference,
  type ImageStore,
  isDigest,
  type Platform,
  parseReference,
  toCanonicalName,
  toFamiliarName,
  toRepositoryName,
} from '#images/index.ts';
import type { RegistryAuth } from '#images/registry-auth.ts';
import { toDockerError } from '../docker-error.ts';
import { type DockerRequest, flagOf, JsonLines, type Route, refuse } from '../request.ts';
import { tellImage } from './image-events.ts';
import { parsePlatformQuery, requirePlatform } from './image-platform.ts';
import { inUnits, PullProgress } from './pull-progress.ts';
import { toPullError } from './pull-refusals.ts';
import { PushProgress } from './push-progress.ts';
import { parseRegistryAuth } from './registry-auth-header.ts';

/** Images on their way: from and to registries and archives. Fixed paths come before `{name}`, which takes slashes. */
export const transferRoutes: readonly Route[] = [
  ['GET', /^\/images\/get$/, save],
  ['POST', /^\/images\/create$/, create, { readsBody: true }],
  ['POST', /^\/images\/load$/, load, { readsBody: true }],
  ['GET', /^\/images\/(.+)\/get$/, save],
  ['POST', /^\/images\/(.+)\/push$/, push],
];

/** `docker import`, or without a source `docker pull`, whose body says nothing. */
async function create(request: DockerRequest): Promise<void> {
  if (request.query.get('fromSrc')) return await (await import('../files/import.ts')).importImage(request);
  request.incoming.resume();
  await pull(request);
}

/** `docker pull`: progress until the image is here, or the failure as the stream's last line. Without a tag all of the repository's come. */
async function pull(request: DockerRequest): Promise<void> {
  const { context, query, incoming, response, signal } = request;
  refuse(query, 'repo', 'message', 'changes');
  const { text, isAll } = toPullName(query.get('fromImage') ?? '', query.get('tag') ?? '');
  const reference = parseReference(text);
  const auth = parseRegistryAuth(incoming.headers['x-registry-auth']);
  const platform = parsePlatformQuery(query.get('platform'));
  const lines = new JsonLines(response);
  try {
    const tags = isAll ? await (await context.images.registries()).tags(reference, { auth, signal }) : [undefined];
    for (const tag of tags) await pullOne(request, tag === undefined ? text : `${text}:${tag}`, { auth, platform, lines });
    lines.end();
  } catch (cause) {
    const error = toPullError(cause, toFamiliarName(isAll ? toRepositoryName(reference) : toCanonicalName(reference)));
    if (!lines.isBegun || signal.aborted) throw error;
    lines.fail(toDockerError(error).message);
  }
}

async function pullOne(
  { context, response, signal }: DockerRequest,
  text: string,
  { auth, platform, lines }: { auth: RegistryAuth | undefined; platform: Platform | undefined; lines: JsonLines },
): Promise<void> {
  const { images } = context;
  const reference = parseReference(text);
  const name = toFamiliarName(toCanonicalName(reference));
  const before = await idOf(images.inspect(name));
  const progress = new PullProgress();
  let isBegun = false;
  const begin = () => {
    if (!isBegun) lines.write(progress.begin(reference));
    isBegun = true;
  };
  let isSlow = false;
  const drained = () => {
    isSlow = false;
  };
  response.on('drain', drained);
  try {
    const record = await images.pull(text, {
      signal,
      ...(auth ? { auth } : {}),
      ...(platform ? { platform } : {}),
      onProgress(event) {
        // The failure to find an image still gets a status of its own; a client that reads slowly misses figures, not steps.
        if (isSlow && event.status === 'downloading') return;
        begin();
        for (const line of progress.lines(event)) isSlow = !lines.write(line) || isSlow;
      },
    });
    begin();
    for (const line of progress.end(record.target.digest, name, record.id !== before)) lines.write(line);
    tellImage(context, 'pull', name, { name: toRepositoryName(reference), record });
  } finally {
    response.off('drain', drained);
  }
}

/** `docker push`: of one tag, or without one of all that the repository has here. */
async function push({ context, name, query, incoming, response, signal }: DockerRequest): Promise<void> {
  const { images } = context;
  const tag = query.get('tag') ?? '';
  const reference = parseReference(tag === '' ? name : `${name}:${tag}`);
  const isNameAlone = tag === '' && !hasTag(name);
  const auth = parseRegistryAuth(incoming.headers['x-registry-auth']);
  const platform = parsePlatformQuery(query.get('platform'));
  if (platform) requirePlatform(await images.inspect(toCanonicalName(reference)), platform, name);
  await requireNamed(images, reference, isNameAlone);
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
    const pushed = isNameAlone ? toRepositoryName(reference) : toCanonicalName(reference);
    tellImage(context, 'push', toFamiliarName(pushed), { name: toRepositoryName(reference) });
    lines.end();
  } catch (error) {
    if (!lines.isBegun || signal.aborted) throw error;
    lines.fail(toDockerError(error).message);
  }
}

/** @throws NotFound in docker's words, which clients match, when nothing here has the name that is to be pushed */
async function requireNamed(images: ImageStore, reference: ImageReference, isNameAlone: boolean): Promise<void> {
  const repository = toRepositoryName(reference);
  const canonical = toCanonicalName(reference);
  const names = (await images.list()).flatMap(({ repoTags, repoDigests }) => [...repoTags, ...repoDigests]);
  const isHere = (name: string) => toRepositoryName(parseReference(name)) === repository;
  if (!names.some(isHere)) throw new UmiakError('NotFound', `An image does not exist locally with the tag: ${toFamiliarName(repository)}`);
  if (!isNameAlone && !names.includes(canonical)) throw new UmiakError('NotFound', `tag does not exist: ${toFamiliarName(canonical)}`);
}

/** Docker gives name and tag apart; the tag may be a digest. With neither, all tags are meant. */
function toPullName(fromImage: string, tag: string): { text: string; isAll: boolean } {
  if (fromImage === '') throw new UmiakError('BadRequest', 'fromImage must name the image to pull');
  if (tag !== '') return { text: isDigest(tag) ? `${fromImage}@${tag}` : `${fromImage}:${tag}`, isAll: false };
  return { text: fromImage, isAll: !hasTag(fromImage) };
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
async function load({ context, query, incoming, response, signal }: DockerRequest): Promise<void> {
  requireOnePlatform(query);
  const platform = parsePlatformQuery(query.get('platform'));
  const lines = new JsonLines(response);
  const isQuiet = flagOf(query, 'quiet');
  let told = 0;
  try {
    const loaded: [id: string, names: readonly string[]][] = [];
    await context.images.load(spending(incoming.iterator({ destroyOnReturn: false })), {
      signal,
      ...(platform ? { platform } : {}),
      onLoaded: (id, names) => loaded.push([id, names]),
      onBytes(total) {
        if (isQuiet || total - told < PROGRESS_BYTES) return;
        told = total;
        lines.write({ status: 'Loading', id: 'archive', progressDetail: { current: total }, progress: inUnits(total) });
      },
    });
    for (const [id, names] of loaded) {
      tellImage(context, 'load', id, names[0] === undefined ? {} : { name: names[0] });
      if (names.length === 0) lines.write({ stream: `Loaded image ID: ${id}\n` });
      else for (const name of names) lines.write({ stream: `Loaded image: ${toFamiliarName(name)}\n` });
    }
    lines.end();
  } catch (error) {
    if (!lines.isBegun || signal.aborted) throw error;
    lines.fail(toDockerError(error).message);
  }
}

/** A repository's name alone stands for all of its tags. */
async function withAllTags(images: ImageStore, names: readonly string[]): Promise<string[]> {
  const tags = (await images.list()).flatMap(({ repoTags }) => repoTags);
  return names.flatMap(name => {
    if (hasTag(name) || isDigest(`sha256:${name}`)) return name;
    const its = tags.filter(tag => tag.startsWith(`${toRepositoryName(parseReference(name))}:`));
    return its.length > 0 ? its : name;
  });
}

/** @throws BadRequest in docker's words */
function requireOnePlatform(query: URLSearchParams): void {
  if (query.getAll('platform').length > 1) throw new UmiakError('BadRequest', 'multiple platform parameters not supported');
}

function hasTag(name: string): boolean {
  return /[:@][^/]*$/.test(name);
}

async function save({ context, name, query, response, signal }: DockerRequest): Promise<void> {
  requireOnePlatform(query);
  const { images } = context;
  const names = name !== '' ? [name] : query.getAll('names').flatMap(each => each.split(','));
  if (names.length === 0 || names.includes('')) throw new UmiakError('BadRequest', 'names must name the images to save');
  const platform = parsePlatformQuery(query.get('platform'));
  if (platform) for (const each of names) requirePlatform(await images.inspect(each), platform, each);
  const archive = await images.save(await withAllTags(images, names));
  response.writeHead(200, { 'content-type': 'application/x-tar' });
  await sendChunks(response, spending(archive), { signal });
  response.end();
  for (const each of names) tellImage(context, 'save', each);
}
