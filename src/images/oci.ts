import { UmiakError } from '#base/errors.ts';
import { isObject } from '#base/json-object.ts';
import { type Digest, parseDigest } from './digest.ts';

/** Names of what blobs hold, OCI's and Docker's. */
export const mediaTypes = {
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  ociConfig: 'application/vnd.oci.image.config.v1+json',
  ociLayer: 'application/vnd.oci.image.layer.v1.tar',
  ociLayerGzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  dockerIndex: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerConfig: 'application/vnd.docker.container.image.v1+json',
  dockerLayer: 'application/vnd.docker.image.rootfs.diff.tar',
  dockerLayerGzip: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
  empty: 'application/vnd.oci.empty.v1+json',
} as const;

/** OCI image spec, "OCI Content Descriptors". */
export interface Descriptor {
  mediaType: string;
  digest: Digest;
  size: number;
  platform?: Platform;
  annotations?: Record<string, string>;
  /** What kind of thing it is, where it is no image (OCI 1.1). */
  artifactType?: string;
}

export interface Platform {
  os: string;
  architecture: string;
  variant?: string;
}

export interface ImageManifest {
  schemaVersion: 2;
  mediaType: string;
  config: Descriptor;
  layers: Descriptor[];
  annotations?: Record<string, string>;
  artifactType?: string;
}

export interface ImageIndex {
  schemaVersion: 2;
  mediaType: string;
  manifests: Descriptor[];
}

/** OCI image spec, "OCI Image Configuration", with Docker's `Healthcheck`, `Shell` and `OnBuild` where an image has them. */
export interface ImageConfig {
  created?: string;
  author?: string;
  architecture: string;
  os: string;
  variant?: string;
  config?: ContainerConfig;
  rootfs: { type: 'layers'; diff_ids: Digest[] };
  history?: { created?: string; created_by?: string; comment?: string; author?: string; empty_layer?: boolean }[];
}

/** What a container gets unless it says otherwise. */
export interface ContainerConfig {
  User?: string;
  ExposedPorts?: Record<string, object>;
  Env?: string[];
  Entrypoint?: string[];
  Cmd?: string[];
  Volumes?: Record<string, object>;
  WorkingDir?: string;
  Labels?: Record<string, string>;
  StopSignal?: string;
  Shell?: string[];
  OnBuild?: string[];
  Healthcheck?: { Test?: string[]; Interval?: number; Timeout?: number; StartPeriod?: number; StartInterval?: number; Retries?: number };
}

/** The largest manifest, index or config that is read into memory. */
export const maxDocumentBytes = 8 * 1024 * 1024;
const MAX_LAYERS = 512;

/** What a manifest's address may lead to. */
export type ParsedDocument = { kind: 'manifest'; manifest: ImageManifest } | { kind: 'index'; index: ImageIndex };

/** A manifest or an index, told apart by its fields where the media type is missing. @throws Invalid with the bad field's path. */
export function parseManifestOrIndex(bytes: Uint8Array, what: string): ParsedDocument {
  const document = parseJsonObject(bytes, what);
  if (document.schemaVersion === 1 || 'fsLayers' in document)
    throw new UmiakError('Invalid', `${what} is in Docker's schema 1, which registries gave up in 2019`, {
      hint: 'Push the image again with a current client.',
    });
  // Builders that leave it out, or write Go's zero, are taken in by containerd, too.
  if (![2, 0, undefined].includes(document.schemaVersion as number | undefined)) throw invalid(what, 'schemaVersion', 'must be 2');
  if (Array.isArray(document.manifests)) {
    const manifests = document.manifests.map((item, i) => parseDescriptor(item, what, `manifests[${i}]`));
    return { kind: 'index', index: { schemaVersion: 2, mediaType: textOr(document.mediaType, mediaTypes.ociIndex), manifests } };
  }
  if (!Array.isArray(document.layers)) throw invalid(what, 'layers', 'must be a list');
  if (document.layers.length > MAX_LAYERS) throw invalid(what, 'layers', `may hold ${MAX_LAYERS} layers at most`);
  return {
    kind: 'manifest',
    manifest: {
      schemaVersion: 2,
      mediaType: textOr(document.mediaType, mediaTypes.ociManifest),
      config: parseDescriptor(document.config, what, 'config'),
      layers: document.layers.map((item, i) => parseDescriptor(item, what, `layers[${i}]`)),
      ...(typeof document.artifactType === 'string' ? { artifactType: document.artifactType } : {}),
    },
  };
}

