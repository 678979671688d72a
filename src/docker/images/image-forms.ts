import { type ImageRecord, toFamiliarName } from '#images/index.ts';

/** What a summary tells besides the record. */
export interface SummaryFacts {
  containers?: number;
  /** Asked for with `shared-size`. */
  sharedSize?: number;
  hasManifests?: boolean;
}

/** An entry of `GET /images/json`. */
export function toImageSummary(
  record: ImageRecord,
  apiMinor: number,
  { containers = -1, sharedSize = -1, hasManifests = false }: SummaryFacts = {},
): Record<string, unknown> {
  const { id, repoTags, repoDigests, sizeBytes, config } = record;
  // Before 1.43 an image without a name was spelled so.
  const none = (list: string[], spelled: string) => (list.length === 0 && apiMinor < 43 ? [spelled] : list);
  return {
    Id: id,
    ParentId: '',
    RepoTags: none(repoTags.map(toFamiliarName), '<none>:<none>'),
    RepoDigests: none(digestsOf(record), repoDigests.length > 0 ? '' : '<none>@<none>'),
    Created: createdSeconds(record),
    Size: sizeBytes,
    ...(apiMinor < 44 ? { VirtualSize: sizeBytes } : {}),
    SharedSize: sharedSize,
    Labels: config.config?.Labels ?? null,
    Containers: containers,
    ...(apiMinor >= 48 ? { Descriptor: record.target } : {}),
    ...(hasManifests ? { Manifests: [toManifestSummary(record)] } : {}),
  };
}

/** The answer of `GET /images/{name}/json`. */
export function toImageInspect(
  record: ImageRecord,
  apiMinor: number,
  { hasManifests = false }: Pick<SummaryFacts, 'hasManifests'> = {},
): Record<string, unknown> {
  const { id, repoTags, sizeBytes, config, layers, target } = record;
  const [upper = '', ...lower] = layers;
  return {
    Id: id,
    RepoTags: repoTags.map(toFamiliarName),
    RepoDigests: digestsOf(record),
    Parent: '',
    Comment: config.history?.at(-1)?.comment ?? '',
    ...(config.created !== undefined || apiMinor < 44 ? { Created: config.created ?? '0001-01-01T00:00:00Z' } : {}),
    DockerVersion: '',
    Author: config.author ?? '',
    // What a container that nobody keeps was configured with.
    ...(apiMinor < 45 ? { Container: '', ContainerConfig: {} } : {}),
    Config: config.config ?? {},
    Architecture: config.architecture,
    ...(config.variant !== undefined ? { Variant: config.variant } : {}),
    Os: config.os,
    Size: sizeBytes,
    ...(apiMinor < 44 ? { VirtualSize: sizeBytes } : {}),
    GraphDriver: { Name: 'overlay2', Data: { UpperDir: upper, ...(lower.length > 0 ? { LowerDir: lower.join(':') } : {}) } },
    RootFS: { Type: 'layers', Layers: config.rootfs.diff_ids },
    Metadata: { LastTagTime: new Date(record.taggedAtMs).toISOString() },
    ...(apiMinor >= 48 ? { Descriptor: target } : {}),
    ...(hasManifests ? { Manifests: [toManifestSummary(record)] } : {}),
  };
}

/** The one manifest that is here of an image. */
function toManifestSummary({ manifestDigest, target, sizeBytes, config }: ImageRecord): Record<string, unknown> {
  const isWhole = target.digest === manifestDigest;
  const { os, architecture, variant } = config;
  return {
    ID: manifestDigest,
    Descriptor: isWhole ? target : { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest: manifestDigest, size: 0 },
    Available: true,
    Size: { Content: sizeBytes, Total: sizeBytes },
    Kind: 'image',
    ImageData: {
      Platform: { architecture, os, ...(variant !== undefined ? { variant } : {}) },
      Containers: [],
      Size: { Unpacked: 0 },
    },
  };
}

/** The answer of `GET /images/{name}/history`, newest first. Sizes are those of the layers as they are stored. */
export function toImageHistory({ config, id, repoTags, blobs }: ImageRecord): Record<string, unknown>[] {
  const sizes = blobs.map(({ size }) => size);
  const steps: NonNullable<typeof config.history> = config.history ?? blobs.map(() => ({}));
  let layer = 0;
  const entries = steps.map(step => ({
    Id: '<missing>',
    Created: secondsOf(step.created),
    CreatedBy: step.created_by ?? '',
    Tags: null as string[] | null,
    Size: step.empty_layer ? 0 : (sizes[layer++] ?? 0),
    Comment: step.comment ?? '',
  }));
  const newest = entries.at(-1);
  if (newest) Object.assign(newest, { Id: id, Tags: repoTags.length > 0 ? repoTags.map(toFamiliarName) : null });
  return entries.reverse();
}

/** When the image was made, in seconds; unknown is 0. */
export function createdSeconds({ config }: ImageRecord): number {
  return secondsOf(config.created);
}

function secondsOf(time: string | undefined): number {
  const ms = Date.parse(time ?? '');
  return Number.isNaN(ms) ? 0 : Math.floor(ms / 1000);
}

function digestsOf({ repoDigests }: ImageRecord): string[] {
  return repoDigests.map(toFamiliarName);
}
