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

/** What an image's configuration has where the image says nothing of it. */
const CONFIG = { User: '', Env: null, Cmd: null, Volumes: null, WorkingDir: '', Entrypoint: null, OnBuild: null, Labels: null };
/** Before 1.50 it had a container's fields, too. */
const CONFIG_BEFORE_50 = {
  Hostname: '',
  Domainname: '',
  AttachStdin: false,
  AttachStdout: false,
  AttachStderr: false,
  Tty: false,
  OpenStdin: false,
  StdinOnce: false,
  Image: '',
  ...CONFIG,
};

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
    Config: { ...(apiMinor < 50 ? CONFIG_BEFORE_50 : CONFIG), ...config.config },
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
    Created: Math.floor(msOf(step.created) / 1000),
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
export function createdSeconds(record: Pick<ImageRecord, 'config'>): number {
  return Math.floor(createdMs(record) / 1000);
}

/** The same in milliseconds, with their fraction. */
export function createdMs({ config }: Pick<ImageRecord, 'config'>): number {
  return msOf(config.created);
}

function msOf(time = ''): number {
  const ms = Date.parse(time);
  const below = /\.\d{3}(\d+)/.exec(time)?.[1];
  return Number.isNaN(ms) ? 0 : ms + (below ? Number(`0.${below}`) : 0);
}

function digestsOf({ repoDigests }: ImageRecord): string[] {
  return repoDigests.map(toFamiliarName);
}