const CONFIGS: readonly string[] = [mediaTypes.ociConfig, mediaTypes.dockerConfig, ''];
const LAYER =
  /^application\/vnd\.(?:oci\.image\.layer\.(?:nondistributable\.)?v1\.tar|docker\.image\.rootfs\.(?:foreign\.)?diff\.tar)(.*)$/;
/** How a layer may be packed; which of them it is, its first bytes say. */
const PACKED = ['', '+gzip', '.gzip', '+zstd', '.zstd'];

/**
 * Refuses what is no image for containers: artifacts, layers that are encrypted or of a kind nobody here can unpack. A media type that is
 * not given is taken for an ordinary one, as old tools leave it out.
 * @throws Invalid naming what it is
 */
export function checkIsImage({ config, layers, artifactType }: ImageManifest, what: string): void {
  if (!CONFIGS.includes(config.mediaType)) {
    const kind = artifactType ?? (config.mediaType === mediaTypes.empty ? 'without a type' : config.mediaType);
    throw new UmiakError('Invalid', `${what} is no container image but an artifact (${kind})`, {
      hint: 'Artifacts are fetched by the tools that made them: helm, oras, cosign.',
    });
  }
  for (const [i, { mediaType, digest }] of layers.entries()) {
    if (mediaType === '') continue;
    const packed = LAYER.exec(mediaType)?.[1];
    if (packed?.endsWith('+encrypted'))
      throw new UmiakError('Invalid', `${what}: layers[${i}] (${digest}) is encrypted (${mediaType}), which can't be unpacked here`, {
        hint: 'Push the image unencrypted: skopeo copy --decryption-key KEY …',
      });
    if (packed === undefined || !PACKED.includes(packed))
      throw new UmiakError(
        'Invalid',
        `${what}: layers[${i}] (${digest}) has the media type ${mediaType}, which is no layer of an image here`,
      );
  }
}

/** A layer whose owner forbids to hand it on (`foreign`, `nondistributable`): registries may not have it. */
export function isForeignLayer({ mediaType }: Descriptor): boolean {
  return mediaType.includes('.foreign.') || mediaType.includes('.nondistributable.');
}

/** Reads an image's configuration, checking what the engine and unpacking rely on. @throws Invalid with the bad field's path. */
export function parseImageConfig(bytes: Uint8Array, what: string): ImageConfig {
  const document = parseJsonObject(bytes, what);
  const rootfs = document.rootfs;
  if (!isObject(rootfs) || rootfs.type !== 'layers') throw invalid(what, 'rootfs.type', 'must be "layers"');
  const diffIds = rootfs.diff_ids ?? [];
  if (!Array.isArray(diffIds)) throw invalid(what, 'rootfs.diff_ids', 'must be a list');
  for (const [i, diffId] of diffIds.entries()) parseDigest(diffId, `${what}: rootfs.diff_ids[${i}]`);
  const config = isObject(document.config) ? document.config : {};
  checkContainerConfig(config, what);
  return {
    ...(document as Partial<ImageConfig>),
    architecture: textOr(document.architecture, 'unknown'),
    os: textOr(document.os, 'linux'),
    config: Object.fromEntries(Object.entries(config).filter(([, value]) => value !== null)) as ContainerConfig,
    rootfs: { type: 'layers', diff_ids: diffIds as Digest[] },
  };
}

const STRINGS = new Set(['User', 'WorkingDir', 'StopSignal']);
const STRING_LISTS = new Set(['Env', 'Entrypoint', 'Cmd', 'Shell', 'OnBuild']);
const MAPS = new Set(['ExposedPorts', 'Volumes', 'Labels', 'Healthcheck']);

function checkContainerConfig(config: Record<string, unknown>, what: string): void {
  for (const [key, value] of Object.entries(config)) {
    if (value === null) continue;
    if (STRINGS.has(key) && typeof value !== 'string') throw invalid(what, `config.${key}`, 'must be a string');
    if (STRING_LISTS.has(key) && !(Array.isArray(value) && value.every(item => typeof item === 'string')))
      throw invalid(what, `config.${key}`, 'must be a list of strings');
    if (MAPS.has(key) && !isObject(value)) throw invalid(what, `config.${key}`, 'must be a map');
  }
}

