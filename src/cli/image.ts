import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { UmiakError } from '#base/errors.ts';
import { parseReference, toFamiliarName, toRepositoryName } from '#images/reference.ts';
import type { DockerClient, DockerImage, DockerLine, VerifyLine } from './docker-client.ts';
import { registryAuthHeader } from './docker-config.ts';
import { type OutputForm, Progress, printJson, type Streams, toAge, toSize, toTable } from './terminal.ts';

/** What the image commands work with. */
export interface ImageCommandContext {
  docker: DockerClient;
  streams: Streams;
  form: OutputForm;
}

/** `umiak image ls` */
export async function listImages({ docker, streams, form }: ImageCommandContext, { isQuiet = false } = {}): Promise<void> {
  const images = await docker.json<DockerImage[]>('GET', '/images/json');
  if (form === 'json') return printJson(streams, images);
  if (isQuiet) return void streams.stdout.write(images.map(({ Id }) => `${shortId(Id)}\n`).join(''));
  const rows = images.flatMap(({ Id, RepoTags, Created, Size }) =>
    (RepoTags.length > 0 ? RepoTags : ['<none>']).map(name => [
      name,
      shortId(Id),
      Created > 0 ? `${toAge(Date.now() - Created * 1000)} ago` : '',
      toSize(Size),
    ]),
  );
  streams.stdout.write(toTable(['IMAGE', 'ID', 'CREATED', 'SIZE'], rows));
}

/** `umiak image pull`: fetches an image and unpacks it. */
export async function pullImage(
  { docker, streams, form }: ImageCommandContext,
  name: string,
  { platform }: { platform?: string | undefined } = {},
): Promise<void> {
  const auth = await registryAuthHeader(name, streams.env);
  const headers = auth ? { 'x-registry-auth': auth } : {};
  // Docker's API takes a name alone for all of its tags.
  const tag = /[:@][^/]*$/.test(name) ? {} : { tag: 'latest' };
  const lines = docker.lines('/images/create', { fromImage: name, ...tag, ...(platform ? { platform } : {}) }, { headers });
  const last: string[] = [];
  const layers = new Map<string, DockerLine>();
  {
    using progress = new Progress(streams);
    progress.show(`pulling ${name}`);
    for await (const line of lines) {
      if (line.progressDetail && line.id) layers.set(line.id, line);
      else if (line.status && !line.id) last.push(line.status);
      progress.show(`pulling ${name}: ${pullLine([...layers.values()])}`);
    }
  }
  const digest = last.find(line => line.startsWith('Digest: '))?.slice('Digest: '.length);
  const isNew = last.some(line => line.includes('Downloaded newer image'));
  if (form === 'json') return printJson(streams, { name, digest, isNew });
  streams.stdout.write(`${isNew ? 'pulled' : 'up to date:'} ${name} ${digest ?? ''}\n`);
}

/** `umiak image push`: sends an image to the registry that its name says; with `isAll` all tags of its repository. */
export async function pushImage({ docker, streams, form }: ImageCommandContext, name: string, { isAll = false } = {}): Promise<void> {
  const auth = await registryAuthHeader(name, streams.env);
  const reference = parseReference(name);
  const headers = { 'x-registry-auth': auth ?? Buffer.from('{}').toString('base64url') };
  const path = `/images/${encodeURIComponent(toRepositoryName(reference))}/push`;
  const layers = new Map<string, DockerLine>();
  const pushed: { name: string; digest: string; sizeBytes: number }[] = [];
  {
    using progress = new Progress(streams);
    progress.show(`pushing ${name}`);
    for await (const line of docker.lines(path, isAll ? {} : { tag: reference.tag ?? 'latest' }, { headers })) {
      if (line.progressDetail && line.id) layers.set(line.id, line);
      if (line.aux) {
        const tag = toFamiliarName(`${toRepositoryName(reference)}:${line.aux.Tag}`);
        pushed.push({ name: tag, digest: line.aux.Digest, sizeBytes: line.aux.Size });
      }
      progress.show(`pushing ${name}: ${pullLine([...layers.values()])}`);
    }
  }
  if (form === 'json') return printJson(streams, pushed);
  for (const each of pushed) streams.stdout.write(`pushed ${each.name} ${each.digest}\n`);
}

