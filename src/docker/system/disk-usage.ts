import { UmiakError } from '#base/errors.ts';
import { createdMs, toImageSummary } from '../images/image-forms.ts';
import { countUsers, sharedSizes } from '../images/image-usage.ts';
import type { DockerContext } from '../request.ts';
import { isPlain, toVolume } from '../volumes/volume-forms.ts';

const TYPES = ['container', 'image', 'volume', 'build-cache'] as const;
type Type = (typeof TYPES)[number];

/** The answer of `GET /system/df`: figures that are known, or counted by another process. @throws BadRequest for a type that is none */
export async function readDiskUsage(context: DockerContext, asked: readonly string[], apiMinor: number): Promise<Record<string, unknown>> {
  const wrong = asked.find(type => !TYPES.some(each => each === type));
  if (wrong !== undefined) throw new UmiakError('BadRequest', `unknown object type: ${wrong.slice(0, 64)}`);
  const has = (type: Type) => asked.length === 0 || asked.includes(type);
  const [images, containers, volumes] = await Promise.all([
    has('image') ? readImages(context, apiMinor) : {},
    has('container') ? readContainers(context, apiMinor) : {},
    has('volume') ? readVolumes(context) : {},
  ]);
  return {
    LayersSize: 0,
    ...images,
    ...containers,
    ...volumes,
    ...(has('build-cache') ? { BuildCache: await readBuildCache(context) } : {}),
    ...(apiMinor < 42 ? { BuilderSize: 0 } : {}),
  };
}

async function readImages(context: DockerContext, apiMinor: number): Promise<Record<string, unknown>> {
  const [all, { bytes }] = await Promise.all([context.images.list(), context.images.diskUsage()]);
  const shared = sharedSizes(all);
  const users = countUsers(context);
  return {
    LayersSize: bytes,
    Images: all
      .sort((a, b) => createdMs(b) - createdMs(a))
      .map(record => toImageSummary(record, apiMinor, { containers: users.get(record.id) ?? 0, sharedSize: shared.get(record.id) ?? 0 })),
  };
}

async function readBuildCache({ builds }: DockerContext): Promise<unknown[]> {
  if (!builds) return [];
  const { toBuildCache } = await import('../build/build-cache-form.ts');
  return (await builds.builder()).entries().map(toBuildCache);
}

async function readContainers({ containers, images, clock }: DockerContext, apiMinor: number): Promise<Record<string, unknown>> {
  if (!containers) return { Containers: [] };
  const { listContainers } = await import('../containers/listing.ts');
  const options = { all: true, limit: -1, size: true, filters: new Map(), images, nowMs: clock.now(), apiMinor };
  return { Containers: await listContainers(containers, options) };
}

async function readVolumes({ volumes }: DockerContext): Promise<Record<string, unknown>> {
  const records = volumes?.list().filter(isPlain) ?? [];
  const users = volumes?.allUsers();
  const sizes = await volumes?.sizesOf(records.map(({ name }) => name));
  return {
    Volumes: records.map(record => ({
      ...toVolume(record, volumes?.mountpointOf(record.name) ?? ''),
      UsageData: { RefCount: users?.get(record.name)?.length ?? 0, Size: sizes?.get(record.name) ?? -1 },
    })),
  };
}
