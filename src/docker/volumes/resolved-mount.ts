import type { Mount } from '#engine/index.ts';
import type { ContainerMount } from './container-mounts.ts';
import type { MountSpec } from './mount-spec.ts';

/** Where what is mounted lies on this machine. */
export interface ResolvedSource {
  /** What the engine binds. */
  source: string;
  /** Read-only mounts are so with all that is mounted below them. */
  isReadOnlyBelow: boolean;
  image?: { id: string; layers: readonly string[] } | undefined;
}

const SPREAD: Record<string, NonNullable<Mount['propagation']>> = {
  shared: 'rshared',
  rshared: 'rshared',
  slave: 'rslave',
  rslave: 'rslave',
};

/** The engine's form of a mount. Pure. */
export function toEngineMount(spec: MountSpec, { source, isReadOnlyBelow, image }: ResolvedSource): Mount {
  const { destination, readOnly, type, options = [] } = spec;
  if (type === 'tmpfs') return { source: 'tmpfs', destination, type: 'tmpfs', options, ...(readOnly ? { readOnly } : {}) };
  if (type === 'image') return toImageMount(spec, image ?? { id: source, layers: [] });
  const propagation = SPREAD[spec.propagation] ?? 'private';
  const isBelow = spec.readOnlyBelow === 'always' || (spec.readOnlyBelow !== 'never' && isReadOnlyBelow && !spec.isShallow);
  return {
    source,
    destination,
    propagation,
    ...(readOnly ? { readOnly } : {}),
    ...(readOnly && isBelow && propagation === 'private' ? { recursiveReadOnly: true } : {}),
    ...(spec.isShallow ? { isShallow: true } : {}),
  };
}

/** An image's content, to be read: one layer as it lies, several as one. */
function toImageMount({ destination, subPath }: MountSpec, { id, layers }: NonNullable<ResolvedSource['image']>): Mount {
  const shared = { destination, readOnly: true, imageId: id, ...(subPath === undefined ? {} : { imageSubPath: subPath }) };
  const [only = ''] = layers;
  return layers.length === 1 ? { ...shared, source: only } : { ...shared, source: id, type: 'overlay', lowerDirs: [...layers] };
}

/** What stands in the container's record, and in `inspect`. Pure. */
export function toContainerMount(
  spec: MountSpec,
  { source, place, isAnonymous }: { source: string; place: string | undefined; isAnonymous: boolean },
): ContainerMount {
  const { type, destination, mode, readOnly, propagation } = spec;
  const isVolume = type === 'volume';
  return {
    point: {
      Type: type,
      ...(isVolume ? { Name: spec.source } : {}),
      Source: type === 'tmpfs' ? '' : source,
      Destination: destination,
      ...(isVolume ? { Driver: 'local' } : {}),
      Mode: mode,
      RW: !readOnly,
      Propagation: type === 'bind' ? propagation || 'rprivate' : '',
    },
    ...(isAnonymous ? { isAnonymous } : {}),
    ...(spec.makesSource ? { makesSource: true } : {}),
    ...(place !== undefined && spec.subPath !== undefined ? { part: { path: spec.subPath, place } } : {}),
  };
}