/** `umiak image pin` and `unpin`: images that prune and a full disk leave alone. */
export async function pinImages({ docker, streams }: ImageCommandContext, names: string[], isPinned: boolean): Promise<void> {
  for (const name of names) {
    await docker.done('POST', `/umiak/images/${encodeURIComponent(name)}/pin`, { pinned: isPinned ? '1' : '0' });
    streams.stdout.write(`${isPinned ? 'pinned' : 'unpinned'} ${name}\n`);
  }
}

/** `umiak image verify`: reads every blob. @throws Conflict when anything was not what its name says */
export async function verifyImages({ docker, streams, form }: ImageCommandContext): Promise<void> {
  let report: VerifyLine = { checked: 0 };
  {
    using progress = new Progress(streams);
    for await (const line of docker.lines<VerifyLine>('/umiak/images/verify', {})) {
      report = line;
      progress.show(`verifying: ${line.checked}/${line.of ?? line.checked} blobs`);
    }
  }
  const { checked, sizeBytes = 0, corrupt = [], damaged = [] } = report;
  if (form === 'json') printJson(streams, report);
  else {
    streams.stdout.write(`${checked} blobs, ${toSize(sizeBytes)}: ${corrupt.length === 0 ? 'all right' : `${corrupt.length} corrupt`}\n`);
    for (const { name, missing } of damaged) streams.stdout.write(`${toFamiliarName(name)} lacks ${missing.length} blobs: pull it again\n`);
  }
  if (corrupt.length > 0)
    throw new UmiakError('Conflict', `${corrupt.length} blobs were altered on disk and are in quarantine now`, {
      hint: 'Pull the images again that lack them, and look after the disk.',
    });
}

const FINISHED = new Set(['Pull complete', 'Already exists', 'Pushed', 'Layer already exists']);

/** `3/5 layers, 12 MB of 40 MB` */
export function pullLine(layers: readonly DockerLine[]): string {
  const finished = layers.filter(({ status = '' }) => FINISHED.has(status) || status.startsWith('Mounted from')).length;
  const current = layers.reduce((sum, { progressDetail }) => sum + (progressDetail?.current ?? 0), 0);
  const total = layers.reduce((sum, { progressDetail }) => sum + (progressDetail?.total ?? 0), 0);
  return `${finished}/${layers.length} layers${total > 0 ? `, ${toSize(current)} of ${toSize(total)}` : ''}`;
}

/** `umiak image load`: takes in an archive from a file or, with `-`, from stdin. Returns the names of what came. */
export async function loadImages({ docker, streams, form }: ImageCommandContext, input: string): Promise<string[]> {
  if (input === '-' && streams.stdin.isTTY)
    throw new UmiakError('BadRequest', 'there is no archive on stdin', {
      hint: 'Give one: umiak image load -i FILE, or … | umiak image load',
    });
  const names = await sendArchive(
    { docker, streams },
    input === '-' ? streams.stdin : await openFile(input),
    input === '-' ? 'stdin' : input,
  );
  if (form === 'json') printJson(streams, { loaded: names });
  else for (const name of names) streams.stdout.write(`loaded ${name}\n`);
  return names;
}

async function openFile(path: string): Promise<Readable> {
  const file = createReadStream(path, { highWaterMark: 256 * 1024 });
  await new Promise<void>((resolve, reject) => {
    file.once('open', () => resolve());
    file.once('error', cause => reject(new UmiakError('NotFound', `${path} can't be read: ${cause.message}`, { cause })));
  });
  return file;
}

/** Streams an archive to the engine. Returns what it holds: names, or ids of images without one. */
async function sendArchive(
  { docker, streams }: Pick<ImageCommandContext, 'docker' | 'streams'>,
  archive: Readable,
  what: string,
): Promise<string[]> {
  using progress = new Progress(streams);
  progress.show(`loading ${what}`);
  const names: string[] = [];
  for await (const { stream, progressDetail } of docker.lines('/images/load', {}, { body: archive })) {
    const found = /^Loaded image(?: ID)?: (.*)\n/.exec(stream ?? '')?.[1];
    if (found) names.push(found);
    if (progressDetail?.current) progress.show(`loading ${what}: ${toSize(progressDetail.current)}`);
  }
  return names;
}

