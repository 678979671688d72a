import { createHash } from 'node:crypto';
import { isUmiakError } from '#base/errors.ts';
import {
  type Descriptor,
  type Digest,
  hostPlatform,
  type ImageConfig,
  type ImageRecord,
  type ImageStore,
  type Platform,
} from '#images/index.ts';
import { type ImageManifest, mediaTypes } from '#images/oci.ts';
import type { BuildCache } from './cache.ts';
import type { StageResult } from './graph.ts';
import type { Solved } from './solver.ts';

/** What a result goes on from. */
export interface BaseDocuments {
  config: ImageConfig;
  layers: readonly Descriptor[];
}

export interface ExportOptions {
  images: ImageStore;
  cache: BuildCache;
  result: StageResult;
  solved: ReadonlyMap<number, Solved>;
  /** Absent for `scratch`. */
  base?: BaseDocuments | undefined;
  platform?: Platform | undefined;
  /** Canonical. */
  names: readonly string[];
  nowMs: number;
  signal: AbortSignal;
}

/** Makes an image of a result: each step's files become a layer, unless they are one, and its names are given. On disk when it resolves. */
export async function exportImage(options: ExportOptions): Promise<Digest> {
  const { images, cache, result, solved, base, names, signal } = options;
  using lease = images.content.lease();
  for (const { digest } of base?.layers ?? []) lease.add(digest);
  for (const diffId of base?.config.rootfs.diff_ids ?? []) lease.add(diffId);
  const steps = result.chain.map(vertex => solved.get(vertex)!);
  const layers = await Promise.all(
    steps.map(async ({ record, createdBy }) => {
      const layer = record && (await cache.layerOf(record, signal));
      if (layer) for (const digest of [layer.digest, layer.diffId]) lease.add(digest);
      return { layer, createdBy, createdAtMs: record?.createdAtMs ?? options.nowMs };
    }),
  );
  cache.exported(steps.flatMap(({ record }) => record ?? []));
  const config = planImageConfig(options, layers);
  const own = layers.flatMap(({ layer }) => (layer ? [layer] : []));
  const configBytes = Buffer.from(JSON.stringify(config));
  const id: Digest = `sha256:${createHash('sha256').update(configBytes).digest('hex')}`;
  if (await isThere(images, id, names)) return id;
  const manifest: ImageManifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.dockerManifest,
    config: { mediaType: mediaTypes.dockerConfig, ...(await images.content.writeDocument(configBytes, lease)) },
    layers: [
      ...(base?.layers ?? []).map(({ mediaType, digest, size }) => ({ mediaType, digest, size })),
      ...own.map(({ digest, sizeBytes, mediaType = mediaTypes.dockerLayer }) => ({ mediaType, digest, size: sizeBytes })),
    ],
  };
  const target = { mediaType: manifest.mediaType, ...(await images.content.writeDocument(Buffer.from(JSON.stringify(manifest)), lease)) };
  await images.adopt([{ names: [...names], target, manifest: target }]);
  return id;
}

/** Whether all is as it would be made. */
async function isThere(images: ImageStore, id: Digest, names: readonly string[]): Promise<boolean> {
  let record: ImageRecord;
  try {
    record = await images.inspect(id);
  } catch (error) {
    if (isUmiakError(error, 'NotFound')) return false;
    throw error;
  }
  return names.every(name => record.repoTags.includes(name));
}

interface ExportedStep {
  layer: { diffId: Digest } | undefined;
  createdBy: string;
  createdAtMs: number;
}

/** The configuration of the image; the same steps give the same one, and so the same image. Pure. */
export function planImageConfig(
  { result, base, platform, nowMs }: Pick<ExportOptions, 'result' | 'base' | 'platform' | 'nowMs'>,
  steps: readonly ExportedStep[],
): ImageConfig {
  const { architecture, os, variant } = base?.config ?? platform ?? hostPlatform();
  const createdAtMs = steps.length > 0 ? Math.max(...steps.map(step => step.createdAtMs)) : nowMs;
  const author = result.author ?? base?.config.author;
  return {
    architecture,
    os,
    ...(variant !== undefined ? { variant } : {}),
    ...(author !== undefined ? { author } : {}),
    created: new Date(createdAtMs).toISOString(),
    config: result.config,
    rootfs: {
      type: 'layers',
      diff_ids: [...(base?.config.rootfs.diff_ids ?? []), ...steps.flatMap(({ layer }) => (layer ? [layer.diffId] : []))],
    },
    history: [
      ...(base?.config.history ?? []),
      ...steps.map(({ layer, createdBy, createdAtMs: atMs }) => ({
        created: new Date(atMs).toISOString(),
        created_by: createdBy,
        ...(layer ? {} : { empty_layer: true }),
      })),
    ],
  };
}
