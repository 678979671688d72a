import { isUmiakError, UmiakError } from '#base/errors.ts';
import {
  type Digest,
  hostPlatform,
  type ImageRecord,
  type ImageStore,
  type PullEvent,
  parsePlatform,
  type RegistryAuth,
} from '#images/index.ts';
import { parseManifestOrIndex } from '#images/oci.ts';
import type { Builder } from '../builder.ts';
import { type CacheSource, CacheSources } from '../cache-sources.ts';
import type { BaseDocuments } from '../export-image.ts';
import type { BuildContext } from '../files/build-files.ts';
import type { RunOptions } from '../run-step.ts';
import type { SolveEvent } from '../solver.ts';
import { MAX_DOCKERFILE_BYTES } from './lines.ts';
import { type Dockerfile, parseDockerfile } from './parse.ts';
import { imageKey, type PlanOptions, planDockerfile, planNeeds, type Step, type WantedImage } from './plan.ts';
import type { BaseImage } from './plan-stage.ts';

export interface DockerfileBuild extends PlanOptions {
  /** Filled; whoever opened it closes it. */
  context: BuildContext;
  /** Within the context. */
  dockerfile: string;
  /** Canonical. */
  names: readonly string[];
  platform?: string | undefined;
  /** Ask registries for newer images. */
  pulls: boolean;
  noCache: boolean;
  cacheFrom: readonly string[];
  run: RunOptions;
  authFor: (reference: string) => RegistryAuth | undefined;
  signal: AbortSignal;
  onEvent: (event: BuildEvent) => void;
}

export type BuildEvent =
  | SolveEvent
  | { type: 'pull'; reference: string; event: PullEvent }
  | { type: 'plan'; steps: readonly Step[]; warnings: readonly string[] };

interface FoundImage extends BaseImage {
  record: ImageRecord;
}

/** Builds an image by a Dockerfile: reads it, looks its images up, plans, solves, exports. @throws Invalid and others in docker's words */
export async function buildDockerfile(builder: Builder, build: DockerfileBuild): Promise<Digest> {
  const { context, signal, onEvent } = build;
  const text = await context.read(build.dockerfile, MAX_DOCKERFILE_BYTES);
  if (text === undefined) throw new UmiakError('BadRequest', `Cannot locate specified Dockerfile: ${build.dockerfile}`);
  if (text === '') throw new UmiakError('Invalid', `the Dockerfile (${build.dockerfile}) cannot be empty`);
  await context.hide([build.dockerfile, '.dockerignore']);
  const parsed = parseDockerfile(text);
  const images = await findImages(builder.images, parsed, build);
  const plan = planDockerfile(parsed, build, images);
  const cacheSources =
    build.cacheFrom.length > 0 ? new CacheSources(builder.cache, await findSources(builder.images, build.cacheFrom)) : undefined;
  onEvent({ type: 'plan', steps: plan.steps, warnings: plan.warnings });
  using held = new DisposableStack();
  // What the images are made of stays, whoever removes them meanwhile.
  const lease = held.use(builder.images.content.lease());
  const records = new Map<string, BaseDocuments>();
  for (const { record } of images.values()) {
    const documents = await documentsOf(builder.images, record);
    records.set(record.id, documents);
    for (const digest of [...documents.layers.map(layer => layer.digest), ...documents.config.rootfs.diff_ids]) lease.add(digest);
  }
  try {
    const { noCache, run } = build;
    const solved = await builder.solve(
      plan,
      plan.steps.map(({ vertex }) => vertex),
      { context, run, noCache, cacheSources, signal, onEvent },
      held,
    );
    signal.throwIfAborted();
    const { result } = plan;
    const base = result.baseImage === undefined ? undefined : records.get(result.baseImage);
    if (result.chain.length === 0) return await nameBase(builder.images, result.baseImage, build.names);
    const platform = build.platform ? parsePlatform(build.platform) : undefined;
    return await builder.exportImage({ result, solved, base, platform, names: build.names, signal });
  } finally {
    builder.ended();
  }
}

/** Of a Dockerfile that adds nothing: what it begins with is what it comes to. @throws BadRequest when that is nothing, too */
async function nameBase(images: ImageStore, id: string | undefined, names: readonly string[]): Promise<Digest> {
  if (id === undefined) throw new UmiakError('BadRequest', 'No image was generated. Is your Dockerfile empty?');
  for (const name of names) await images.tag(id, name);
  return id as Digest;
}

async function findImages(images: ImageStore, dockerfile: Dockerfile, build: DockerfileBuild): Promise<Map<string, FoundImage>> {
  const found = new Map<string, FoundImage>();
  for (;;) {
    const { wanted } = planNeeds(dockerfile, build, found);
    if (wanted.length === 0) return found;
    const records = await Promise.all(wanted.map(image => findImage(images, image, build)));
    for (const [i, record] of records.entries())
      found.set(imageKey(wanted[i]!), {
        id: record.id,
        diffIds: record.config.rootfs.diff_ids,
        config: record.config.config ?? {},
        record,
      });
  }
}

async function findImage(images: ImageStore, wanted: WantedImage, build: DockerfileBuild): Promise<ImageRecord> {
  const { reference } = wanted;
  const asked = wanted.platform ?? build.platform;
  const platform = asked ? parsePlatform(asked) : undefined;
  if (!build.pulls) {
    const present = await images.inspect(reference).catch(error => {
      if (isUmiakError(error, 'NotFound')) return undefined;
      throw error;
    });
    if (present && fits(present, platform)) return present;
  }
  const auth = build.authFor(reference);
  return await images.pull(reference, {
    signal: build.signal,
    onProgress: event => build.onEvent({ type: 'pull', reference, event }),
    ...(platform ? { platform } : {}),
    ...(auth ? { auth } : {}),
  });
}

function fits({ config }: ImageRecord, platform: ReturnType<typeof parsePlatform> | undefined): boolean {
  if (!platform) return true;
  const { architecture = hostPlatform().architecture, os, variant } = config;
  return (
    architecture === platform.architecture &&
    os === platform.os &&
    (platform.variant === undefined || variant === undefined || variant === platform.variant)
  );
}

/** Images that are not here are no source; docker says so and goes on. */
async function findSources(images: ImageStore, references: readonly string[]): Promise<CacheSource[]> {
  const sources: CacheSource[] = [];
  for (const reference of references) {
    const record = await images.inspect(reference).catch(() => undefined);
    if (!record) continue;
    await images.ensureUnpacked(record.id);
    sources.push(await documentsOf(images, record));
  }
  return sources;
}

async function documentsOf(images: ImageStore, record: ImageRecord): Promise<BaseDocuments> {
  const what = `manifest ${record.manifestDigest}`;
  const parsed = parseManifestOrIndex(await images.content.readDocument(record.manifestDigest, what), what);
  if (parsed.kind !== 'manifest') throw new UmiakError('InternalError', `${what} is not an image's`);
  return { config: record.config, layers: parsed.manifest.layers };
}