/** `umiak image save`: an archive for docker and OCI tools in a file that is complete or not there, or on stdout. */
export async function saveImages({ docker, streams }: ImageCommandContext, names: string[], output: string): Promise<void> {
  if (output === '-' && streams.stdout.isTTY)
    throw new UmiakError('BadRequest', 'an archive is not for a terminal', { hint: 'Give a file: umiak image save NAME -o FILE' });
  const body = await docker.stream('/images/get', { names: names.join(',') });
  if (output === '-') return await pipeline(body, streams.stdout, { end: false });
  using progress = new Progress(streams);
  const part = `${output}.part-${process.pid}`;
  let bytes = 0;
  try {
    await pipeline(
      body,
      async function* (source: AsyncIterable<Buffer>) {
        for await (const chunk of source) {
          bytes += chunk.length;
          progress.show(`saving ${output}: ${toSize(bytes)}`);
          yield chunk;
        }
      },
      createWriteStream(part),
    );
    await rename(part, output);
  } catch (error) {
    await rm(part, { force: true });
    throw error;
  }
}

/** `umiak image rm`: every name is tried; what could not be removed is told at the end. */
export async function removeImages({ docker, streams, form }: ImageCommandContext, names: string[], { force = false } = {}): Promise<void> {
  const removed: ({ Untagged: string } | { Deleted: string })[] = [];
  const failures: unknown[] = [];
  for (const name of names) {
    try {
      removed.push(...(await docker.json<typeof removed>('DELETE', `/images/${encodeURIComponent(name)}`, force ? { force: '1' } : {})));
    } catch (error) {
      failures.push(error);
    }
  }
  if (form === 'json') printJson(streams, removed);
  else for (const each of removed) streams.stdout.write('Untagged' in each ? `untagged ${each.Untagged}\n` : `deleted ${each.Deleted}\n`);
  if (failures.length === 1) throw failures[0];
  if (failures.length > 1)
    throw new UmiakError('Conflict', failures.map(error => (error instanceof Error ? error.message : String(error))).join('\n'));
}

/** `umiak image tag` */
export async function tagImage({ docker }: ImageCommandContext, name: string, newName: string): Promise<void> {
  await docker.done('POST', `/images/${encodeURIComponent(name)}/tag`, { repo: newName });
}

export interface AssembleCommandOptions {
  /** Packages are kept here. */
  cacheDir: string;
  update?: boolean;
  frozen?: boolean;
  /** Where the lock is, if not beside the file. */
  lockPath?: string;
}

/** `umiak image assemble`: makes an image from a declarative file in this process, then loads it. */
export async function assembleImage(
  { docker, streams, form }: ImageCommandContext,
  file: string,
  { cacheDir, update = false, frozen = false, lockPath }: AssembleCommandOptions,
): Promise<void> {
  const { assembleArchive } = await import('#images/assemble.ts');
  await mkdir(dirname(lockPath ?? file), { recursive: true });
  const began = performance.now();
  const result = await (async () => {
    using progress = new Progress(streams);
    return await assembleArchive(file, {
      cacheDir,
      update,
      frozen,
      ...(lockPath ? { lockPath } : {}),
      onStep: ({ step, text }) => progress.show(`${step} ${text}`),
    });
  })();
  await sendArchive({ docker, streams }, result.archive, result.name);
  const name = toFamiliarName(result.name);
  const packages = result.packages.map(({ name: its, version }) => ({ name: its, version }));
  if (form === 'json') return printJson(streams, { name, packages, lock: result.lockPath });
  const took = ((performance.now() - began) / 1000).toFixed(1);
  const from = packages.length > 0 ? ` from ${packages.length} packages (${result.lockPath})` : '';
  streams.stdout.write(`assembled ${name} in ${took} s${from}\n`);
}

function shortId(id: string): string {
  return id.slice('sha256:'.length, 'sha256:'.length + 12);
}