/** Reads one descriptor; `field` is its path within `what`. */
export function parseDescriptor(value: unknown, what: string, field: string): Descriptor {
  if (!isObject(value)) throw invalid(what, field, 'must be a descriptor');
  const { size, platform, annotations } = value;
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0)
    throw invalid(what, `${field}.size`, 'must be a whole number of bytes');
  return {
    mediaType: textOr(value.mediaType, ''),
    digest: parseDigest(value.digest, `${what}: ${field}.digest`),
    size,
    ...(isObject(platform) && typeof platform.os === 'string' && typeof platform.architecture === 'string'
      ? {
          platform: {
            os: platform.os,
            architecture: platform.architecture,
            ...(typeof platform.variant === 'string' ? { variant: platform.variant } : {}),
          },
        }
      : {}),
    ...(typeof value.artifactType === 'string' ? { artifactType: value.artifactType } : {}),
    ...(isObject(annotations)
      ? {
          annotations: Object.fromEntries(
            Object.entries(annotations).filter((pair): pair is [string, string] => typeof pair[1] === 'string'),
          ),
        }
      : {}),
  };
}

const MACHINES: Record<string, string> = {
  x64: 'amd64',
  arm64: 'arm64',
  arm: 'arm',
  ia32: '386',
  riscv64: 'riscv64',
  ppc64: 'ppc64le',
  s390x: 's390x',
};

/** This machine in OCI's words: `linux/amd64`. */
export function hostPlatform(): Platform {
  return { os: 'linux', architecture: MACHINES[process.arch] ?? process.arch };
}

/** Reads `linux/arm64/v8`. @throws Invalid. */
export function parsePlatform(text: string): Platform {
  const [os = '', architecture, variant, ...more] = text.split('/');
  if (os === '' || !architecture || variant === '' || more.length > 0)
    throw new UmiakError('Invalid', `platform ${JSON.stringify(text)} must have the form os/architecture[/variant], as linux/amd64`);
  return { os, architecture, ...(variant !== undefined ? { variant } : {}) };
}

/** Which of an index's manifests runs on `platform`: an equal variant first, then older ones, then any; attestations and artifacts never. */
export function planPlatform(manifests: readonly Descriptor[], platform: Platform): Descriptor | undefined {
  const images = manifests.filter(
    ({ annotations, artifactType }) => annotations?.['vnd.docker.reference.type'] === undefined && artifactType === undefined,
  );
  const fitting = images.filter(
    ({ platform: its }) => its?.os === platform.os && architectureOf(its.architecture) === architectureOf(platform.architecture),
  );
  const variants = fitting.map(({ platform: its }) => levelOf(its ?? platform));
  const wanted = levelOf(platform);
  const older = variants.filter(level => level <= wanted).sort((a, b) => b - a);
  // Of a machine whose variant nobody told, the oldest that there is may be tried.
  const level = older[0] ?? (platform.variant === undefined ? variants.toSorted((a, b) => a - b)[0] : undefined);
  return (
    fitting.find((_, i) => variants[i] === level) ?? (images.length === 1 && images[0]?.platform === undefined ? images[0] : undefined)
  );
}

/** What kernels call some of them, in OCI's words. */
const OTHER_NAMES: Readonly<Record<string, string>> = { x86_64: 'amd64', 'x86-64': 'amd64', aarch64: 'arm64', i386: '386' };

function architectureOf(name: string): string {
  return OTHER_NAMES[name] ?? name;
}

/** Variants in their order; without one `arm` is v7, `arm64` v8, `amd64` v1, as containerd has it. */
function levelOf({ architecture, variant }: Platform): number {
  const usual: Record<string, number> = { arm: 7, arm64: 8, amd64: 1 };
  const level = Number(/^v?(\d+(?:\.\d+)?)$/.exec(variant ?? '')?.[1]);
  return level >= 0 ? level : (usual[architecture] ?? 0);
}

/** JSON text that must be an object. @throws Invalid naming `what`. */
export function parseJsonObject(bytes: Uint8Array, what: string): Record<string, unknown> {
  const document = parseJson(bytes, what);
  if (!isObject(document)) throw new UmiakError('Invalid', `${what} is not a JSON object`);
  return document;
}

/** @throws Invalid naming `what`. */
export function parseJson(bytes: Uint8Array, what: string): unknown {
  try {
    return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'));
  } catch (cause) {
    throw new UmiakError('Invalid', `${what} is not JSON`, { cause });
  }
}

function textOr(value: unknown, otherwise: string): string {
  return typeof value === 'string' ? value : otherwise;
}

function invalid(what: string, field: string, message: string): UmiakError {
  return new UmiakError('Invalid', `${what}: ${field} ${message}`, {
    details: { causes: [{ reason: 'FieldValueInvalid', message, field }] },
  });
}
